"""Shards of pictures: written whole, read in batches, and left out where they are damaged."""

import hashlib
import logging
import pickle
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import InputError
from storage.images.attempts import Attempts
from storage.images.decoding import Picture
from storage.images.statuses import RefusedError
from storage.images.store import GROUP_ROWS, Attempt, PictureStore


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def got(url: str, content: bytes, asked_at: int = 1) -> tuple[Attempt, bytes]:
    return Attempt(url, asked_at, None, "ok", 3, 2, len(content), sha(content)), content


def failed(url: str, asked_at: int = 1, status: str = "http_404") -> tuple[Attempt, None]:
    return Attempt(url, asked_at, None, status, None, None, None, None), None


def contents(numbers: range) -> list[bytes]:
    return [f"picture {number}".encode() * 50 for number in numbers]


def keys_of(store: PictureStore, wanted: list[str], size: int) -> list[list[str]]:
    return [[key for key, _ in batch()] for batch in store.batches(wanted, size)]


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "shards")


def test_a_shard_gives_back_what_was_written(store: PictureStore) -> None:
    rows = [failed("b"), got("a", b"A"), (got("c", b"A")[0], None)]
    store.publish(rows)
    assert sorted(PictureStore(store.folder).attempts()) == sorted((row, content is not None) for row, content in rows)
    assert dict(store.read([sha(b"A")])) == {sha(b"A"): b"A"}


def test_a_picture_that_is_not_there_is_one_sentence(store: PictureStore) -> None:
    store.publish([got("a", b"A")])
    with pytest.raises(InputError, match="1 pictures of item_images are in no sound shard; materialize item_images"):
        store.batches([sha(b"A"), "0" * 64], 64)


def test_a_shard_is_named_by_its_content(store: PictureStore) -> None:
    for _ in range(2):
        store.publish([got("a", b"A")])
    store.publish([got("a", b"A", asked_at=2)])
    store.publish([])
    assert len(list(store.folder.iterdir())) == 2


def test_a_shard_can_be_read_a_few_pictures_at_a_time(store: PictureStore) -> None:
    store.publish([got(str(n), content) for n, content in enumerate(contents(range(200)))])
    (shard,) = store.folder.iterdir()
    metadata = pq.read_metadata(shard)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [64, 64, 64, 8]


def test_batches_have_their_size_and_the_order_in_which_shards_were_made(store: PictureStore) -> None:
    parts = [contents(range(100, 170)), contents(range(70)), contents(range(200, 230))]
    for asked_at, part in enumerate(parts):
        store.publish([*(got(f"{asked_at} {n}", c, asked_at) for n, c in enumerate(part)), failed("x", asked_at)])
    everything = [sha(content) for part in parts for content in part]
    batches = keys_of(store, everything, 64)
    assert [len(batch) for batch in batches] == [64, 64, 42]
    assert list(chain.from_iterable(batches)) == everything
    assert keys_of(store, sorted(everything), 64) == batches  # the order in which they are wanted does not matter


def test_without_the_first_batches_the_others_are_what_they_were(store: PictureStore) -> None:
    for asked_at in range(3):
        store.publish([got(c.decode(), c, asked_at) for c in contents(range(50 * asked_at, 50 * asked_at + 50))])
    everything = [sha(content) for content in contents(range(150))]
    batches = keys_of(store, everything, 32)
    for done in range(len(batches)):
        left = set(everything) - set(chain.from_iterable(batches[:done]))
        assert keys_of(store, list(left), 32) == batches[done:]


def test_a_batch_travels_to_another_process_that_imports_little(store: PictureStore) -> None:
    store.publish([got("a", b"A"), got("b", b"B")])
    (batch,) = store.batches([sha(b"A"), sha(b"B")], 64)
    script = (
        "import pickle, sys; pairs = pickle.load(sys.stdin.buffer)()\n"
        "assert not {'torch', 'dagster', 'aiohttp'} & sys.modules.keys()\n"
        "sys.stdout.buffer.write(pickle.dumps(pairs))"
    )
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(batch), capture_output=True, check=True)
    assert pickle.loads(done.stdout) == batch() == [(sha(b"A"), b"A"), (sha(b"B"), b"B")]


def test_of_pictures_of_several_groups_only_the_wanted_are_read(store: PictureStore) -> None:
    parts = contents(range(3 * GROUP_ROWS))
    store.publish([got(str(n), content) for n, content in enumerate(parts)])
    wanted = [parts[n] for n in (0, 63, 64, 130, 191)]
    assert [content for _, content in store.read(map(sha, wanted))] == wanted


def test_files_that_are_no_shards_break_nothing(store: PictureStore, caplog: pytest.LogCaptureFixture) -> None:
    store.publish([got("a", b"A")])
    (shard,) = store.folder.iterdir()
    (store.folder / f".{shard.name}.1234.partial").write_bytes(shard.read_bytes()[:100])
    (store.folder / ".hidden.parquet").write_bytes(b"half")
    (store.folder / "notes.txt").write_text("mine")
    assert [attempt.url for attempt, _ in store.attempts()] == ["a"]
    assert caplog.text == ""
    (store.folder / "empty.parquet").touch()
    (store.folder / "foreign.parquet").write_bytes(b"PAR1 no, it is not PAR1")
    (store.folder / "folder.parquet").mkdir()
    old = pa.table({"sha256": [sha(b"A")], "content": [b"A"]})
    pq.write_table(old, store.folder / "older.parquet")
    assert [attempt.url for attempt, _ in store.attempts()] == ["a"]
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 4
    assert all("is left out" in line for line in told)
    assert list(store.read([sha(b"A")])) == [(sha(b"A"), b"A")]


def damaged(shard: Path, at: int) -> None:
    content = bytearray(shard.read_bytes())
    content[at] ^= 0x10
    shard.write_bytes(content)


def test_no_damage_to_a_shard_gives_a_wrong_picture(store: PictureStore) -> None:
    rows = [got(f"http://a.example/{n}.jpg", content) for n, content in enumerate(contents(range(3)))]
    store.publish(rows)
    (shard,) = store.folder.iterdir()
    sound = shard.read_bytes()
    written = {(row, True) for row, _ in rows}
    right = {sha(content): content for _, content in rows}
    for at in range(0, len(sound), 7):
        damaged(shard, at)
        assert {(row[0].sha256, row[1]) for row in store.attempts()} <= {(row.sha256, kept) for row, kept in written}
        try:
            assert dict(store.read(right)).items() <= right.items()
        except InputError as error:
            assert "materialize item_images again" in str(error)
        shard.write_bytes(sound)
    assert set(store.attempts()) == written


def test_damage_to_pictures_leaves_their_shard_out_with_one_line(
    store: PictureStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.publish([got("a", b"A" * 5000), failed("b")])
    (shard,) = store.folder.iterdir()
    (batch,) = store.batches([sha(b"A" * 5000)], 64)
    damaged(shard, shard.read_bytes().index(b"A" * 5000) + 2500)
    with pytest.raises(InputError, match=f"{shard.name} is gone or damaged; materialize item_images again"):
        batch()
    assert list(store.attempts()) == []
    assert [record.getMessage().count(shard.name) for record in caplog.records] == [1]
    shard.unlink()
    with pytest.raises(InputError, match="is gone or damaged"):
        batch()


def test_a_content_under_a_wrong_key_is_refused_though_its_checksum_is_right(store: PictureStore) -> None:
    store.publish([(got("a", b"A")[0], b"B")])
    (batch,) = store.batches([sha(b"A")], 64)
    with pytest.raises(InputError, match="is gone or damaged"):
        batch()
    assert list(store.attempts()) == []


def test_a_picture_that_was_asked_for_again_is_read_where_it_lies_now(store: PictureStore) -> None:
    store.publish([got("a", b"A" * 5000, asked_at=1)])
    (shard,) = store.folder.iterdir()
    damaged(shard, shard.read_bytes().index(b"A" * 5000) + 2500)
    store.publish([got("a", b"A" * 5000, asked_at=2)])
    assert list(store.read([sha(b"A" * 5000)])) == [(sha(b"A" * 5000), b"A" * 5000)]


def picture(content: bytes) -> Picture:
    return Picture(content, sha(content), 3, 2)


class TestAttempts:
    def test_the_latest_attempt_counts_in_whatever_order_shards_are_read(self, store: PictureStore) -> None:
        for asked_at, status in ((2, "timeout"), (3, "http_404"), (1, "http_500")):
            store.publish([failed("a", asked_at, status)])
        found = Attempts(store).latest("a")
        assert found is not None
        assert (found.asked_at, found.status) == (3, "http_404")
        assert Attempts(store).latest("b") is None

    def test_a_clock_that_was_set_back_makes_no_attempt_older(self, store: PictureStore) -> None:
        future = 10**14
        store.publish([failed("a", future)])
        attempts = Attempts(store)
        attempts.add("a", None, picture(b"A"))
        attempts.flush()
        found = Attempts(store).latest("a")
        assert found is not None
        assert (found.asked_at, found.status) == (future + 1, "ok")

    def test_equal_pictures_are_kept_once(self, store: PictureStore) -> None:
        attempts = Attempts(store)
        for url in ("a", "b"):
            attempts.add(url, None, picture(b"A"))
            attempts.flush()
        assert sorted((attempt.url, kept) for attempt, kept in store.attempts()) == [("a", True), ("b", False)]
        assert {attempt.sha256 for attempt, _ in store.attempts()} == {sha(b"A")}

    def test_what_says_the_same_as_before_is_not_written_again(self, store: PictureStore) -> None:
        for _ in range(3):
            attempts = Attempts(store)
            attempts.add("a", None, picture(b"A"))
            attempts.add("b", None, RefusedError("timeout"))
            attempts.flush()
        assert len(list(store.folder.iterdir())) == 1

    def test_what_lay_in_a_lost_shard_is_unknown_and_kept_anew(self, store: PictureStore) -> None:
        attempts = Attempts(store)
        attempts.add("a", None, picture(b"A"))
        attempts.flush()
        (lost,) = store.folder.iterdir()
        attempts.add("b", None, picture(b"A"))
        attempts.flush()
        lost.unlink()
        attempts = Attempts(store)
        assert attempts.latest("b") is None
        attempts.add("b", None, picture(b"A"))
        attempts.flush()
        assert [row.url for row, kept in store.attempts() if kept] == ["b"]
        assert list(store.read([sha(b"A")])) == [(sha(b"A"), b"A")]

    @pytest.mark.parametrize(
        ("limits", "due_after"),
        [
            ({"shard_bytes": 10}, 3),
            ({"shard_attempts": 5}, 5),
            ({"shard_seconds": 0.0}, 1),
        ],
    )
    def test_a_shard_is_due_by_bytes_attempts_or_time(
        self, store: PictureStore, limits: dict[str, float], due_after: int
    ) -> None:
        attempts = Attempts(store, **limits)  # type: ignore[arg-type]
        assert not attempts.are_due
        for number in range(1, 7):
            attempts.add(str(number), None, picture(f"pic{number}".encode()))
            assert attempts.are_due == (number >= due_after)

    def test_a_size_beyond_the_table_is_the_largest_that_it_holds(self, store: PictureStore) -> None:
        attempts = Attempts(store)
        attempts.add("a", None, RefusedError("too_large", size=10**12))
        attempts.flush()
        found = Attempts(store).latest("a")
        assert found is not None
        assert found.bytes == 2**31 - 1
