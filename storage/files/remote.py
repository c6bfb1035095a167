"""Files below any URL that fsspec knows: found, sent, fetched and deleted by key, the path below the URL.

A file is seen on the remote once it is whole. Credentials come from the environment; a URL that carries any is refused,
and no message shows a library's own words where these might repeat them.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from storage.errors import InputError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Where an upload is seen when it is complete; elsewhere it goes to another name first.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "obs"}
CONTENT_MARKS = ("ETag", "etag", "md5Hash", "content_md5")
CHANGE_MARKS = ("ino", "mtime", "LastModified", "last_modified", "modified", "created")
BATCH_FILES, BATCH_BYTES = 64, 1 << 28  # at a time; what is sent may be held in memory meanwhile
SECRET = re.compile(r"//[^/@]*:[^@]*@|\?")  # user:password@, or a query, which may be a signature


class Found(NamedTuple):
    """A file on the remote: a text that another content changes, and its bytes."""

    mark: str
    size: int


class Remote:
    """What lies at a URL. Nothing is asked of it before the first call of a method.

    Raises:
        InputError: from every method, where the remote is unavailable; it names REC_DATA and the URL.
    """

    def __init__(self, url: str):
        if SECRET.search(url):
            raise InputError(
                "REC_DATA is a URL that carries credentials (user:password@ or ?…); leave them out, "
                "they come from the environment"
            )
        self.url = url

    def uri(self, key: str) -> str:
        return f"{self.url.rstrip('/')}/{key}"

    def find(self, key: str = "", folder: bool = True) -> dict[str, Found]:
        """The files below a key, or below all; or the one file that a key names.

        What no publisher gives a name is left out: hidden files, and names that lead elsewhere.
        """
        with self._explain_errors("read"):
            fs, root = self._filesystem()
            fs.invalidate_cache()
            place = f"{root}/{key}" if key else root
            infos = fs.find(place, detail=True) if folder else _info(fs, place)
        files = {path.removeprefix(root).lstrip("/"): info for path, info in infos.items() if info["type"] == "file"}
        return {name: Found(_mark(info), int(info["size"])) for name, info in files.items() if _is_plain(name)}

    def send(self, files: Mapping[str, Path]) -> None:
        """Put local files where their keys say, in this order as far as nothing is sent at once."""
        with self._explain_errors("written"):
            fs, root = self._filesystem()
            protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
            for batch in batches({key: path.stat().st_size for key, path in files.items()}):
                if protocols & OBJECT_STORES:
                    fs.put([str(files[key]) for key in batch], [f"{root}/{key}" for key in batch])
                    continue
                for key in batch:
                    _send_aside(fs, files[key], PurePosixPath(root, key))

    def fetch(self, files: Mapping[str, Path]) -> None:
        """Write remote files to local paths, which may hold a part of them after an error."""
        with self._explain_errors("read"):
            fs, root = self._filesystem()
            fs.get([f"{root}/{key}" for key in files], [str(path) for path in files.values()])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files; those that are gone already are no error."""
        with self._explain_errors("written"):
            fs, root = self._filesystem()
            for key in keys:
                with suppress(FileNotFoundError):
                    fs.rm_file(f"{root}/{key}")

    def _filesystem(self) -> tuple["AbstractFileSystem", str]:
        """The file system and the root on it. fsspec keeps one a thread, and makes it anew in a process that forked."""
        from fsspec import available_protocols
        from fsspec.core import url_to_fs

        scheme = self.url.split("://")[0]
        if scheme not in available_protocols():
            raise InputError(f"REC_DATA is {self.url}: fsspec does not know {scheme}://")
        try:
            fs, root = url_to_fs(self.url)
        except ImportError:
            raise InputError(f"REC_DATA is {self.url}: install {_package(scheme)}") from None
        return fs, root.rstrip("/")

    @contextmanager
    def _explain_errors(self, done: str) -> Iterator[None]:
        """Turn whatever goes wrong into one sentence."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"REC_DATA ({self.url}) cannot be {done}: {_reason(error)}") from None


def is_url(given: str) -> bool:
    return "://" in given


def _package(scheme: str) -> str:
    """The package that brings a file system, or where it is fsspec itself, what it says that it needs."""
    from fsspec.registry import known_implementations

    known = known_implementations[scheme]
    package = known["class"].split(".")[0]
    return f"what it needs ({known['err']})" if package == "fsspec" else f"the package {package}"


def batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Cut keys into batches of no more than BATCH_FILES files, and BATCH_BYTES where it is more than one."""
    batch: list[str] = []
    waiting = 0
    for key, size in sizes.items():
        if batch and (len(batch) == BATCH_FILES or waiting + size > BATCH_BYTES):
            yield batch
            batch, waiting = [], 0
        batch.append(key)
        waiting += size
    if batch:
        yield batch


def _send_aside(fs: "AbstractFileSystem", path: Path, target: PurePosixPath) -> None:
    """Upload under another name, then rename."""
    partial = str(target.with_name(f".{target.name}.{os.getpid()}.partial"))
    fs.makedirs(str(target.parent), exist_ok=True)
    try:
        fs.put_file(str(path), partial)
        fs.mv(partial, str(target))
    finally:
        with suppress(FileNotFoundError):
            fs.rm_file(partial)


def _info(fs: "AbstractFileSystem", place: str) -> dict[str, dict[str, Any]]:
    try:
        return {place: fs.info(place)}
    except FileNotFoundError:
        return {}


def _mark(info: Mapping[str, Any]) -> str:
    names = [name for name in CONTENT_MARKS if info.get(name)][:1] or [name for name in CHANGE_MARKS if info.get(name)]
    return " ".join(str(info[name]) for name in ("size", *names))


def _is_plain(key: str) -> bool:
    return not any(part.startswith(".") or not part for part in key.split("/"))


def _reason(error: Exception) -> str:
    """Why, in words that hold no address and no header: those of the system, of a refusal, or the error's name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error) in (FileNotFoundError, PermissionError) and error.args:
        return str(error.args[0]).splitlines()[0].rstrip(".")
    return type(error).__name__
