"""Readers of the Amazon releases: raw records in, typed rows out, and what is left out in `rejects`.

Releases: 2014 (McAuley et al., SIGIR 2015), 2018 (Ni et al., EMNLP 2019) and 2023 (Hou et al., arXiv 2403.03952).
Files may be plain or gzipped, lines or one JSON array. Of a key that a JSON object has twice, the first counts.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from storage.catalogue import Format
from storage.limits import MAX_ID_BYTES
from storage.prefetch import ahead
from storage.raw.fields import Fields, distinct, identifier
from storage.raw.lines import NOT_JSON, read_records
from storage.raw.printed_values import read_literal
from storage.raw.rejects import DUPLICATE, Rejects
from storage.raw.unusable_files import nothing_usable
from storage.schemas import SCHEMAS

TIMES_END = 4_102_444_800_000  # 2100, in milliseconds
# A time is a number of s, ms, us or ns since 1970, and its size tells which: all but s begin in 1973, so that no number
# has two meanings. Least number, end, and what gives milliseconds.
UNITS = [
    (0, TIMES_END // 1_000, "* 1000"),
    (10**11, TIMES_END, ""),
    (10**14, TIMES_END * 1_000, "// 1000"),
    (10**17, TIMES_END * 1_000_000, "// 1000000"),
]
ISO_TIME = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?"

NOT_LITERAL = "not a Python literal of at most 1 MiB"
ID_TOO_LONG = f"is longer than {MAX_ID_BYTES} bytes"
NO_ID = "is neither a text nor a whole number"
NO_NUMBER, NO_TIME = "is no number", "is no time before 2100"


@dataclass(frozen=True)
class ReviewKeys:
    """The names that a release gives to what we read of a review."""

    user: str
    item: str
    rating: str
    time: str


REVIEW_KEYS: dict[Format, ReviewKeys] = {
    "amazon2014": ReviewKeys("reviewerID", "asin", "overall", "unixReviewTime"),
    "amazon2018": ReviewKeys("reviewerID", "asin", "overall", "unixReviewTime"),
    "amazon2023": ReviewKeys("user_id", "parent_asin", "rating", "timestamp"),
}


def read_reviews(path: Path, release: Format, rejects: Rejects) -> pa.RecordBatchReader:
    """Stream the table `reviews` from a raw file, in the order of its lines.

    DuckDB parses the lines, in a thread ahead of whoever writes the rows; nothing of a review's text is kept. An id is
    a text or a whole number; a time is a number of s, ms, us or ns since 1970, by its size, or an ISO date, which is
    UTC where it names no zone. `rejects` is complete when the stream has ended.

    Raises:
        InputError: while the stream is read, if not one line is a review.
    """
    return pa.RecordBatchReader.from_batches(SCHEMAS["reviews"], ahead(_reviews(path, release, rejects)))


def _reviews(path: Path, release: Format, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    query = _review_query(REVIEW_KEYS[release])
    kept = 0
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = true; SET TimeZone = 'UTC'")
        for records in read_records(path, rejects):
            connection.register("records", pa.Table.from_batches([records]))
            checked = connection.sql(query).to_arrow_table()
            good = pc.is_null(checked["reason"]).combine_chunks()
            bad = pc.invert(good)
            for record, reason in zip(records.filter(bad).to_pylist(), checked["reason"].filter(bad), strict=True):
                if not record["raw"].isspace():
                    rejects.add(record["line"], reason.as_py(), record["raw"])
            rows = checked.filter(good).select(SCHEMAS["reviews"].names).cast(SCHEMAS["reviews"])
            kept += len(rows)
            yield from rows.to_batches()
    if not kept:
        raise nothing_usable("reviews", path, release, rejects)


def _review_query(keys: ReviewKeys) -> str:
    """One row a record, in order: a review's fields, and the reason if it cannot be used.

    Each record is parsed once, and a value of another type is turned into the wanted one if it can be. Where that may
    have happened a second look is taken at the type: at identifiers that do not begin with A or B (as most of Amazon's
    do, and as no number, truth value, list or object is written), at ratings and times of 0 or 1, and at times that are
    no numbers.
    """
    wanted = {keys.user: "VARCHAR", keys.item: "VARCHAR", keys.rating: "FLOAT", keys.time: "BIGINT"}

    def type_of(key: str) -> str:
        return f"TRY(json_type(raw, '$.{key}'))"

    def id_of(key: str) -> str:
        return f"""CASE WHEN review."{key}" >= 'A' AND review."{key}" < 'C' THEN review."{key}"
                        WHEN review."{key}" IS NULL THEN NULL
                        WHEN {type_of(key)} IN ('VARCHAR', 'UBIGINT', 'BIGINT') THEN review."{key}" END"""

    def bad_id(key: str, value: str) -> str:
        return f"""WHEN {value} IS NULL AND {type_of(key)} <> 'NULL' THEN '{key} {NO_ID}'
                   WHEN coalesce({value}, '') = '' THEN 'no {key}'
                   WHEN strlen({value}) > {MAX_ID_BYTES} THEN '{key} {ID_TOO_LONG}'"""

    units = " ".join(f"WHEN time >= {least} AND time < {end} THEN time {to_ms}" for least, end, to_ms in UNITS)
    written = f"TRY(json_extract_string(raw, '$.{keys.time}'))"
    iso = f"""CASE WHEN regexp_full_match({written}, '{ISO_TIME}')
                   THEN epoch_ms(TRY_CAST({written} AS TIMESTAMPTZ)) END"""

    return f"""
        WITH parsed AS (
            SELECT raw, TRY(json_transform(raw, '{json.dumps(wanted)}')) AS review FROM records
        ), fields AS (
            SELECT raw, review, {id_of(keys.user)} AS user_id, {id_of(keys.item)} AS item_id,
                   review."{keys.rating}" AS rating, review."{keys.time}" AS time
            FROM parsed
        ), timed AS (
            SELECT *, CASE WHEN review IS NULL THEN NULL WHEN time IS NULL THEN {iso} {units} END AS timestamp
            FROM fields
        )
        SELECT user_id, item_id, rating, timestamp,
               CASE WHEN review IS NULL THEN '{NOT_JSON}'
                    {bad_id(keys.user, "user_id")}
                    {bad_id(keys.item, "item_id")}
                    WHEN rating IS NULL OR NOT isfinite(rating) THEN '{keys.rating} {NO_NUMBER}'
                    WHEN rating <= 1 AND {type_of(keys.rating)} = 'BOOLEAN' THEN '{keys.rating} {NO_NUMBER}'
                    WHEN timestamp IS NULL OR timestamp < 0 OR timestamp >= {TIMES_END} THEN '{keys.time} {NO_TIME}'
                    WHEN time <= 1 AND {type_of(keys.time)} = 'BOOLEAN' THEN '{keys.time} {NO_TIME}'
               END AS reason
        FROM timed
    """


def read_items(path: Path, release: Format, text_max_chars: int, rejects: Rejects) -> pa.RecordBatchReader:
    """Stream the table `items` from a raw file; of several records of one item the first is kept.

    The later ones go to `rejects`, which is complete when the stream has ended.

    Raises:
        InputError: while the stream is read, if not one line is an item.
    """
    return pa.RecordBatchReader.from_batches(SCHEMAS["items"], _items(path, release, text_max_chars, rejects))


def _items(path: Path, release: Format, text_max_chars: int, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    item_of, key = ITEM_OF[release], ITEM_KEYS[release]
    seen: set[str] = set()
    for records in read_records(path, rejects):
        rows = []
        for line, raw in zip(records["line"].to_pylist(), records["raw"].to_pylist(), strict=True):
            if raw.isspace():
                continue
            try:
                record = _record(raw, release)
            except ValueError as error:
                rejects.add(line, str(error), raw)
                continue
            item_id, reason = _item_id(record, key)
            if reason:
                rejects.add(line, reason, raw)
            elif item_id in seen:
                rejects.add(line, DUPLICATE, raw)
            else:
                seen.add(item_id)
                item = item_of(Fields(record, rejects.noting(line)))
                rows.append({**item, "item_id": item_id, "text": item_text(item, text_max_chars)})
        yield pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["items"])
    if not seen:
        raise nothing_usable("metadata", path, release, rejects)


def item_records(path: Path, release: Format) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id of every item of a raw file with its whole record; what `read_items` leaves out is left out, unsaid."""
    seen: set[str] = set()
    for records in read_records(path, Rejects()):
        for raw in records["raw"].to_pylist():
            try:
                record = _record(raw, release)
            except ValueError:
                continue
            item_id, reason = _item_id(record, ITEM_KEYS[release])
            if not reason and item_id not in seen:
                seen.add(item_id)
                yield item_id, record


def _record(raw: str, release: Format) -> dict[str, Any]:
    """The JSON object of a line, or the Python dict of a line of 2014; nothing is evaluated.

    Raises:
        ValueError: it is none; the message is the reason.
    """
    try:
        is_twice = any(raw.count(f'"{key}"') > 1 for key in READ_KEYS[release])
        record = json.loads(raw, object_pairs_hook=_first_wins if is_twice else None)
    except (ValueError, RecursionError):
        if release != "amazon2014":
            raise ValueError(NOT_JSON) from None
        try:
            record = read_literal(raw)
        except ValueError:
            raise ValueError(NOT_LITERAL) from None
    if not isinstance(record, dict):
        raise ValueError(NOT_JSON)
    return record


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which the first value of a key counts, as it does for DuckDB."""
    return dict(reversed(pairs))


def _item_id(record: dict[str, Any], key: str) -> tuple[str, str]:
    """The id of an item, and why it has none that can be used; one of the two is ""."""
    given = record.get(key)
    found = identifier(given)
    if found is None:
        return "", f"no {key}" if given is None or given == "" else f"{key} {NO_ID}"
    return (found, "") if len(found.encode()) <= MAX_ID_BYTES else ("", f"{key} {ID_TOO_LONG}")


def item_text(item: dict[str, Any], max_chars: int) -> str:
    """What the text encoder reads: title, brand, categories, features, description, as far as there is room.

    This is the one place where that text is made. Its parts are clean already; each ends with one full stop.
    """
    parts = [item["title"], item["brand"], ", ".join(item["categories"]), *item["features"], *item["description"]]
    return ". ".join(part.rstrip(".") for part in parts if part)[:max_chars]


def _item_2014(fields: Fields) -> dict[str, Any]:
    return _item(fields, "brand", "categories", "feature", fields.pictures("imUrl"))


def _item_2018(fields: Fields) -> dict[str, Any]:
    """The large and the small place of each picture where the two lists belong together, else each place alone."""
    large, small = (fields.places(key) for key in ("imageURLHighRes", "imageURL"))
    together = len(large) == len(small)
    pictures = [big + little for big, little in zip(large, small, strict=True)] if together else [*large, *small]
    return _item(fields, "brand", "category", "feature", [*pictures, *fields.places("image")])


def _item_2023(fields: Fields) -> dict[str, Any]:
    return _item(fields, "store", "categories", "features", fields.pictures("images"))


def _item(fields: Fields, brand: str, categories: str, features: str, pictures: list[list[str]]) -> dict[str, Any]:
    """What we keep of a product but for its id. Of `pictures`, those with any place, each place once."""
    return {
        "title": fields.text("title"),
        "brand": fields.text(brand),
        "categories": fields.names(categories),
        "features": fields.texts(features),
        "description": fields.texts("description"),
        "price": fields.price("price"),
        "image_urls": distinct(pictures),
    }


ITEM_KEYS: dict[Format, str] = {"amazon2014": "asin", "amazon2018": "asin", "amazon2023": "parent_asin"}
READ_KEYS: dict[Format, tuple[str, ...]] = {
    "amazon2014": ("asin", "title", "brand", "categories", "feature", "description", "price", "imUrl"),
    "amazon2018": (
        "asin", "title", "brand", "category", "feature", "description", "price", "imageURLHighRes", "imageURL", "image",
    ),
    "amazon2023": ("parent_asin", "title", "store", "categories", "features", "description", "price", "images"),
}  # fmt: skip
ITEM_OF = {"amazon2014": _item_2014, "amazon2018": _item_2018, "amazon2023": _item_2023}
