"""What opening a store costs, and how a damaged shard is found and replaced."""

import hashlib
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storage.errors import InputError
from storage.images.attempts import Attempts
from storage.images.decoding import Picture
from storage.images.store import Attempt, PictureStore


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def picture(content: bytes) -> Picture:
    return Picture(content, sha(content), 3, 2)


def filled(folder: Path, count: int = 2) -> tuple[PictureStore, list[bytes]]:
    """A store of so many shards, of one picture each."""
    store, contents = PictureStore(folder), [bytes([n]) * 10_000 for n in range(count)]
    for n, content in enumerate(contents):
        attempt = Attempt(str(n), n, None, "ok", 3, 2, len(content), sha(content))
        store.publish([(attempt, content)])
    return store, contents


def holding(store: PictureStore, content: bytes) -> Path:
    (shard,) = (path for path in store.folder.glob("*.parquet") if content in path.read_bytes())
    return shard


def damage(shard: Path, content: bytes) -> None:
    whole = shard.read_bytes()
    shard.write_bytes(whole.replace(content, content[:-1] + b"x"))


def test_no_picture_is_read_to_know_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = filled(tmp_path)

    def unread(*_: object, **__: object) -> None:
        raise AssertionError("a content was read")

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", unread)
    assert [kept for _, kept in store.attempts()] == [True, True]


def test_a_reader_that_finds_damage_has_all_of_that_shard_looked_at_and_replaced(tmp_path: Path) -> None:
    store, contents = filled(tmp_path)
    keys = [sha(content) for content in contents]
    damage(holding(store, contents[0]), contents[0])
    assert len(list(store.attempts())) == 2  # nobody has looked
    with pytest.raises(InputError, match="materialize item_images again, which replaces it"):
        dict(store.read(keys))
    assert [attempt.url for attempt, _ in store.attempts()] == ["1"]
    attempts = Attempts(store)
    assert attempts.latest("0") is None
    attempts.add("0", None, picture(contents[0]))
    attempts.flush()
    assert dict(store.read(keys)) == dict(zip(keys, contents, strict=True))
    assert {attempt.url for attempt, _ in store.attempts()} == {"0", "1"}


def test_a_shard_that_only_could_not_be_read_just_then_is_sound_again(tmp_path: Path) -> None:
    store, (content,) = filled(tmp_path, 1)
    shard = holding(store, content)
    sound = shard.read_bytes()
    damage(shard, content)
    with pytest.raises(InputError):
        dict(store.read([sha(content)]))
    shard.write_bytes(sound)
    assert len(list(store.attempts())) == 1
    assert list(tmp_path.iterdir()) == [shard]


def test_a_shard_that_lost_some_of_its_middle_is_left_out_at_once(tmp_path: Path) -> None:
    store, (content,) = filled(tmp_path, 1)
    shard = holding(store, content)
    shard.write_bytes(shard.read_bytes().replace(content, content[:100]))
    assert list(store.attempts()) == []


def test_what_replaces_a_damaged_shard_counts_though_the_clock_was_set_back_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, content = PictureStore(tmp_path), bytes(10_000)

    def asked_at(seconds: int) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: seconds * 1_000_000_000)
        attempts = Attempts(store)
        attempts.add("0", None, picture(content))
        attempts.flush()

    asked_at(2_000)
    damage(holding(store, content), content)
    with pytest.raises(InputError):
        dict(store.read([sha(content)]))
    asked_at(1_000)
    assert dict(store.read([sha(content)])) == {sha(content): content}
