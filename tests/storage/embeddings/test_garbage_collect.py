"""Collecting deletes what no published table names, and nothing else."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from storage.artifacts.data_root import DataRoot
from storage.artifacts.tables import embedding_table, write_table
from storage.embeddings.garbage_collect import collect_vectors
from storage.embeddings.store import EmbeddingStore, in_use, space_name
from storage.errors import InputError
from tests.storage.embeddings.test_store import CLIP, keys, rows

SBERT = {"encoder": "MiniLM"}


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path)


def keep(root: DataRoot, space: dict, *shards: tuple[int, ...]) -> None:
    for numbers in shards:
        store = EmbeddingStore(root, space)
        store.add(keys(*numbers), rows(*numbers))
        store.flush()


def publish(root: DataRoot, dataset: str, space: dict, *content: list[int]) -> None:
    """An embedding table of one item for each of `content`."""
    n = len(content)
    index = pa.table({"item": pa.array(range(n), pa.int32()), "item_id": [str(row) for row in range(n)]})
    named = pa.array([keys(*numbers) for numbers in content], pa.list_(pa.string()))
    table = embedding_table(index, np.ones((n, 3), np.float32), np.ones(n, bool), named)
    path = root.path("image_embeddings", dataset, ".parquet")
    write_table(path, "image_embeddings", table, {"space": space_name(space)}, root.mirror)


def kept(root: DataRoot, space: dict, upto: int = 10) -> list[int]:
    store = EmbeddingStore(root, space)
    place = store.find(keys(*range(upto)))
    there = np.flatnonzero(place >= 0)
    for n, vector in zip(there, store.take(place[there]), strict=True):
        assert vector.tolist() == rows(n)[0].tolist()
    return there.tolist()


def test_what_any_table_names_stays_and_the_rest_goes(root: DataRoot) -> None:
    keep(root, CLIP, (1, 2, 3), (4, 5), (6,))
    keep(root, SBERT, (1, 2))
    publish(root, "books", CLIP, [1], [], [4, 5])
    publish(root, "toys", CLIP, [3])
    found = collect_vectors(root)
    assert (found.kept, found.deleted) == (4, 4)
    assert found.freed_bytes > 0
    assert kept(root, CLIP) == [1, 3, 4, 5]
    assert kept(root, SBERT) == []
    assert [path.name for path in (root.root / "embeddings").glob("*/")] == [space_name(CLIP)]
    assert collect_vectors(root).deleted == 0


def test_second_copies_go(root: DataRoot) -> None:
    keep(root, CLIP, (1, 2), (2, 3))
    publish(root, "books", CLIP, [1], [2], [3])
    found = collect_vectors(root)
    assert (found.kept, found.deleted) == (3, 1)
    assert kept(root, CLIP) == [1, 2, 3]


@pytest.mark.parametrize("other", range(20))
def test_what_stays_of_one_shard_may_be_another_that_goes(root: DataRoot, other: int) -> None:
    keep(root, CLIP, (1, 100 + other), (1,))  # whichever of the two names comes first
    publish(root, "books", CLIP, [1])
    assert collect_vectors(root).kept == 1
    assert kept(root, CLIP) == [1]


def test_what_a_killed_process_left_half_written_goes(root: DataRoot) -> None:
    keep(root, CLIP, (1,))
    (root.root / "embeddings" / space_name(CLIP) / ".ab.arrow.17.partial").write_bytes(b"half")
    assert collect_vectors(root).deleted == 1
    assert not list((root.root / "embeddings").glob("*/"))


def test_a_table_that_cannot_be_read_stops_it(root: DataRoot) -> None:
    keep(root, CLIP, (1,))
    root.path("image_embeddings", "books", ".parquet").parent.mkdir()
    root.path("image_embeddings", "books", ".parquet").write_bytes(b"PAR1 no longer")
    with pytest.raises(InputError, match=r"image_embeddings/books.parquet cannot be read"):
        collect_vectors(root)
    assert kept(root, CLIP) == [1]


def test_nothing_is_collected_while_vectors_are_in_use(root: DataRoot) -> None:
    keep(root, CLIP, (1,))
    with in_use(root), pytest.raises(InputError, match="nothing was collected"):
        collect_vectors(root)
    assert kept(root, CLIP) == [1]


def test_without_a_store_there_is_nothing_to_do(root: DataRoot) -> None:
    found = collect_vectors(root)
    assert (found.kept, found.deleted, found.freed_bytes) == (0, 0, 0)
