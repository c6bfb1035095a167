"""A file of which nothing can be used says why, where that begins, and what the file looks like."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import InputError
from storage.raw.amazon import read_items, read_reviews
from storage.raw.rejects import Rejects

REVIEW = {"user_id": "AU1", "parent_asin": "B1", "rating": 4.0, "timestamp": 1600000000123}
LINE = json.dumps(REVIEW).encode()


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("reviews.jsonl", content)
    return packed.getvalue()


def as_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": ["AU1"]}), sink)
    return sink.getvalue()


def said_of(path: Path, content: bytes, release: str = "amazon2023") -> str:
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_reviews(path, release, Rejects()).read_all()  # type: ignore[arg-type]
    said = str(caught.value)
    assert said.startswith(f"the file of 'reviews', {path.name}, holds not one review in the format {release}; ")
    assert "\n" not in said
    assert said.isprintable()
    return said


COLUMNS = {key: {"0": value} for key, value in REVIEW.items()}
LOOKS: list[tuple[str, bytes, list[str]]] = [
    ("empty", b"", ["it is empty"]),
    ("blank", b"\n \n", ["it is empty"]),
    (
        "csv",
        b"user_id,parent_asin,rating,timestamp\nAU1,B1,4.0,1600000000123\n",
        ["2 of 2 records: not a JSON object, the first in line 1 (user_id,parent_asin", "looks like CSV", "dtype=str"],
    ),
    ("ratings without names", b"B1,A1,5.0,1600000000\nB2,A1,4.0,1600000001\n", ["looks like CSV"]),
    ("quotes", b"a," + b'",' * 500 + b"!", ["1 of 1 records: not a JSON object"]),
    ("tabs", b"user_id\tparent_asin\trating\n", ["looks like CSV"]),
    ("utf-16", LINE.decode().encode("utf-16"), ["looks like UTF-16; write it as UTF-8"]),
    ("utf-16 without a mark", LINE.decode().encode("utf-16-le"), ["looks like UTF-16; write it as UTF-8"]),
    ("zip", zipped(LINE), ["a zip archive; unpack it and name the file within"]),
    ("bzip2", bz2.compress(LINE), ["a bzip2 file"]),
    ("xz", lzma.compress(LINE), ["an xz file"]),
    ("zstd", b"\x28\xb5\x2f\xfd" + bytes(range(90)), ["a Zstandard file"]),
    ("gzip in gzip", gzip.compress(gzip.compress(LINE)), ["gzipped twice"]),
    ("parquet", as_parquet(), ["a Parquet file"]),
    ("pickle", b"\x80\x04\x95\x10", ["a Python pickle, which is never loaded"]),
    (
        "lfs",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        ["Git LFS pointer", "git lfs pull"],
    ),
    ("html", b"\n<!DOCTYPE html>\n<html><body>404</body></html>", ["an HTML or XML page"]),
    ("xml", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", ["an HTML or XML page"]),
    ("pretty", json.dumps(REVIEW, indent=2).encode(), ["one JSON document over many lines", "jq -c ."]),
    ("by columns", json.dumps(COLUMNS).encode(), ["a table by columns, as pandas writes it"]),
    ("wrapped", json.dumps({"data": [REVIEW]}).encode(), ["one JSON document with the records inside"]),
    ("commas", LINE + b",\n" + LINE + b",\n", ["JSON objects with a comma after each"]),
    ("dicts", repr(REVIEW).encode(), ["Python dicts"]),
    (
        "variants",
        b'{"user_id": "AU1", "asin": "B1", "rating": 4.0, "timestamp": 1600000000123}\n',
        [
            "1 of 1 records: no parent_asin, the first in line 1",
            "products by `parent_asin`, and they have `asin` alone",
        ],
    ),
    (
        "2018",
        b'{"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1}\n',
        ["no user_id", "the format amazon2014 or amazon2018; let the catalogue say so in `format`"],
    ),
    (
        "several reasons",
        b"x\n{}\n{}\n" + LINE.replace(b"4.0", b'"good"') + b"\n" + LINE.replace(b"1600000000123", b"-1") + b"\n",
        [
            "2 of 5 records: no user_id, the first in line 2 ({})",
            "1 of 5 records: not a JSON object, the first in line 1 (x)",
            "1 of 5 records: rating is no number, the first in line 4",
            "; 1 other reasons",
        ],
    ),
    ("control characters", b"\x1b[31m\x07 and\ttabs\n", ["the first in line 1 ([31m and tabs)"]),
]


@pytest.mark.parametrize(("name", "content", "words"), LOOKS, ids=[name for name, _, _ in LOOKS])
def test_the_reasons_and_what_it_looks_like(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    said = said_of(tmp_path / "r.jsonl", content)
    for word in words:
        assert word in said


def test_reviews_of_2023_under_the_name_of_2018_say_which_format_they_are(tmp_path: Path) -> None:
    assert "it looks like the format amazon2023" in said_of(tmp_path / "r.jsonl", LINE, "amazon2018")


def test_metadata_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"asin": "B1", "title": "t"}\n' * 3)
    with pytest.raises(InputError) as caught:
        read_items(path, "amazon2023", 500, Rejects()).read_all()
    assert str(caught.value) == (
        "the file of 'metadata', m.jsonl, holds not one item in the format amazon2023; 3 of 3 records: no parent_asin, "
        'the first in line 1 ({"asin": "B1", "title": "t"}); it looks like records of single variants: amazon2023 '
        "counts products by `parent_asin`, and they have `asin` alone"
    )
