"""A disk of a few MiB that a test may fill, or make read-only.

It is a tmpfs where this process may mount one, as root may in most containers. Where it may not, a full disk is a limit
on the size of a file (RLIMIT_FSIZE), that the kernel enforces in the same calls, and there is no read-only disk.
"""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

MIB = 1 << 20


class Disk:
    """A small disk; everything of it lies below `folder`."""

    def __init__(self, folder: Path, is_mounted: bool):
        self.folder, self.is_mounted = folder, is_mounted

    @contextmanager
    def full(self, left: int) -> Iterator[None]:
        """Take all room but `left` bytes meanwhile."""
        with self._filled(left) if self.is_mounted else file_limit(left):
            yield

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nothing be written meanwhile."""
        if not self.is_mounted:
            pytest.skip("no file system may be mounted here, and root may write whatever a file's mode says")
        _mount("-o", "remount,ro", str(self.folder))
        try:
            yield
        finally:
            _mount("-o", "remount,rw", str(self.folder))

    @contextmanager
    def _filled(self, left: int) -> Iterator[None]:
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 12))
            except OSError:
                file.truncate(max(file.tell() - left, 0))
        try:
            yield
        finally:
            filler.unlink()


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, size: int = 8 * MIB) -> Iterator[Disk]:
    """A disk of `size` bytes at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if not _may_mount():
        yield Disk(folder, is_mounted=False)
        return
    _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(folder))
    try:
        yield Disk(folder, is_mounted=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@cache
def _may_mount() -> bool:
    with TemporaryDirectory() as folder:
        try:
            _mount("-t", "tmpfs", "none", folder)
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", folder], check=True)
        return True


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
