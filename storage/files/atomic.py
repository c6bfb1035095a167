"""Every file appears whole or not at all: write beside the target, flush to disk, then rename.

Nothing is published or deleted in any other way. If a path lies in the mirror of a remote, the content goes to the
remote first: after a failure, this folder never has a file that the remote lacks.
"""

import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.files.disk_errors import explain_disk_errors
from storage.files.mirror import Mirror


@contextmanager
def publishing(target: Path, mirror: Mirror | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it replaces `target` in one step, on any error it is gone.

    The path yielded does not exist yet: the caller makes a file or a folder of it. A folder that is there already is
    kept if it holds the same, and otherwise replaced as a whole, in two steps between which there is none.

    Args:
        mirror: of the data root, if it has one; a `target` outside of it is published on this machine alone.

    Raises:
        InputError: a remote is unavailable, and nothing has changed here then; or the disk is full, read-only, or takes
            no file so large.
    """
    # Twice: what the writer meets while the disk is as it was then, and what publishing itself meets.
    with explain_disk_errors(target), _replacing(target, mirror) as partial, explain_disk_errors(target):
        yield partial


@contextmanager
def _replacing(target: Path, mirror: Mirror | None) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(target, "partial")
    _remove(partial)
    try:
        yield partial
        if partial.is_dir():
            for path in partial.rglob("*"):
                _flush(path)
        is_kept = partial.is_dir() and target.exists() and sha256_of(target) == sha256_of(partial)
        if mirror and mirror.holds(target):
            mirror.upload(target if is_kept else partial, target)
        if is_kept:
            return
        _flush(partial)
        if os.path.lexists(target) and (partial.is_dir() or _is_folder(target)):
            _exchange(partial, target)
        else:
            partial.replace(target)
        _flush(target.parent)
    finally:
        _remove(partial)


def publish_bytes(target: Path, content: bytes, mirror: Mirror | None = None) -> None:
    """Write `content` to `target`, whole or not at all."""
    with publishing(target, mirror) as partial:
        partial.write_bytes(content)


def remove(path: Path, mirror: Mirror | None = None) -> None:
    """Delete what was published at `path`, a file or a folder, where there is any.

    Raises:
        InputError: a remote is unavailable; nothing has changed here then.
    """
    if mirror and mirror.holds(path):
        mirror.remove(path)
    _remove(path)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, or of a folder's files by name and content."""
    if path.is_dir():
        parts = sorted(p for p in path.rglob("*") if p.is_file())
        lines = (f"{part.relative_to(path).as_posix()} {sha256_of(part)}\n" for part in parts)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _exchange(new: Path, target: Path) -> None:
    """Put something where a folder is, or a folder where something is; nobody sees a part of either."""
    aside = _beside(target, "aside")
    _remove(aside)
    target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        aside.rename(target)
        raise
    _remove(aside)


def _beside(target: Path, kind: str) -> Path:
    """A name of this process's own beside `target`; numbers of processes are given by every machine anew."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return target.with_name(f".{target.name}.{host}.{os.getpid()}.{kind}")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
