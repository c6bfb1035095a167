"""Readers of the Amazon releases: raw lines in, typed rows out, and every line that is left out in `rejects`.

Releases: 2018 (Ni et al., EMNLP 2019) and 2023 (Hou et al., arXiv 2403.03952).
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
from storage.errors import InputError
from storage.lines import Rejects, read_lines
from storage.schemas import SCHEMAS
from storage.text import clean, clean_all, price_of

SECONDS_BELOW = 100_000_000_000  # 1973 in milliseconds, the year 5138 in seconds


@dataclass(frozen=True)
class ReviewKeys:
    """The names that a release gives to what we read of a review."""

    user: str
    item: str
    rating: str
    time: str


REVIEW_KEYS: dict[Format, ReviewKeys] = {
    "amazon2018": ReviewKeys("reviewerID", "asin", "overall", "unixReviewTime"),
    "amazon2023": ReviewKeys("user_id", "parent_asin", "rating", "timestamp"),
}


def read_reviews(path: Path, release: Format, rejects: Rejects) -> pa.RecordBatchReader:
    """Stream the table `reviews` from a raw file, in the order of its lines.

    DuckDB parses the lines; nothing of a review's text is kept. `rejects` is complete when the stream has ended.

    Raises:
        InputError: while the stream is read, if not one line is a review.
    """
    return pa.RecordBatchReader.from_batches(SCHEMAS["reviews"], _reviews(path, release, rejects))


def _reviews(path: Path, release: Format, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    keys = REVIEW_KEYS[release]
    wanted = {keys.user: "VARCHAR", keys.item: "VARCHAR", keys.rating: "FLOAT", keys.time: "BIGINT"}
    query = f"""
        WITH parsed AS (
            SELECT line, raw, json_valid(raw) AS valid,
                   CASE WHEN json_valid(raw) THEN json_transform(raw, '{json.dumps(wanted)}') END AS review
            FROM lines WHERE trim(raw) <> ''
        ), fields AS (
            SELECT line, raw, valid, review."{keys.user}" AS user_id, review."{keys.item}" AS item_id,
                   review."{keys.rating}" AS rating, review."{keys.time}" AS time
            FROM parsed
        ), judged AS (
            SELECT *, CASE WHEN NOT valid THEN 'not JSON'
                           WHEN coalesce(user_id, '') = '' THEN 'no {keys.user}'
                           WHEN coalesce(item_id, '') = '' THEN 'no {keys.item}'
                           WHEN rating IS NULL THEN '{keys.rating} is no number'
                           WHEN time IS NULL OR time < 0 THEN '{keys.time} is no time' END AS reason
            FROM fields
        )
        SELECT user_id, item_id, rating, CASE WHEN time < {SECONDS_BELOW} THEN time * 1000 ELSE time END AS timestamp,
               line, reason, CASE WHEN reason IS NOT NULL THEN raw END AS raw
        FROM judged
    """
    kept = 0
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = true")
        for lines in read_lines(path, rejects):
            connection.register("lines", pa.Table.from_batches([lines]))
            batch = connection.sql(query).to_arrow_table()
            good = pc.is_null(batch["reason"])
            for row in batch.filter(pc.invert(good)).select(["line", "reason", "raw"]).to_pylist():
                rejects.add(row["line"], row["reason"], row["raw"])
            rows = batch.filter(good).select(SCHEMAS["reviews"].names).cast(SCHEMAS["reviews"])
            kept += len(rows)
            yield from rows.to_batches()
    if not kept:
        raise InputError(f"the file of 'reviews', {path.name}, holds not one review in the format {release}")


def read_items(path: Path, release: Format, text_max_chars: int, rejects: Rejects) -> pa.RecordBatchReader:
    """Stream the table `items` from a raw file; of several records of one item the first is kept.

    The later ones go to `rejects`, which is complete when the stream has ended.

    Raises:
        InputError: while the stream is read, if not one line is an item.
    """
    return pa.RecordBatchReader.from_batches(SCHEMAS["items"], _items(path, release, text_max_chars, rejects))


def _items(path: Path, release: Format, text_max_chars: int, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    item_of = ITEM_OF[release]
    seen: set[str] = set()
    for lines in read_lines(path, rejects):
        rows = []
        for line, raw in zip(lines["line"].to_pylist(), lines["raw"].to_pylist(), strict=True):
            if not raw.strip():
                continue
            try:
                record = json.loads(raw)
            except (ValueError, RecursionError):
                rejects.add(line, "not JSON", raw)
                continue
            item = item_of(record) if isinstance(record, dict) else None
            if item is None:
                rejects.add(line, "no item id", raw)
            elif item["item_id"] in seen:
                rejects.add(line, "item was there already", raw)
            else:
                seen.add(item["item_id"])
                rows.append({**item, "text": item_text(item, text_max_chars)})
        yield pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["items"])
    if not seen:
        raise InputError(f"the file of 'metadata', {path.name}, holds not one item in the format {release}")


def item_text(item: dict[str, Any], max_chars: int) -> str:
    """What the text encoder reads: title, brand, categories, features, description, as far as there is room."""
    parts = [item["title"], item["brand"], ", ".join(item["categories"]), *item["features"], *item["description"]]
    return ". ".join(part.rstrip(".") for part in parts if part)[:max_chars]


def _item_2018(record: dict[str, Any]) -> dict[str, Any] | None:
    pictures = [url for key in ("imageURLHighRes", "imageURL", "image") for url in _texts(record.get(key))]
    return _item(record, "asin", "brand", "category", "feature", pictures)


def _item_2023(record: dict[str, Any]) -> dict[str, Any] | None:
    images = [image for image in _list(record.get("images")) if isinstance(image, dict)]
    images.sort(key=lambda image: image.get("variant") != "MAIN")
    pictures = [url for image in images for size in ("hi_res", "large", "thumb") for url in _texts(image.get(size))]
    return _item(record, "parent_asin", "store", "categories", "features", pictures)


def _item(
    record: dict[str, Any], item_id: str, brand: str, categories: str, features: str, pictures: list[str]
) -> dict[str, Any] | None:
    if not isinstance(record.get(item_id), str) or not record[item_id]:
        return None
    return {
        "item_id": record[item_id],
        "title": clean(record.get("title")),
        "brand": clean(record.get(brand)),
        "categories": clean_all(record.get(categories)),
        "features": clean_all(record.get(features)),
        "description": clean_all(record.get("description")),
        "price": price_of(record.get("price")),
        "image_urls": list(dict.fromkeys(pictures)),
    }


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: object) -> list[str]:
    return [text for text in _list(value) if isinstance(text, str) and text]


ITEM_OF = {"amazon2018": _item_2018, "amazon2023": _item_2023}
