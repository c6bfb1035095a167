"""Readers of the Amazon releases: raw records in, typed rows out, and what is left out in `rejects`.

Releases: 2014 (McAuley et al., SIGIR 2015), 2018 (Ni et al., EMNLP 2019) and 2023 (Hou et al., arXiv 2403.03952).
Files may be plain or gzipped, lines or one JSON array. Identifiers are strings: a number has lost its leading zeros
and is refused.
"""

import ast
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from storage.ahead import ahead
from storage.catalogue import Format
from storage.errors import InputError
from storage.lines import NOT_JSON, read_records
from storage.rejects import DUPLICATE, Rejects
from storage.schemas import SCHEMAS
from storage.text import clean, clean_all, is_writable, price_of

SECONDS_BELOW = 100_000_000_000  # 1973 in milliseconds, the year 5138 in seconds
TIMES_END = 4_102_444_800_000  # 2100
MAX_LITERAL_CHARACTERS = 1 << 20  # a syntax tree takes about a hundred times its text

NOT_LITERAL = "not a Python literal of at most 1 MiB"


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

    DuckDB parses the lines, in a thread ahead of whoever writes the rows; nothing of a review's text is kept. Times
    before 100,000,000,000 are taken as seconds, others as milliseconds. `rejects` is complete when the stream has
    ended.

    Raises:
        InputError: while the stream is read, if not one line is a review.
    """
    return pa.RecordBatchReader.from_batches(SCHEMAS["reviews"], ahead(_reviews(path, release, rejects)))


def _reviews(path: Path, release: Format, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    query = _review_query(REVIEW_KEYS[release])
    kept = 0
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = true")
        for records in read_records(path, rejects):
            connection.register("records", pa.Table.from_batches([records]))
            judged = connection.sql(query).to_arrow_table()
            good = pc.is_null(judged["reason"]).combine_chunks()
            bad = pc.invert(good)
            for record, reason in zip(records.filter(bad).to_pylist(), judged["reason"].filter(bad), strict=True):
                if not record["raw"].isspace():
                    rejects.add(record["line"], reason.as_py(), record["raw"])
            rows = judged.filter(good).select(SCHEMAS["reviews"].names).cast(SCHEMAS["reviews"])
            kept += len(rows)
            yield from rows.to_batches()
    if not kept:
        raise InputError(f"the file of 'reviews', {path.name}, holds not one review in the format {release}")


def _review_query(keys: ReviewKeys) -> str:
    """One row a record, in order: a review's fields, and the reason if it cannot be used.

    Each record is parsed once, and a value of another type is turned into the wanted one if it can be. Where that may
    have happened a second look is taken at the type: at identifiers that do not begin with A or B (as most of Amazon's
    do, and as no number, truth value, list or object is written), and at ratings and times of 0 or 1.
    """
    wanted = {keys.user: "VARCHAR", keys.item: "VARCHAR", keys.rating: "FLOAT", keys.time: "BIGINT"}
    type_of = "json_type(raw, '$.{}')"
    text = """CASE WHEN review."{0}" >= 'A' AND review."{0}" < 'C' THEN review."{0}"
                   WHEN review."{0}" IS NULL THEN NULL
                   WHEN json_type(raw, '$.{0}') = 'VARCHAR' THEN review."{0}" END"""
    return f"""
        WITH parsed AS (
            SELECT raw, TRY(json_transform(raw, '{json.dumps(wanted)}')) AS review FROM records
        ), fields AS (
            SELECT raw, review, {text.format(keys.user)} AS user_id, {text.format(keys.item)} AS item_id,
                   review."{keys.rating}" AS rating, review."{keys.time}" AS time
            FROM parsed
        )
        SELECT user_id, item_id, rating, CASE WHEN time < {SECONDS_BELOW} THEN time * 1000 ELSE time END AS timestamp,
               CASE WHEN review IS NULL THEN '{NOT_JSON}'
                    WHEN coalesce(user_id, '') = '' THEN 'no {keys.user}'
                    WHEN coalesce(item_id, '') = '' THEN 'no {keys.item}'
                    WHEN rating IS NULL OR NOT isfinite(rating) THEN '{keys.rating} is no number'
                    WHEN rating <= 1 AND {type_of.format(keys.rating)} = 'BOOLEAN' THEN '{keys.rating} is no number'
                    WHEN time IS NULL OR time < 0 OR time >= {TIMES_END} THEN '{keys.time} is no time'
                    WHEN time <= 1 AND {type_of.format(keys.time)} = 'BOOLEAN' THEN '{keys.time} is no time'
               END AS reason
        FROM fields
    """


def read_items(path: Path, release: Format, text_max_chars: int, rejects: Rejects) -> pa.RecordBatchReader:
    """Stream the table `items` from a raw file; of several records of one item the first is kept.

    The later ones go to `rejects`, which is complete when the stream has ended.

    Raises:
        InputError: while the stream is read, if not one line is an item.
    """
    return pa.RecordBatchReader.from_batches(SCHEMAS["items"], _items(path, release, text_max_chars, rejects))


def _items(path: Path, release: Format, text_max_chars: int, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    parse, unreadable = (_literal, NOT_LITERAL) if release == "amazon2014" else (json.loads, NOT_JSON)
    item_of = ITEM_OF[release]
    seen: set[str] = set()
    for records in read_records(path, rejects):
        rows = []
        for line, raw in zip(records["line"].to_pylist(), records["raw"].to_pylist(), strict=True):
            if raw.isspace():
                continue
            try:
                record = parse(raw)
            except (ValueError, RecursionError):
                rejects.add(line, unreadable, raw)
                continue
            item = item_of(record) if isinstance(record, dict) else None
            if item is None:
                rejects.add(line, "no item id", raw)
            elif item["item_id"] in seen:
                rejects.add(line, DUPLICATE, raw)
            else:
                seen.add(item["item_id"])
                rows.append({**item, "text": item_text(item, text_max_chars)})
        yield pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["items"])
    if not seen:
        raise InputError(f"the file of 'metadata', {path.name}, holds not one item in the format {release}")


def _literal(raw: str) -> object:
    """The Python literal, or the JSON object, of a line of the 2014 metadata; nothing is evaluated.

    Raises:
        ValueError, RecursionError: it is neither, or it is too long.
    """
    if raw.startswith('{"'):
        try:
            return json.loads(raw)
        except ValueError:
            pass
    if len(raw) > MAX_LITERAL_CHARACTERS:
        raise ValueError("too long")
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python no longer likes
            return ast.literal_eval(raw.strip())
    except (SyntaxError, TypeError, MemoryError) as error:
        raise ValueError("no literal") from error


def item_text(item: dict[str, Any], max_chars: int) -> str:
    """What the text encoder reads: title, brand, categories, features, description, as far as there is room.

    This is the one place where that text is made. Its parts are clean already; each ends with one full stop.
    """
    parts = [item["title"], item["brand"], ", ".join(item["categories"]), *item["features"], *item["description"]]
    return ". ".join(part.rstrip(".") for part in parts if part)[:max_chars]


def _item_2014(record: dict[str, Any]) -> dict[str, Any] | None:
    categories = [name for path in _list(record.get("categories")) for name in _list(path)]
    flat = {**record, "categories": categories}
    return _item(flat, "asin", "brand", "categories", "feature", [_texts(record.get("imUrl"))])


def _item_2018(record: dict[str, Any]) -> dict[str, Any] | None:
    return _item(record, "asin", "brand", "category", "feature", _pictures_2018(record))


def _pictures_2018(record: dict[str, Any]) -> Iterator[list[str]]:
    """The large and the small place of each picture where the two lists belong together, else each place alone."""
    large, small = (_list(record.get(key)) for key in ("imageURLHighRes", "imageURL"))
    if len(large) == len(small):
        yield from (_texts(list(places)) for places in zip(large, small, strict=True))
    else:
        yield from map(_texts, (*large, *small))
    yield from map(_texts, _list(record.get("image")))


def _item_2023(record: dict[str, Any]) -> dict[str, Any] | None:
    images = [image for image in _list(record.get("images")) if isinstance(image, dict)]
    images.sort(key=lambda image: image.get("variant") != "MAIN")
    pictures = ([image.get(size) for size in ("hi_res", "large", "thumb")] for image in images)
    return _item(record, "parent_asin", "store", "categories", "features", map(_texts, pictures))


def _item(
    record: dict[str, Any], item_id: str, brand: str, categories: str, features: str, pictures: Iterable[list[str]]
) -> dict[str, Any] | None:
    """What we keep of a product; None without a usable id. Of `pictures`, those with any place, each place once."""
    identifier = record.get(item_id)
    if not isinstance(identifier, str) or not identifier or not is_writable(identifier):
        return None
    return {
        "item_id": identifier,
        "title": clean(record.get("title")),
        "brand": clean(record.get(brand)),
        "categories": clean_all(record.get(categories)),
        "features": clean_all(record.get(features)),
        "description": clean_all(record.get("description")),
        "price": price_of(record.get("price")),
        "image_urls": _distinct(pictures),
    }


def _distinct(pictures: Iterable[list[str]]) -> list[list[str]]:
    """The same pictures with every place left out that stood before, and every picture that then has none."""
    seen: set[str] = set()
    kept = []
    for places in pictures:
        new = [place for place in dict.fromkeys(places) if place not in seen]
        seen.update(new)
        if new:
            kept.append(new)
    return kept


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: object) -> list[str]:
    """The non-empty strings of a list, or a lone one, that UTF-8 can write."""
    return [text for text in _list(value) if isinstance(text, str) and text and is_writable(text)]


ITEM_OF = {"amazon2014": _item_2014, "amazon2018": _item_2018, "amazon2023": _item_2023}
