"""Items that a shop cannot send: by a key of the metadata, or in a list of ids."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.catalogue import Format, closest_to
from storage.errors import InputError
from storage.limits import MAX_ID_BYTES
from storage.raw.amazon import item_records
from storage.schemas import SCHEMAS

YES = frozenset({"true", "yes", "y", "1", "in stock", "in_stock", "instock", "available"})
NO = frozenset({"false", "no", "n", "0", "out of stock", "out_of_stock", "outofstock", "unavailable", "sold out"})
SHOWN_KEYS = 20
BY_LIST = "list"  # the reason of items that the list names


def unavailable_of(
    metadata: Path, release: Format, key: str | None, listed: str | None
) -> tuple[pa.Table, dict[str, Any]]:
    """The table `unavailable_items`, and how many items each source names.

    Args:
        key: of the metadata's records, whose value says whether the item is available; None where there is no such key.
        listed: the path of a text file with one id a line; None where there is none.

    Raises:
        InputError: no record has the key, or the list cannot be read.
    """
    found: dict[str, str] = {}
    facts: dict[str, Any] = {}
    if key is not None:
        unreadable: Counter[str] = Counter()
        for item_id in _by_key(metadata, release, key, unreadable):
            found.setdefault(item_id, f"metadata key {key}")
        facts |= {"by_key": len(found), "availability_not_read": dict(unreadable.most_common(SHOWN_KEYS))}
    if listed is not None:
        ids = list(_by_list(Path(listed)))
        for item_id in ids:
            found.setdefault(item_id, BY_LIST)
        facts |= {"in_list": len(ids)}
    columns = {"item_id": list(found), "reason": list(found.values())}
    return pa.table(columns, schema=SCHEMAS["unavailable_items"]), facts


def _by_key(metadata: Path, release: Format, key: str, unreadable: Counter[str]) -> Iterator[str]:
    """The ids of records that say that their item is not available; values without a meaning are counted."""
    has_key, keys = False, dict[str, None]()
    for item_id, record in item_records(metadata, release):
        if key not in record:
            keys |= dict.fromkeys(record) if len(keys) < SHOWN_KEYS else {}
            continue
        has_key, available = True, meaning_of(record[key])
        if available is None and record[key] is not None:
            unreadable[str(record[key])[:40]] += 1
        if available is False:
            yield item_id
    if not has_key:
        named = ", ".join(map(str, list(keys)[:SHOWN_KEYS]))
        raise InputError(
            f"'available' names the key {key!r}, which no record of the metadata has{closest_to(key, list(keys))}; "
            f"there are: {named}"
        )


def meaning_of(value: object) -> bool | None:
    """Whether a value of the metadata says that an item is available; None where it says neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value > 0 if math.isfinite(value) else None  # pieces in stock
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in YES else False if word in NO else None
    return None


def _by_list(path: Path) -> Iterator[str]:
    """The ids of a text file, one a line."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                item_id = line.strip()
                if len(item_id.encode()) > MAX_ID_BYTES:
                    raise InputError(f"line {number} of {path.name} ('unavailable') is too long for an id")
                if item_id:
                    yield item_id
    except OSError as error:
        raise InputError(f"'unavailable' names {path.name}, which cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"'unavailable' names {path.name}, which is not UTF-8: it holds one item id a line") from None
