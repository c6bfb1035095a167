"""Every file appears whole or not at all."""

from pathlib import Path

import pytest

from storage.files import atomic
from storage.files.atomic import publish_bytes, publishing, sha256_of


def test_the_target_is_there_only_when_the_writer_has_ended(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with publishing(target) as partial:
        partial.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    publish_bytes(target, b"old")
    with pytest.raises(KeyError), publishing(target) as partial:
        partial.write_bytes(b"half")
        raise KeyError
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_there_and_sound_is_left_alone(tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        with publishing(tmp_path / "version") as partial:
            partial.mkdir()
            (partial / "weights").write_bytes(b"content")
        written.append((tmp_path / "version").stat().st_ino)
    assert written[0] == written[1]
    assert [path.name for path in tmp_path.iterdir()] == ["version"]


def test_a_folder_that_something_has_changed_is_made_whole_again(tmp_path: Path) -> None:
    for damage in (b"", b"damage"):
        with publishing(tmp_path / "version") as partial:
            partial.mkdir()
            (partial / "weights").write_bytes(b"content")
        assert (tmp_path / "version" / "weights").read_bytes() == b"content"
        (tmp_path / "version" / "weights").write_bytes(damage)
    with publishing(tmp_path / "version") as partial:
        partial.mkdir()
        (partial / "weights").write_bytes(b"content")
    assert (tmp_path / "version" / "weights").read_bytes() == b"content"


def test_a_folder_with_other_content_takes_the_place_of_the_old_one_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    remove = atomic._remove

    def look(path: Path) -> None:  # nothing is deleted at the target while files go one by one
        if path.is_dir() and (tmp_path / "export").exists():
            seen.append(sorted(file.name for file in (tmp_path / "export").iterdir()))
        remove(path)

    monkeypatch.setattr(atomic, "_remove", look)
    for names in (("a", "b"), ("b", "c")):
        with publishing(tmp_path / "export") as partial:
            partial.mkdir()
            for name in names:
                (partial / name).write_text(f"{names}")
    assert seen == [["b", "c"]]
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert (tmp_path / "export" / "b").read_text() == "('b', 'c')"


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish_with(content: str) -> None:
        with publishing(tmp_path / "export") as partial:
            partial.mkdir()
            (partial / "file").write_text(content)

    publish_with("old")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise OSError("no space")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space"):
        publish_with("new")
    assert (tmp_path / "export" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    before = sha256_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256_of(tmp_path) != before
