"""Which items a dataset declares unavailable: by a key of its metadata, or in a list."""

import json
from pathlib import Path

import pytest

from storage.errors import InputError
from storage.raw.availability import meaning_of, unavailable_of


def metadata(folder: Path, *values: object) -> Path:
    """A file of items "i0", "i1", … whose key `stock` says this; `...` leaves the key out."""
    records = [
        {"parent_asin": f"i{n}", "title": "t", **({} if value is ... else {"stock": value})}
        for n, value in enumerate(values)
    ]
    path = folder / "meta.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def ids(path: Path, key: str | None, listed: Path | None = None) -> list[tuple[str, str]]:
    table, _ = unavailable_of(path, "amazon2023", key, str(listed) if listed else None)
    return [(row["item_id"], row["reason"]) for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True), (False, False), (0, False), (3, True), (0.0, False), (-1, False), (float("nan"), None),
        ("yes", True), (" NO ", False),
        ("Out of stock", False), ("in_stock", True), ("maybe", None), (None, None), ([], None), ("", None),
    ],
)  # fmt: skip
def test_what_a_value_means(value: object, meaning: bool | None) -> None:
    assert meaning_of(value) is meaning


def test_items_are_taken_out_by_their_key_and_what_is_not_understood_is_counted(tmp_path: Path) -> None:
    path = metadata(tmp_path, True, False, "no", 0, "perhaps", ..., None, "perhaps", "sold out")
    table, facts = unavailable_of(path, "amazon2023", "stock", None)
    assert table["item_id"].to_pylist() == ["i1", "i2", "i3", "i8"]
    assert set(table["reason"].to_pylist()) == {"metadata key stock"}
    assert facts == {"by_key": 4, "availability_not_read": {"perhaps": 2}}


def test_of_two_records_of_one_item_the_first_counts_as_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "meta.jsonl"
    lines = ('{"parent_asin": "a", "stock": true}', '{"parent_asin": "a", "stock": false}', "broken")
    path.write_text("\n".join(lines))
    assert ids(path, "stock") == []


def test_a_list_is_read_whatever_its_line_ends_and_its_mark(tmp_path: Path) -> None:
    listed = tmp_path / "gone.txt"
    listed.write_bytes("\ufeff0001\r\n\r\n  art-4/ß \nA B\n0001\n".encode())
    assert ids(metadata(tmp_path, True), None, listed) == [("0001", "list"), ("art-4/ß", "list"), ("A B", "list")]


def test_both_may_say_it_and_the_key_is_named_first(tmp_path: Path) -> None:
    listed = tmp_path / "gone.txt"
    listed.write_text("i1\ni7\n")
    found = ids(metadata(tmp_path, True, False), "stock", listed)
    assert found == [("i1", "metadata key stock"), ("i7", "list")]


def test_without_either_nothing_is_unavailable_and_nothing_is_read(tmp_path: Path) -> None:
    table, facts = unavailable_of(tmp_path / "not there", "amazon2023", None, None)
    assert (len(table), facts) == (0, {})


def test_a_key_that_no_record_has_is_one_sentence_with_the_closest(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        ids(metadata(tmp_path, True), "stocks")
    assert str(error.value) == (
        "'available' names the key 'stocks', which no record of the metadata has; the closest to it: stock; "
        "there are: parent_asin, title, stock"
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "'unavailable' names gone.txt, which cannot be read: No such file or directory"),
        (b"\xff\xfe", "'unavailable' names gone.txt, which is not UTF-8: it holds one item id a line"),
        (b"ok\n" + b"x" * 513, "line 2 of gone.txt ('unavailable') is too long for an id"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "gone.txt").write_bytes(content)
    with pytest.raises(InputError) as error:
        ids(metadata(tmp_path, True), None, tmp_path / "gone.txt")
    assert str(error.value) == sentence
