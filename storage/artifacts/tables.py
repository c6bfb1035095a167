"""Parquet files: one writer that checks the schema, counts, and hashes the rows; and the readers of them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import InputError
from storage.files.atomic import publishing
from storage.files.mirror import Mirror
from storage.schemas import SCHEMA_VERSION, SCHEMAS, embedding_schema

BLOCK_ROWS = 1 << 16

Rows: TypeAlias = pa.Table | pa.RecordBatchReader


@dataclass(frozen=True)
class Written:
    """What a writer counted: rows, and the hash of their content in their order."""

    rows: int
    data_version: str


@dataclass(frozen=True)
class Embeddings:
    """Vectors by item number.

    Attributes:
        matrix: float32 [n, d], zeros where an item has no value.
        has_value: bool [n].
        about: encoder, weights, dimension and what else the file says of itself.
    """

    matrix: np.ndarray
    has_value: np.ndarray
    about: dict[str, str]


@dataclass(frozen=True)
class CodedReviews:
    """The table `reviews` with numbers in place of strings: 20 bytes a row.

    Attributes:
        user, item: int32 [n], places in `user_ids` and `item_ids`, where each id stands once.
        rating: float32 [n]; timestamp: int64 [n], ms since the epoch.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    timestamp: np.ndarray
    user_ids: pa.Array
    item_ids: pa.Array


def write_table(
    target: Path, name: str, rows: Rows, about: dict[str, str] | None = None, mirror: Mirror | None = None
) -> Written:
    """Publish `rows` as the table `name` at `target`.

    Args:
        name: the key of the table's schema.
        about: facts for the file's own metadata.
        mirror: of the data root, if it has one.

    Returns:
        The count of the rows and a hash of their content that does not depend on how they were cut into batches.

    Raises:
        TypeError: the rows do not fit the schema of `name`.
    """
    schema = SCHEMAS.get(name) or embedding_schema(rows.schema.field("embedding").type)
    if not rows.schema.equals(schema):
        raise TypeError(f"{name}: the rows have the schema\n{rows.schema}\ninstead of\n{schema}")
    facts = {"schema_version": SCHEMA_VERSION, **(about or {})}
    described = schema.with_metadata(facts)
    digest = hashlib.sha256(f"{name} {schema.to_string(show_field_metadata=False)} {facts}".encode())
    count = 0
    options = {"compression": "zstd", "write_page_checksum": True}
    with publishing(target, mirror) as partial, pq.ParquetWriter(partial, described, **options) as writer:
        for block in _blocks(rows):
            writer.write_batch(block)
            digest.update(_canonical(block))
            count += block.num_rows
    return Written(count, digest.hexdigest()[:16])


def read_table(path: Path) -> pa.Table:
    """The whole table; pages are compared with their checksums."""
    return pq.read_table(path, page_checksum_verification=True, partitioning=None).replace_schema_metadata()


def read_coded_reviews(path: Path) -> CodedReviews:
    """The table `reviews`, its ids turned into numbers while it is read."""
    ids = ["user_id", "item_id"]
    table = pq.read_table(path, read_dictionary=ids, page_checksum_verification=True, partitioning=None)
    user, item = (table[name].unify_dictionaries().combine_chunks() for name in ids)
    codes = (user.indices.to_numpy(), item.indices.to_numpy())
    return CodedReviews(
        *codes, table["rating"].to_numpy(), table["timestamp"].to_numpy(), user.dictionary, item.dictionary
    )


def stream_table(path: Path) -> pa.RecordBatchReader:
    """The table in batches, for those that do not fit into memory."""
    file = pq.ParquetFile(path, page_checksum_verification=True)
    return pa.RecordBatchReader.from_batches(file.schema_arrow.remove_metadata(), file.iter_batches(BLOCK_ROWS))


def facts_of(path: Path) -> dict[str, str]:
    """What a file says of itself: schema version, encoder, weights, …"""
    metadata = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items() if not key.startswith(b"ARROW:")}


def require_version(path: Path, asset: str, dataset: str) -> None:
    """Raise InputError if a table was written under another version of the schemas than this code reads."""
    found = facts_of(path).get("schema_version", "none")
    if found != SCHEMA_VERSION:
        is_newer = found.isdecimal() and int(found) > int(SCHEMA_VERSION)
        to_do = "bring this code up to date, or materialize" if is_newer else "materialize"
        raise InputError(
            f"{asset} of {dataset} was written with schema version {found}, and this code reads {SCHEMA_VERSION}; "
            f"{to_do} {asset} again"
        )


def embedding_table(items: pa.Table, matrix: np.ndarray, has_value: np.ndarray, content: pa.Array) -> pa.Table:
    """The rows of an embedding table.

    Args:
        items: the table `item_index`.
        matrix: float16 or float32 [n, d]; has_value: bool [n].
        content: list<string> [n], the SHA-256 of what each vector was made of.
    """
    n, dimension = matrix.shape
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(n * dimension)), dimension)
    columns = [items["item"], items["item_id"], pa.array(has_value), content, vectors]
    return pa.table(columns, schema=embedding_schema(vectors.type))


def read_embeddings(path: Path) -> Embeddings:
    """Decode an embedding table once into one contiguous matrix, float32 whatever the file has."""
    columns = ["has_value", "embedding"]
    table = pq.read_table(path, columns=columns, page_checksum_verification=True, partitioning=None)
    column = table["embedding"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    matrix = flat.reshape(len(table), column.type.list_size).astype(np.float32, copy=False)
    return Embeddings(matrix, table["has_value"].to_numpy(), facts_of(path))


def _blocks(rows: Rows) -> Iterator[pa.RecordBatch]:
    """Cut rows into batches of exactly BLOCK_ROWS (the last one shorter), whatever batches they came in."""
    batches = iter(rows.to_batches() if isinstance(rows, pa.Table) else rows)
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= BLOCK_ROWS:
            joined = pa.Table.from_batches(waiting)
            yield from joined.slice(0, BLOCK_ROWS).combine_chunks().to_batches()
            waiting, count = joined.slice(BLOCK_ROWS).to_batches(), count - BLOCK_ROWS
    if count:
        yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()


def _canonical(block: pa.RecordBatch) -> pa.Buffer:
    """Bytes that are equal for equal rows: `take` copies every value to the front of fresh buffers."""
    everything = pa.array(np.arange(block.num_rows, dtype=np.int64))
    return block.take(everything).serialize()
