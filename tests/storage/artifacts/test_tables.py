"""Tables keep their schema, and their data version is that of their rows alone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.artifacts import tables
from storage.artifacts.tables import embedding_table, facts_of, read_embeddings, read_table, stream_table, write_table
from storage.schemas import SCHEMA_VERSION, SCHEMAS

ROWS = st.lists(
    st.tuples(st.text(max_size=5), st.text(max_size=5), st.none() | st.floats(width=32), st.integers(-(2**40), 2**40)),
    max_size=40,
)


def reviews(rows: list[tuple]) -> pa.Table:
    names = SCHEMAS["reviews"].names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SCHEMAS["reviews"])


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_the_version_does_not_depend_on_how_rows_are_cut(tmp_path_factory, monkeypatch_blocks, rows, cuts) -> None:
    folder = tmp_path_factory.mktemp("tables")
    table = reviews(rows)
    whole = write_table(folder / "whole.parquet", "reviews", table)
    pieces, start = [], 0
    for cut in cuts * len(rows):
        if start >= len(rows):
            break
        pieces += table.slice(start, cut).to_batches()
        start += cut
    stream = pa.RecordBatchReader.from_batches(table.schema, iter(pieces))
    cut_up = write_table(folder / "cut.parquet", "reviews", stream)
    assert cut_up == whole
    assert whole.rows == len(rows)
    assert read_table(folder / "cut.parquet").to_pylist().__repr__() == table.to_pylist().__repr__()


@pytest.fixture(scope="module")
def monkeypatch_blocks():
    """Blocks of seven rows, so that a few dozen rows cross several of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BLOCK_ROWS", 7)
        yield


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([("u", "i", 1.0, 5)], [("u", "i", 2.0, 5)]),
        ([("u", "i", None, 5)], [("u", "i", 0.0, 5)]),
        ([("ab", "c", 1.0, 5)], [("a", "bc", 1.0, 5)]),
        ([("a", "x", 1.0, 1), ("b", "x", 1.0, 1)], [("b", "x", 1.0, 1), ("a", "x", 1.0, 1)]),
    ],
    ids=["value", "null", "boundary", "order"],
)
def test_the_version_tells_different_rows_apart(tmp_path: Path, first: list, second: list) -> None:
    versions = {write_table(tmp_path / "t.parquet", "reviews", reviews(rows)).data_version for rows in (first, second)}
    assert len(versions) == 2


def test_rows_of_another_schema_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="splits"):
        write_table(tmp_path / "t.parquet", "splits", reviews([("u", "i", 1.0, 5)]))
    assert list(tmp_path.iterdir()) == []


def test_files_say_what_they_are(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", "reviews", reviews([]), {"encoder": "x"})
    assert facts_of(tmp_path / "t.parquet") == {"schema_version": SCHEMA_VERSION, "encoder": "x"}


def test_a_page_that_was_changed_on_disk_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, "reviews", reviews([(f"user-{n * 7919 % 1000}", "item", 1.0, n) for n in range(1000)]))
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content[start + 60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"(?i)crc|checksum|corrupt"):
        read_table(path)


def test_streaming_gives_the_same_rows(tmp_path: Path) -> None:
    table = reviews([("u", "i", 1.0, n) for n in range(100)])
    write_table(tmp_path / "t.parquet", "reviews", table)
    assert stream_table(tmp_path / "t.parquet").read_all().equals(table)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_embeddings_come_back_as_one_matrix(tmp_path: Path, dtype: type) -> None:
    index = pa.table({"item": pa.array([0, 1], pa.int32()), "item_id": ["a", "b"]})
    matrix = np.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    content = pa.array([["ab", "cd"], []], pa.list_(pa.string()))
    table = embedding_table(index, matrix.astype(dtype), np.array([True, False]), content)
    write_table(tmp_path / "e.parquet", "image_embeddings", table, {"encoder": "tiny"})
    assert read_table(tmp_path / "e.parquet")["embedding"].type.value_type == pa.from_numpy_dtype(dtype)
    found = read_embeddings(tmp_path / "e.parquet")
    np.testing.assert_array_equal(found.matrix, matrix)  # numbers that half precision holds exactly
    assert found.matrix.dtype == np.float32
    assert found.matrix.flags.c_contiguous
    assert found.has_value.tolist() == [True, False]
    assert found.about["encoder"] == "tiny"
