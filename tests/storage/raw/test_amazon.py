"""Reviews and items of the three releases, from lines written here and from authentic files."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.errors import InputError
from storage.raw.amazon import item_text, read_items, read_reviews
from storage.raw.lines import NOT_JSON, NOT_UTF8
from storage.raw.rejects import DUPLICATE, Rejects
from tests.conftest import SHARED_DATA


def reviews(path: Path, release: Any, content: bytes | None = None) -> tuple[pa.Table, Rejects]:
    if content is not None:
        path.write_bytes(content)
    rejects = Rejects()
    return read_reviews(path, release, rejects).read_all(), rejects


def items(path: Path, release: Any, content: bytes | None = None) -> tuple[list[dict], Rejects]:
    if content is not None:
        path.write_bytes(content)
    rejects = Rejects()
    return read_items(path, release, 2000, rejects).read_all().to_pylist(), rejects


def told(rejects: Rejects) -> list[tuple[int, str]]:
    return [(row["line"], row["reason"]) for row in rejects.table().to_pylist()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dump"


REVIEW_2023 = {"user_id": "AE1", "asin": "B0X", "parent_asin": "B0P", "rating": 4.0, "timestamp": 1600000000123}


def lines_of(*records: object) -> bytes:
    return b"".join(
        (record if isinstance(record, bytes) else json.dumps(record).encode()) + b"\n" for record in records
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_review_of_2023_is_of_the_parent_product_in_milliseconds(path, pack):
    table, rejects = reviews(path, "amazon2023", pack(lines_of(REVIEW_2023)))
    assert table.to_pylist() == [{"user_id": "AE1", "item_id": "B0P", "rating": 4.0, "timestamp": 1600000000123}]
    assert len(rejects) == 0


@pytest.mark.parametrize("release", ["amazon2014", "amazon2018"])
def test_reviews_of_2014_and_2018_count_seconds_and_keep_leading_zeros(path, release):
    record = {"reviewerID": "A2", "asin": "0000031887", "overall": 5.0, "unixReviewTime": 1393545600}
    table, _ = reviews(path, release, lines_of(record))
    assert table.to_pylist() == [{"user_id": "A2", "item_id": "0000031887", "rating": 5.0, "timestamp": 1393545600000}]


BAD_REVIEWS: list[tuple[bytes | dict, str]] = [
    (b'{"user_id": broken', NOT_JSON),
    (b"[1, 2]x", NOT_JSON),
    (b"null", NOT_JSON),
    (b"caf\xe9", NOT_UTF8),
    (b"[1, 2]", "no user_id"),
    (b'"text"', "no user_id"),
    ({**REVIEW_2023, "user_id": ""}, "no user_id"),
    ({**REVIEW_2023, "user_id": None}, "no user_id"),
    ({**REVIEW_2023, "user_id": ["AE1"]}, "user_id is neither a text nor a whole number"),
    ({**REVIEW_2023, "user_id": {"A": "B"}}, "user_id is neither a text nor a whole number"),
    ({**REVIEW_2023, "user_id": float("nan")}, "user_id is neither a text nor a whole number"),
    ({**REVIEW_2023, "user_id": True}, "user_id is neither a text nor a whole number"),
    ({**REVIEW_2023, "user_id": 10**30}, "user_id is neither a text nor a whole number"),
    ({**REVIEW_2023, "user_id": "\u00e9" * 257}, "user_id is longer than 512 bytes"),
    ({**REVIEW_2023, "parent_asin": 31887.0}, "parent_asin is neither a text nor a whole number"),
    ({**REVIEW_2023, "parent_asin": "B" * 513}, "parent_asin is longer than 512 bytes"),
    ({key: value for key, value in REVIEW_2023.items() if key != "parent_asin"}, "no parent_asin"),
    ({**REVIEW_2023, "rating": "good"}, "rating is no number"),
    ({**REVIEW_2023, "rating": True}, "rating is no number"),
    ({**REVIEW_2023, "rating": float("nan")}, "rating is no number"),
    ({**REVIEW_2023, "rating": None}, "rating is no number"),
    ({**REVIEW_2023, "timestamp": "yesterday"}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": -1}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": 99_999_999_999}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": 10**13}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": 10**16}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": "2020-13-01"}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": "1969-12-31"}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": "2020-09-13T12"}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": 10**30}, "timestamp is no time before 2100"),
    ({**REVIEW_2023, "timestamp": False}, "timestamp is no time before 2100"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_REVIEWS)
def test_a_bad_review_is_rejected_with_its_line_and_reason_and_its_neighbours_are_kept(path, bad, reason):
    table, rejects = reviews(path, "amazon2023", lines_of(REVIEW_2023, bad, b"  ", {**REVIEW_2023, "user_id": "AE2"}))
    assert table["user_id"].to_pylist() == ["AE1", "AE2"]
    assert told(rejects) == [(2, reason)]
    if isinstance(bad, dict):
        assert json.loads(rejects.table()["raw"][0].as_py()).keys() == bad.keys()


@pytest.mark.parametrize(
    ("key", "value", "column", "expected"),
    [
        ("rating", "4.5", "rating", 4.5),
        ("rating", 1, "rating", 1.0),
        ("rating", 0, "rating", 0.0),
        ("timestamp", "1600000000123", "timestamp", 1600000000123),
        ("timestamp", 1600000000, "timestamp", 1600000000000),
        ("timestamp", 4_102_444_799, "timestamp", 4_102_444_799_000),
        ("timestamp", 1600000000123456, "timestamp", 1600000000123),
        ("timestamp", 1600000000123456789, "timestamp", 1600000000123),
        ("timestamp", "1600000000123000000", "timestamp", 1600000000123),
        ("timestamp", "2020-09-13T12:26:40Z", "timestamp", 1600000000000),
        ("timestamp", "2020-09-13 12:26:40.123", "timestamp", 1600000000123),
        ("timestamp", "2020-09-13T14:26:40+02:00", "timestamp", 1600000000000),
        ("timestamp", "2020-09-13", "timestamp", 1599955200000),
        ("user_id", 31887, "user_id", "31887"),
        ("user_id", "0x1F", "user_id", "0x1F"),
        ("parent_asin", 18446744073709551615, "item_id", "18446744073709551615"),
        ("parent_asin", "B" * 512, "item_id", "B" * 512),
        ("timestamp", 1, "timestamp", 1000),
        ("user_id", 'quo"te\\ \u00e9\U0001f381', "user_id", 'quo"te\\ \u00e9\U0001f381'),
        ("parent_asin", "007", "item_id", "007"),
    ],
)
def test_values_that_mean_a_review(path, key, value, column, expected):
    table, rejects = reviews(path, "amazon2023", lines_of({**REVIEW_2023, key: value}))
    assert table[column].to_pylist() == [expected]
    assert len(rejects) == 0


def test_a_file_without_a_review_is_refused(path):
    with pytest.raises(InputError, match="not one review"):
        reviews(path, "amazon2023", lines_of({"reviewerID": "A", "asin": "B", "overall": 5.0, "unixReviewTime": 1}))


def test_order_of_reviews_is_that_of_the_lines_across_blocks(path):
    count = 120_000
    record = {**REVIEW_2023, "text": "x" * 150}
    content = lines_of(*({**record, "user_id": f"U{n}"} if n % 1000 else b"bad" for n in range(count)))
    table, rejects = reviews(path, "amazon2023", content)
    assert table["user_id"].to_pylist() == [f"U{n}" for n in range(count) if n % 1000]
    assert told(rejects) == [(n + 1, NOT_JSON) for n in range(0, count, 1000)]


def test_an_item_of_2014_is_a_python_literal_that_is_never_run(path):
    line = (
        b"{'asin': '0000031852', 'title': \"Girls' Tutu &amp; Bow\", 'price': 3.17, 'brand': 'Coxlures',"
        b" 'categories': [['Sports', 'Dance'], ['Sports', 'Kids']], 'description': 'So \\xe9l\\'egant',"
        b" 'imUrl': 'http://example.org/a.jpg'}"
    )
    evil = b"{'asin': __import__('os').abort()}"
    rows, rejects = items(path, "amazon2014", lines_of(line, evil, b"{[]: 1}", b"(" * 300, {"asin": "B1"}))
    assert rows[0] == {
        "item_id": "0000031852",
        "title": "Girls' Tutu & Bow",
        "brand": "Coxlures",
        "categories": ["Sports", "Dance", "Kids"],
        "price": 3.17,
        "text": "Girls' Tutu & Bow. Coxlures. Sports, Dance, Kids. So \u00e9l'egant",
        "image_urls": [["http://example.org/a.jpg"]],
    }
    assert rows[1]["item_id"] == "B1"
    assert [line for line, _ in told(rejects)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ({"imageURLHighRes": ["l1", "l2"], "imageURL": ["s1", "s2"]}, [["l1", "s1"], ["l2", "s2"]]),
        ({"imageURLHighRes": ["l1", ""], "imageURL": [None, "s2"]}, [["l1"], ["s2"]]),
        ({"imageURLHighRes": ["l1"], "imageURL": ["s1", "s2"]}, [["l1"], ["s1"], ["s2"]]),
        ({"imageURL": ["s1", "s2"]}, [["s1"], ["s2"]]),
        ({"imageURLHighRes": ["same"], "imageURL": ["same"]}, [["same"]]),
        ({"imageURLHighRes": [["l1", "l2"]], "imageURL": ["s1"]}, [["l1"], ["l2"], ["s1"]]),
        ({"imageURLHighRes": "['l1', 'l2']", "imageURL": "['s1' 's2']"}, [["l1", "s1"], ["l2", "s2"]]),
        ({"image": ["o1", "", "o1", None, "o2"]}, [["o1"], ["o2"]]),
        ({"image": "o1"}, [["o1"]]),
        ({"imageURLHighRes": [], "imageURL": [], "image": None}, []),
        ({"imageURLHighRes": ["l1"], "imageURL": ["s1"], "image": ["s1", "o2"]}, [["l1", "s1"], ["o2"]]),
    ],
)
def test_pictures_of_2018_in_either_schema_the_largest_place_of_each_first(path, pictures, expected):
    rows, rejects = items(path, "amazon2018", lines_of({"asin": "B1", **pictures}))
    assert [row["image_urls"] for row in rows] == [expected]
    assert len(rejects) == 0


def test_an_item_of_2018_may_have_a_price_or_what_stood_around_it(path):
    rows, _ = items(
        path, "amazon2018", lines_of({"asin": "B1", "price": "$12.99"}, {"asin": "B2", "price": ".a-box{}"})
    )
    assert [row["price"] for row in rows] == [12.99, None]


def test_an_item_of_2023_shows_its_main_picture_first_and_survives_nulls(path):
    images = [
        {"variant": "PT01", "large": "p.jpg", "hi_res": None},
        None,
        {"variant": "MAIN", "thumb": "t.jpg", "large": "m.jpg", "hi_res": "h.jpg"},
        {"variant": "PT02", "thumb": "t.jpg", "large": {}, "hi_res": ["x"]},
    ]
    full = {"parent_asin": "B1", "title": None, "store": None, "price": None, "images": images, "features": None}
    rows, rejects = items(path, "amazon2023", lines_of(full, {"parent_asin": "B2", "images": "x", "title": ["y"]}))
    assert rows[0]["image_urls"] == [["h.jpg", "m.jpg", "t.jpg"], ["p.jpg"], ["x"]]
    assert (rows[0]["title"], rows[0]["price"], rows[0]["text"]) == ("", None, "")
    assert (rows[1]["image_urls"], rows[1]["title"]) == ([["x"]], "y")
    assert len(rejects) == 0


def test_a_value_that_is_there_and_not_read_is_counted_by_key_and_its_beginning_is_kept(path):
    lines = lines_of(
        {"parent_asin": "B1", "images": [{"url": "a"}], "price": "$1 - $2"},
        {"parent_asin": "B2", "images": {"main": {"url": "b"}}},
        {"parent_asin": "B3", "images": ["c"], "title": "Tea"},
    )
    rows, rejects = items(path, "amazon2023", lines)
    assert [row["image_urls"] for row in rows] == [[], [], [["c"]]]
    assert rejects.not_read() == {"images: another shape": 2, "price: a range of prices": 1}
    assert [tuple(row.values()) for row in rejects.table().to_pylist()] == [
        (1, "images: another shape (not read)", '{"url": "a"}'),
        (1, "price: a range of prices (not read)", "$1 - $2"),
        (2, "images: another shape (not read)", '{"main": {"url": "b"}}'),
    ]
    assert (len(rejects), rejects.by_reason()) == (0, {})


def test_of_a_key_that_is_there_twice_both_readers_take_the_first_value(path):
    review = (
        b'{"user_id": "A1", "user_id": "A2", "parent_asin": "B1", "parent_asin": "B2", "rating": 1, "timestamp": 9}'
    )
    table, _ = reviews(path, "amazon2023", review)
    assert (table["user_id"].to_pylist(), table["item_id"].to_pylist()) == (["A1"], ["B1"])
    rows, _ = items(
        path, "amazon2023", b'{"parent_asin": "B1", "title": "first", "parent_asin": "B2", "title": "last"}'
    )
    assert [(row["item_id"], row["title"]) for row in rows] == [("B1", "first")]


def test_whole_numbers_are_the_same_ids_to_both_readers(path):
    table, _ = reviews(path, "amazon2023", lines_of({**REVIEW_2023, "parent_asin": 31887}))
    rows, _ = items(path, "amazon2023", lines_of({"parent_asin": 31887}))
    assert table["item_id"].to_pylist() == [row["item_id"] for row in rows] == ["31887"]


def test_bad_items_are_told_apart_from_items_that_come_again(path):
    half = b'{"parent_asin": "B3", "title": "half \\ud83c", "images": [{"large": "\\ud83c"}]}'
    first, again = {"parent_asin": "B1", "title": "first"}, {"parent_asin": "B1", "title": "again"}
    number, surrogate = {"parent_asin": 31887.5}, b'{"parent_asin": "\\ud83c"}'
    rows, rejects = items(
        path, "amazon2023", lines_of(first, again, b"broken", number, [1], half, surrogate, b"[" * 100_000)
    )
    assert [(row["item_id"], row["title"]) for row in rows] == [("B1", "first"), ("B3", "half")]
    assert told(rejects) == [
        (2, DUPLICATE),
        (3, NOT_JSON),
        (4, "parent_asin is neither a text nor a whole number"),
        (5, NOT_JSON),
        (6, "images: no UTF-8 (not read)"),
        (7, "parent_asin is neither a text nor a whole number"),
        (8, NOT_JSON),
    ]


def test_the_text_for_the_encoder_is_made_of_what_is_known_and_ends_in_time():
    item = {
        "title": "Tea.",
        "brand": "",
        "categories": ["Food", "Tea"],
        "features": ["Green"],
        "description": ["Fine.", "Leaf"],
    }
    assert item_text(item, 100) == "Tea. Food, Tea. Green. Fine. Leaf"
    assert item_text(item, 8) == "Tea. Foo"


@pytest.mark.usefixtures("shared_data")
@pytest.mark.parametrize(
    ("file", "rows", "pairs"),
    [
        ("amazon2018_dirty/All_Beauty_5.json.gz", 5_269, 4_092),
        ("amazon2018_dirty/AMAZON_FASHION_5.json.gz", 3_176, None),
        ("amazon2018_dirty/AMAZON_FASHION_5.array.json.gz", 3_176, None),
        ("amazon2018_gift_cards/Gift_Cards_5.json.gz", 2_972, 2_965),
    ],
)
def test_real_reviews_of_2018(file, rows, pairs):
    table, rejects = reviews(SHARED_DATA / file, "amazon2018")
    assert (len(table), len(rejects)) == (rows, 0)
    if pairs:
        assert len(table.group_by(["user_id", "item_id"]).aggregate([])) == pairs


@pytest.mark.usefixtures("shared_data")
def test_the_same_reviews_as_lines_and_as_an_array():
    as_lines, as_array = (
        reviews(SHARED_DATA / "amazon2018_dirty" / f"AMAZON_FASHION_5.{kind}.gz", "amazon2018")[0]
        for kind in ("json", "array.json")
    )
    assert as_lines.drop("timestamp") == as_array.drop("timestamp")


@pytest.mark.usefixtures("shared_data")
@pytest.mark.parametrize(("file", "with_picture"), [("meta_Gift_Cards", 116), ("meta_Gift_Cards.older_schema", None)])
def test_real_metadata_of_2018(file, with_picture):
    rows, rejects = items(SHARED_DATA / "amazon2018_gift_cards" / f"{file}.json.gz", "amazon2018")
    assert (len(rows), len(rejects)) == (1_547, 0)
    assert {row["price"] for row in rows} >= {None, 25.0, 7.99}
    assert not any("<" in row["title"] or "&amp;" in row["text"] for row in rows)
    if with_picture:
        table, _ = reviews(SHARED_DATA / "amazon2018_gift_cards" / "Gift_Cards_5.json.gz", "amazon2018")
        reviewed = set(table["item_id"].to_pylist())
        assert sum(bool(row["image_urls"]) for row in rows if row["item_id"] in reviewed) == with_picture


@pytest.mark.usefixtures("shared_data")
@pytest.mark.parametrize(
    ("file", "release", "count"),
    [
        ("meta_2014_pydict_lines.txt", "amazon2014", 4),
        ("meta_2023_lines.jsonl", "amazon2023", 3),
        ("meta_2018_array_head.json", "amazon2018", 10),
    ],
)
def test_authentic_heads_of_metadata(file, release, count):
    rows, rejects = items(SHARED_DATA / "formats" / file, release)
    assert (len(rows), len(rejects)) == (count, 0)
    assert all(row["title"] and row["text"].startswith(row["title"].rstrip(".")) for row in rows)


@pytest.mark.usefixtures("shared_data")
def test_the_authentic_head_of_2014_reviews():
    table, rejects = reviews(SHARED_DATA / "formats" / "reviews_2014_head.json", "amazon2014")
    assert (len(table), len(rejects)) == (50, 0)
    assert table["item_id"][0].as_py() == "1384719342"


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("amazon2023", b'{"parent_asin": "B1", "title": 1' + b"0" * 400 + b"}"),
        ("amazon2023", b'{"parent_asin": "B1", "images": "{1: \'a\', \'b\': \'c\'}"}'),
        ("amazon2023", b'{"parent_asin": "B1", "images": {"' + b"9" * 5000 + b'": "x"}}'),
        ("amazon2023", b'{"parent_asin": "B1", "features": {"' + b"9" * 5000 + b'": "x"}}'),
        ("amazon2014", b"{'asin': 'B1', 'imUrl': {1: 'a', 'b': 'c'}}"),
        ("amazon2014", b"{'asin': 'B1', 'title': {(1, 2): 3}}"),
        ("amazon2014", b"{'asin': 'B1', 'title': {b'x': 1}}"),
        ("amazon2014", b"{'asin': 'B1', 'price': 0x" + b"f" * 5000 + b"}"),
    ],
    ids=range(8),
)
def test_a_value_that_is_not_of_this_world_is_noted_and_ends_nothing(path, release, line):
    rows, rejects = items(path, release, line + b'\n{"asin": "B2", "parent_asin": "B2", "title": "Tea"}')
    assert [row["item_id"] for row in rows] == ["B1", "B2"]
    assert sum(rejects.not_read().values()) == 1


def test_a_literal_of_no_number_is_a_reject(path):
    line = b"{'asin': 'B1', 'price': 1" + b"0" * 400 + b"+1j}"
    rows, rejects = items(path, "amazon2014", line + b'\n{ "asin": "B2", "title": null}')
    assert [row["item_id"] for row in rows] == ["B2"]
    assert len(rejects) == 1


def test_a_record_counts_once_however_many_of_its_values_are_not_read(path):
    _, rejects = items(path, "amazon2023", lines_of({"parent_asin": "B1", "features": [{"a": 1}] * 200}))
    assert rejects.not_read() == {"features: another shape": 1}
