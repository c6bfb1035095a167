"""Tables as tab-separated text that any reader takes apart in the same way: no quoting, because nothing needs it."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from storage.errors import InputError

UNSAFE_ID = r'[\x00-\x1f\x7f"]'
# What pandas, and so the toolboxes that read with it, takes for a missing value.
MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip


def write_tsv(path: Path, table: pa.Table) -> None:
    """Write a table with the names of its columns in the first line; null is written as nothing."""
    with path.open("wb") as file:
        file.write("\t".join(table.column_names).encode() + b"\n")
        csv.write_csv(table, file, csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none"))


def check_ids(ids: pa.Array | pa.ChunkedArray, name: str) -> None:
    """Refuse ids that would not come back from tab-separated text as they are.

    Args:
        name: what they are, such as `user_id`; the ids themselves are not shown.

    Raises:
        InputError: an id holds a control character or a quotation mark, or reads as a missing value.
    """
    distinct = pc.unique(ids)
    broken = pc.or_(
        pc.match_substring_regex(distinct, UNSAFE_ID), pc.is_in(distinct, value_set=pa.array(MISSING, distinct.type))
    )
    count = pc.sum(broken).as_py() or 0
    if count:
        raise InputError(
            f"{count:,} {name} of the raw file cannot be written as text that others read: they hold a control "
            "character, such as a tab, or a quotation mark, or read as a missing value, such as NA; rename them there"
        )


def plain(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Texts on one line each: single spaces for all white space and control characters, '' for a quotation mark.

    A quotation mark at the start of a field would make readers look for its end, over lines.
    """
    spaced = pc.replace_substring_regex(texts, r"[\s\p{Z}\p{Cc}]+", " ")
    return pc.utf8_trim_whitespace(pc.replace_substring(spaced, '"', "''"))


def seconds(milliseconds: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """int64 milliseconds as seconds with three decimals, exactly: decimal128."""
    return pc.multiply(milliseconds.cast(pa.decimal128(19, 0)), pa.scalar(Decimal("0.001"), pa.decimal128(4, 3)))
