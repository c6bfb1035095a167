"""Brings a dataset's raw file to this machine, from wherever the catalogue says it is."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from storage.catalogue import Dataset
from storage.download import download
from storage.errors import InputError
from storage.progress import Progress
from storage.sample import SampleSize, write_sample


def obtain(
    dataset: Dataset, kind: Literal["reviews", "metadata"], folder: Path, max_bytes: int, sample: SampleSize
) -> Path:
    """The path of a raw file: written (`sample:`), downloaded (a URL), or used where it lies (a path).

    Args:
        folder: where a file that is not local yet is put.

    Raises:
        InputError: it is not there, or it is larger than `max_bytes`.
    """
    source = dataset.source(kind)
    scheme = urlsplit(source).scheme
    if scheme == "sample":
        return write_sample(folder, kind, sample)
    if scheme in ("http", "https"):
        target = folder / Path(urlsplit(source).path).name
        with Progress(f"raw_{kind} {dataset.name}", unit="bytes") as progress:
            download(source, target, max_bytes, progress)
        return target
    check_local(dataset, kind)
    path = Path(source)
    if path.stat().st_size > max_bytes:
        raise InputError(f"'{kind}' is {path.stat().st_size:,} bytes, more than max_dump_bytes ({max_bytes:,})")
    return path


def check_local(dataset: Dataset, kind: Literal["reviews", "metadata"]) -> None:
    """Raise InputError if a raw file is named by a path and cannot be read, or by a scheme that is not known."""
    source = dataset.source(kind)
    scheme = urlsplit(source).scheme
    if scheme in ("sample", "http", "https"):
        return
    if scheme:
        raise InputError(f"'{kind}' is {source}; a source is a path, or a URL with http or https")
    if not Path(source).is_file():
        raise InputError(f"'{kind}' names {source}, and there is no such file")
