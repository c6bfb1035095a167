"""A disk that is full, or may only be read: nothing is lost or half-written, and one sentence says what to do."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from assets.exports.vectors import item_index
from storage.artifacts.data_root import DataRoot
from storage.errors import InputError
from storage.files.atomic import publishing, sha256_of
from storage.files.disk_errors import explain_disk_errors
from tests.disks import Disk, file_limit, small_disk
from tests.storage.writers import BYTES, WRITERS

LEFT = 1 << 13  # less than any of them writes, and enough to begin with


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.delenv("REC_WORK", raising=False)
    with small_disk(tmp_path / "data") as disk:
        yield disk


def files_of(root: DataRoot) -> dict[str, str]:
    """What is there, but for what a download goes on with."""
    return {
        path.relative_to(root.root).as_posix(): sha256_of(path)
        for path in root.root.rglob("*")
        if path.is_file() and path.name != "filler" and "downloads" not in path.parts
    }


def assert_one_sentence(said: str, disk: Disk, *words: str) -> None:
    assert str(disk.folder) in said
    assert "REC_DATA" in said or "REC_WORK" in said
    assert "\n" not in said
    for word in words:
        assert word in said


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there_and_what_is_written_when_there_is_room_is_whole(
    disk: Disk, name: str
) -> None:
    root, write = DataRoot(disk.folder), WRITERS[name]
    write(root, 0)
    before = files_of(root)
    with disk.full(LEFT), pytest.raises(InputError) as refused:
        write(root, 1)
    assert_one_sentence(str(refused.value), disk, os.strerror(errno.ENOSPC if disk.is_mounted else errno.EFBIG))
    assert files_of(root) == before
    write(root, 1)
    after = files_of(root)
    assert after != before
    assert not any("partial" in path for path in after)


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_may_only_be_read_is_left_as_it_is(disk: Disk, name: str) -> None:
    root, write = DataRoot(disk.folder), WRITERS[name]
    write(root, 0)
    before = files_of(root)
    with disk.read_only(), pytest.raises(InputError) as refused:
        write(root, 1)
    assert_one_sentence(str(refused.value), disk, "Read-only file system")
    assert files_of(root) == before
    write(root, 1)
    assert files_of(root) != before


def test_a_limit_on_the_size_of_files_is_told_like_a_full_disk(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    with (
        file_limit(LEFT),
        pytest.raises(InputError, match=r"\(File too large\); lift the limit on the size of a file, or"),
    ):
        WRITERS["table"](root, 1)
    assert files_of(root) == {}


def test_an_index_whose_library_does_not_say_why_it_cannot_write_is_told_like_everything_else(disk: Disk) -> None:
    if not disk.is_mounted:
        pytest.skip("nothing can fill a disk here")
    index, target = item_index(np.ones((2_000, 64), np.float32), "dot"), disk.folder / "export"
    with (
        disk.full(BYTES),
        pytest.raises(InputError, match="No space left on device") as refused,
        publishing(target) as new,
    ):
        new.mkdir()
        index.save(str(new / "items.usearch"))
    assert isinstance(refused.value.__cause__, RuntimeError)
    assert list(disk.folder.iterdir()) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("a mistake"), OSError("no number"), PermissionError(13, "no", "/a/dump")]
)
def test_what_is_no_fault_of_the_disk_passes_as_it_is(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as passed, publishing(tmp_path / "report.html"):
        raise error
    assert passed.value is error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("work", "path", "setting"),
    [
        (None, "data/report/shop.html", "REC_DATA"),
        (None, "data/.work/history/shop.lock", "REC_WORK"),
        ("scratch", "data/report/shop.html", "REC_DATA"),
        ("scratch", "scratch/history/shop.lock", "REC_WORK"),
    ],
)
def test_the_setting_to_change_is_the_one_that_says_where_the_path_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str | None, path: str, setting: str
) -> None:
    monkeypatch.setenv("REC_WORK", str(tmp_path / work) if work else "")
    with pytest.raises(InputError, match=f"let {setting} name another place"), explain_disk_errors(tmp_path / path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded", str(tmp_path / path))
