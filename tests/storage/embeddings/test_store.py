"""Vectors are kept by what they are of; a shard appears whole and is never changed."""

import hashlib
import json
import logging
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from storage.artifacts.data_root import DataRoot
from storage.embeddings.store import EmbeddingStore, in_use, space_name, unused
from storage.errors import InputError

CLIP = {"encoder": "ViT-B-32", "weights": "a", "preprocessing": 1}


def key(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def keys(*numbers: int) -> list[str]:
    return [key(n) for n in numbers]


def rows(*numbers: float) -> np.ndarray:
    """The vector of n is (n, n / 2, -n)."""
    return np.array([[n, n / 2, -n] for n in numbers], dtype=np.float32)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path)


def test_what_was_kept_comes_back_in_the_order_asked(root: DataRoot) -> None:
    store = EmbeddingStore(root, CLIP)
    store.add(keys(3, 1), rows(3, 1))
    store.add(keys(2), rows(2))
    store.flush()
    for again in (store, EmbeddingStore(root, CLIP)):
        place = again.find(keys(1, 9, 2, 3, 1))
        assert (place >= 0).tolist() == [True, False, True, True, True]
        np.testing.assert_array_equal(again.take(place), rows(1, 0, 2, 3, 1))
        assert again.dimension == 3


def test_only_what_has_no_vector_is_new_and_each_once(root: DataRoot) -> None:
    store = EmbeddingStore(root, CLIP)
    assert store.new(keys(2, 1, 2)) == keys(2, 1)
    store.add(keys(1), rows(1))
    store.flush()
    assert EmbeddingStore(root, CLIP).new(keys(2, 1, 2, 5)) == keys(2, 5)


@pytest.mark.parametrize("other", [{"weights": "b"}, {"preprocessing": 2}, {"encoder": "ViT-L-14"}])
def test_another_encoder_knows_nothing_of_them_and_leaves_them_alone(root: DataRoot, other: dict) -> None:
    store = EmbeddingStore(root, CLIP)
    store.add(keys(1), rows(1))
    store.flush()
    another = EmbeddingStore(root, CLIP | other)
    assert another.new(keys(1)) == keys(1)
    another.add(keys(1), rows(7))
    another.flush()
    np.testing.assert_array_equal(EmbeddingStore(root, CLIP).take(np.array([0])), rows(1))


def test_a_space_says_what_it_is(root: DataRoot) -> None:
    store = EmbeddingStore(root, CLIP)
    store.add(keys(1), rows(1))
    store.flush()
    description = root.root / "embeddings" / space_name(CLIP) / "space.json"
    assert json.loads(description.read_text()) == CLIP


def test_a_shard_closes_by_rows_or_by_time(root: DataRoot) -> None:
    def shards() -> int:
        return len(list(root.root.glob("embeddings/*/*.arrow")))

    by_rows = EmbeddingStore(root, CLIP, shard_rows=2, shard_s=1e9)
    by_rows.add(keys(1), rows(1))
    assert shards() == 0
    by_rows.add(keys(2), rows(2))
    assert shards() == 1
    by_time = EmbeddingStore(root, CLIP, shard_rows=1000, shard_s=0)
    by_time.add(keys(3), rows(3))
    assert shards() == 2


def test_shards_are_named_by_their_bytes(root: DataRoot) -> None:
    store = EmbeddingStore(root, CLIP, shard_rows=1)
    store.add(keys(1), rows(1))
    (shard,) = root.root.glob("embeddings/*/*.arrow")
    assert hashlib.sha256(shard.read_bytes()).hexdigest() == shard.stem


def test_what_two_runs_encoded_both_is_there_once_and_whole(root: DataRoot) -> None:
    first, second = EmbeddingStore(root, CLIP), EmbeddingStore(root, CLIP)
    first.add(keys(1, 2), rows(1, 2))
    second.add(keys(2, 3), rows(2, 3))
    first.flush()
    second.flush()
    merged = EmbeddingStore(root, CLIP)
    np.testing.assert_array_equal(merged.take(merged.find(keys(3, 2, 1))), rows(3, 2, 1))


def test_a_damaged_shard_counts_for_nothing(root: DataRoot, caplog: pytest.LogCaptureFixture) -> None:
    store = EmbeddingStore(root, CLIP, shard_rows=1)
    store.add(keys(1), rows(1))
    store.add(keys(2), rows(2))
    damaged, _ = sorted(root.root.glob("embeddings/*/*.arrow"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (root.root / "embeddings" / space_name(CLIP) / ".half.arrow.1.partial").write_bytes(b"half")
    with caplog.at_level(logging.WARNING):
        left = EmbeddingStore(root, CLIP)
    assert len(left.new(keys(1, 2))) == 1
    assert "is damaged (it is not what its name says); its content is encoded again" in caplog.text


def test_nothing_but_finite_vectors_is_kept(root: DataRoot) -> None:
    store = EmbeddingStore(root, CLIP, shard_rows=1)
    store.add([], np.zeros((0, 3), np.float32))
    store.add(keys(1, 2, 3), np.array([[1, 0.5, -1], [np.nan, 0, 0], [0, np.inf, 0]], np.float32))
    store.add(keys(4), np.full((1, 3), np.nan, np.float32))
    again = EmbeddingStore(root, CLIP)
    assert again.new(keys(1, 2, 3, 4)) == keys(2, 3, 4)
    np.testing.assert_array_equal(again.take(again.find(keys(1))), rows(1))


def test_an_empty_store_finds_nothing(root: DataRoot) -> None:
    store = EmbeddingStore(root, CLIP)
    store.flush()
    assert store.dimension is None
    assert store.find([]).tolist() == []
    assert store.find(keys(1)).tolist() == [-1]
    assert not list(root.root.glob("embeddings/*"))


def test_the_store_is_used_by_many_or_collected_by_one(root: DataRoot) -> None:
    with in_use(root), in_use(root), pytest.raises(InputError, match="nothing was collected"), unused(root):
        pass
    with unused(root):
        pass


OFFSETS = {"offsets": (0, 2_000_000_000), "offsets that go back": (64, 0)}  # in place of 0 and 64


def forged(folder: Path, table: pa.Table, offsets: tuple[int, int] | None = None) -> Path:
    """A shard that is named by its own SHA-256, whatever it holds."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    content = sink.getvalue().to_pybytes()
    if offsets:
        sound = struct.pack("<ii", 0, 64)
        before, _, after = content.rpartition(sound)  # behind all that describes the columns
        content = before + struct.pack("<ii", *offsets) + after
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(content).hexdigest()}.arrow"
    path.write_bytes(content)
    return path


def vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


FORGED = {
    "offsets": lambda: pa.table({"content": [key(1)], "vector": vectors(rows(1))}),
    "offsets that go back": lambda: pa.table({"content": [key(1)], "vector": vectors(rows(1))}),
    "bytes that are no text": lambda: pa.table(
        {"content": pa.array([b"\xff"]).view(pa.string()), "vector": vectors(rows(1))}
    ),
    "another width": lambda: pa.table({"content": [key(1)], "vector": vectors(np.ones((1, 2), np.float32))}),
    "other numbers": lambda: pa.table({"content": [key(1)], "vector": vectors(np.ones((1, 3), np.float64))}),
    "other columns": lambda: pa.table({"content": [key(1)], "vectors": vectors(rows(1))}),
    "no vector": lambda: pa.table({"content": [key(1)], "vector": pa.array([None], pa.list_(pa.float32(), 3))}),
    "no number": lambda: pa.table({"content": [key(1)], "vector": pa.array([[1, None, 2]], pa.list_(pa.float32(), 3))}),
    "no rows": lambda: pa.table(
        {"content": pa.array([], pa.string()), "vector": pa.array([], pa.list_(pa.float32(), 3))}
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_shard_that_is_not_sound_though_its_name_fits_is_left_out_with_a_warning(
    root: DataRoot, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    store = EmbeddingStore(root, CLIP)
    store.add(keys(2, 3), rows(2, 3))
    store.flush()
    path = forged(store.folder, FORGED[name](), OFFSETS.get(name))
    with caplog.at_level(logging.WARNING):
        again = EmbeddingStore(root, CLIP)
    assert path.name in caplog.text
    np.testing.assert_array_equal(again.take(again.find(keys(1, 2, 3))), rows(0, 2, 3))
    again.add(keys(1), rows(1))
    again.flush()
    afterwards = EmbeddingStore(root, CLIP)
    np.testing.assert_array_equal(afterwards.take(afterwards.find(keys(1, 2, 3))), rows(1, 2, 3))


def test_a_file_that_is_no_arrow_file_is_left_out(root: DataRoot) -> None:
    store = EmbeddingStore(root, CLIP)
    store.folder.mkdir(parents=True)
    for content in (b"", b"ARROW1\0\0", b"x" * 100):
        (store.folder / f"{hashlib.sha256(content).hexdigest()}.arrow").write_bytes(content)
    assert EmbeddingStore(root, CLIP).new(keys(1)) == keys(1)


def test_many_forged_vectors_of_another_width_cost_an_encoding_and_no_run(root: DataRoot) -> None:
    store = EmbeddingStore(root, CLIP)
    store.add(keys(1, 2), rows(1, 2))
    store.flush()
    forged(store.folder, pa.table({"content": keys(*range(100, 110)), "vector": vectors(np.ones((10, 2), np.float32))}))
    again = EmbeddingStore(root, CLIP)
    assert again.new(keys(1, 2)) == keys(1, 2)
    again.add(keys(1, 2), rows(1, 2))
    again.flush()
    np.testing.assert_array_equal(again.take(again.find(keys(2, 1, 100))), rows(2, 1, 0))
