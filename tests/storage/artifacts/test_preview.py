"""What a person is shown of a table, and what never."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.artifacts.preview import columns_of, first_rows, type_name
from storage.schemas import SCHEMAS, embedding_schema, meaning_of


def test_the_first_rows_show_numbers_cut_texts_and_nobody(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    vectors = pa.array([[0.5, 0.25]] * 20, pa.list_(pa.float32(), 2))
    table = pa.table(
        {
            "user_id": ["AHAABBCC"] * 20,
            "item": pa.array(range(20), pa.int32()),
            "price": [1.5, None, *[float("nan")] * 18],
            "title": ["Word\n" * 60] * 20,
            "image_urls": [[["http://a/large", "http://a/small"], ["http://b"]]] * 20,
            "content": [b"secret"] * 20,
            "embedding": vectors,
        }
    )
    pq.write_table(table, path, row_group_size=5)
    rows = first_rows(path, 8)
    assert len(rows) == 5 or len(rows) == 8
    assert rows[1] == {
        "user_id": "…",
        "item": 1,
        "price": None,
        "title": "Word " * 15 + "Word…",
        "image_urls": "http://a/large, http://a/small, http://b",
        "content": "binary",
        "embedding": "2 × float32",
    }
    assert rows[0]["price"] == 1.5
    assert rows[2]["price"] == "nan"


def test_an_empty_table_has_columns_and_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rejects.parquet"
    pq.write_table(SCHEMAS["rejects"].empty_table(), path)
    assert first_rows(path) == []
    assert [(column.name, column.type) for column in columns_of(path, "rejects")] == [
        ("line", "int64"),
        ("reason", "string"),
        ("raw", "string"),
    ]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.list_(pa.float16(), 512), "512 × float16"),
        (pa.list_(pa.list_(pa.string())), "list of list of string"),
        (pa.float64(), "float64"),
        (pa.int8(), "int8"),
    ],
)
def test_types_in_words(kind: pa.DataType, name: str) -> None:
    assert type_name(kind) == name


def test_every_column_of_every_table_says_what_it_is() -> None:
    tables = SCHEMAS | {"image_embeddings": embedding_schema(pa.list_(pa.float32(), 2))}
    silent = [f"{table}.{name}" for table, schema in tables.items() for name in schema.names
              if not meaning_of(table, name)]  # fmt: skip
    assert silent == []
    assert meaning_of("tuning", "seconds") != meaning_of("history", "seconds")
