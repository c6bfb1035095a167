"""What a person is shown of a table: its columns with their meaning, and the first rows, without anybody's id."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from storage.schemas import meaning_of
from storage.text import shorten

ROWS = 8
LONGEST_TEXT = 80
PERSONAL = ("user_id",)  # columns whose values belong to people
MASK = "…"

Cell: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, the type of its values in words, and what it says."""

    name: str
    type: str
    meaning: str | None


def columns_of(path: Path, table: str) -> list[Column]:
    """The columns of a Parquet file that holds the table `table`."""
    return [Column(field.name, type_name(field.type), meaning_of(table, field.name)) for field in pq.read_schema(path)]


def first_rows(path: Path, count: int = ROWS) -> list[dict[str, Cell]]:
    """The first rows of a Parquet file as a person reads them.

    Long texts are cut, vectors and bytes are named by their type instead of shown, and so are personal ids by a mask.
    Nothing is read of columns that are not shown.
    """
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        unread = {field.name: _instead(field) for field in schema if _instead(field)}
        read = [name for name in schema.names if name not in unread]
        batch = next(file.iter_batches(count, row_groups=[0], columns=read), None) if file.num_row_groups else None
    if batch is None:
        return []
    return [{name: unread.get(name) or shown(row[name]) for name in schema.names} for row in batch.to_pylist()]


def shown(value: object) -> Cell:
    """A value as it stands in the preview: numbers as numbers, lists as text, text cut to LONGEST_TEXT."""
    match value:
        case bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case list() | tuple():
            return _cut(_joined(value))
    return _cut(str(value))


def type_name(kind: pa.DataType) -> str:
    """An Arrow type in words, such as `512 × float32`."""
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.list_size} × {type_name(kind.value_type)}"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {type_name(kind.value_type)}"
    return {"float": "float32", "double": "float64", "halffloat": "float16"}.get(str(kind), str(kind))


def _instead(field: pa.Field) -> str | None:
    """What stands for values that are not shown."""
    if field.name in PERSONAL:
        return MASK
    bulky = (pa.types.is_fixed_size_list, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return type_name(field.type) if any(is_kind(field.type) for is_kind in bulky) else None


def _joined(values: Sequence[object]) -> str:
    return ", ".join(_joined(value) if isinstance(value, list | tuple) else str(value) for value in values)


def _cut(text: str) -> str:
    return shorten(" ".join(text[: 4 * LONGEST_TEXT].split()), LONGEST_TEXT)
