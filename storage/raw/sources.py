"""Brings a dataset's raw file to this machine, from wherever the catalogue says it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from storage.catalogue import Dataset
from storage.errors import InputError
from storage.files.mirror import Mirror
from storage.http_policy import without_secrets
from storage.progress import Progress
from storage.raw.download import download
from storage.raw.sample import SampleSize, write_sample


@dataclass(frozen=True)
class Obtained:
    """A raw file on this machine, and what is known of where it came from."""

    path: Path
    facts: dict[str, str | int | bool | None]


def obtain(
    dataset: Dataset,
    kind: Literal["reviews", "metadata"],
    folder: Path,
    work: Path,
    max_bytes: int,
    sample: SampleSize,
    force: bool = False,
    mirror: Mirror | None = None,
) -> Obtained:
    """A raw file: written (`sample:`), downloaded (a URL) unless it is there unchanged, or used where it lies (a path).

    Args:
        folder: where a file that is not local yet is put.
        work: where a download that is not finished yet is kept.
        force: download it although it is there unchanged.
        mirror: of the data root, if it has one.

    Raises:
        InputError: it is not there, or it is larger than `max_bytes`.
    """
    source = dataset.source(kind)
    scheme = urlsplit(source).scheme
    facts: dict[str, str | int | bool | None] = {"source": without_secrets(source), "downloaded": False}
    if scheme == "sample":
        return Obtained(write_sample(folder, kind, sample, mirror), facts)
    if scheme in ("http", "https"):
        name = Path(urlsplit(source).path).name
        target = folder / (name if name.strip(".") else kind)
        with Progress(f"raw_{kind} {dataset.name}", unit="bytes") as progress:
            try:
                result = download(source, target, work / "downloads", max_bytes, progress, force=force, mirror=mirror)
            except InputError as error:
                raise type(error)(f"'{kind}' is unavailable: {error}") from error
        return Obtained(target, {**facts, **result.receipt.model_dump(exclude={"url"}), "downloaded": result.fetched})
    check_local(dataset, kind)
    path = Path(source)
    if path.stat().st_size > max_bytes:
        raise InputError(f"'{kind}' is {path.stat().st_size:,} bytes, more than max_dump_bytes ({max_bytes:,})")
    return Obtained(path, facts)


def check_local(dataset: Dataset, kind: Literal["reviews", "metadata"]) -> None:
    """Raise InputError if a raw file is named by a path and cannot be read, or by a scheme that is not known."""
    source = dataset.source(kind)
    scheme = urlsplit(source).scheme
    if scheme in ("sample", "http", "https"):
        return
    if scheme:
        raise InputError(f"'{kind}' is {without_secrets(source)}; a source is a path, or a URL with http or https")
    if not Path(source).is_file():
        raise InputError(f"'{kind}' names {source}, and there is no such file")
