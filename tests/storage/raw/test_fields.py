"""Every shape of a field that is known in public is read; what is there and not read is reported, with its key."""

import json
from typing import Any

import pytest

from storage.raw.fields import Fields, identifier

URL = "https://img.test/"
NAN = float("nan")


def read(method: str, value: Any) -> tuple[Any, list[tuple[str, str]]]:
    """What a reader of a field makes of a value, and what it reports."""
    reported: list[tuple[str, str]] = []
    fields = Fields({"key": value}, lambda key, why, value: reported.append((key, why)))
    return getattr(fields, method)("key"), reported


def unread(why: str) -> list[tuple[str, str]]:
    return [("key", why)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Kettle", "Kettle"),
        (1984, "1984"),
        (7.5, "7.5"),
        (["Kettle"], "Kettle"),
        ("<b>Kettle</b>", "Kettle"),
        ("Learn Date.getTime() and friends", "Learn Date.getTime() and friends"),
        ("[sealed] Game [new]", "[sealed] Game [new]"),
        (None, ""),
        (NAN, ""),
        ("", ""),
        ([], ""),
        ("nan", "nan"),
    ],
)
def test_texts_of_one(value: object, expected: str) -> None:
    assert read("text", value) == (expected, [])


@pytest.mark.parametrize("value", [True, {"a": 1}, ["a", "b"], float("inf")])
def test_what_is_no_text_is_reported(value: object) -> None:
    assert read("text", value) == ("", unread("another shape"))


def test_the_script_of_the_shops_page_is_no_title_and_is_reported() -> None:
    title = "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();"
    assert read("text", title) == ("", unread("the shop's page script"))


def test_an_endless_title_is_cut_and_reported() -> None:
    assert read("text", "x" * 5_000) == ("x" * 4_096, unread("too long"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b", "a"], ["a", "b"]),
        ("alone", ["alone"]),
        ([["Sports", "Dance"], ["Kids"]], ["Sports", "Dance", "Kids"]),
        ("['Home' 'Kitchen']", ["Home", "Kitchen"]),
        ('["Home", "Kitchen"]', ["Home", "Kitchen"]),
        ("[]", []),
        (["[]"], []),
        ({"0": "a", "10": "c", "2": "b"}, ["a", "b", "c"]),
        ([1, "b", None, NAN, ""], ["1", "b"]),
        ("[see photo]", ["[see photo]"]),
        (None, []),
    ],
)
def test_lists_of_texts(value: object, expected: list[str]) -> None:
    assert read("texts", value) == (expected, [])


def test_parts_of_a_list_that_are_no_texts_are_reported_and_the_others_are_read() -> None:
    assert read("texts", ["a", {"b": 1}, True]) == (["a"], [("key", "another shape")] * 2)


def test_a_list_that_nests_without_end_is_read() -> None:
    value: Any = "a"
    for _ in range(5_000):
        value = [value]
    assert read("texts", value) == (["a"], [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (9.99, 9.99),
        (0, 0.0),
        ("$1,250.00", 1250.0),
        ("12,99", 12.99),
        ("1.250,00", 1250.0),
        ("US$ 12.99", 12.99),
        ("12.99 USD", 12.99),
        ("1,250", 1250.0),
        (["$7"], 7.0),
        ("None", None),
        ("nan", None),
        ("\u2014", None),
        ("\ufffd", None),
        (None, None),
        (NAN, None),
        ("", None),
    ],
)
def test_prices(value: object, expected: float | None) -> None:
    assert read("price", value) == (expected, [])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("$5.00 - $9.99", "a range of prices"),
        ("from 12.99", "a range of prices"),
        (".a-box-inner{background-color:#fff}", "the shop's style sheet or markup"),
        ("<span>$3</span>", "the shop's style sheet or markup"),
        ("\u20ac12,99", "no price in dollars"),
        ("1,25,000", "no price in dollars"),
        ("call us", "no price in dollars"),
        (-1, "no price in dollars"),
        (10**30, "no price in dollars"),
        ({"value": 3}, "another shape"),
        (True, "no price in dollars"),
    ],
)
def test_what_is_no_price_in_dollars_is_reported(value: object, why: str) -> None:
    assert read("price", value) == (None, unread(why))


MAIN = {"variant": "MAIN", "thumb": "m_t", "large": "m_l", "hi_res": None}
SIDE = {"variant": "PT01", "thumb": "p_t", "large": "p_l", "hi_res": "p_h"}
COLUMNS = {"hi_res": ["p_h", None], "large": ["p_l", "m_l"], "thumb": ["p_t", "m_t"], "variant": ["PT01", "MAIN"]}
BOTH = [["m_l", "m_t"], ["p_h", "p_l", "p_t"]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([SIDE, MAIN], BOTH),
        (COLUMNS, BOTH),
        (json.dumps([SIDE, MAIN]), BOTH),
        (repr([SIDE, MAIN]), BOTH),
        (json.dumps(COLUMNS), BOTH),
        (f"[{SIDE}\n {MAIN}]", BOTH),
        ({"0": SIDE, "1": MAIN}, BOTH),
        (["a.jpg", "b.jpg"], [["a.jpg"], ["b.jpg"]]),
        ("a.jpg", [["a.jpg"]]),
        ("['a.jpg' 'b.jpg']", [["a.jpg"], ["b.jpg"]]),
        (f"{URL}a.jpg|{URL}b.jpg", [[f"{URL}a.jpg"], [f"{URL}b.jpg"]]),
        (f"{URL}a.jpg,{URL}b.jpg", [[f"{URL}a.jpg"], [f"{URL}b.jpg"]]),
        (f"{URL}a.jpg {URL}b.jpg", [[f"{URL}a.jpg"], [f"{URL}b.jpg"]]),
        (f"{URL}a_CR,0,0,38,50_.jpg", [[f"{URL}a_CR,0,0,38,50_.jpg"]]),
        ([{"360w": "s.jpg", "1920w": "l.jpg", "variant": "MAIN"}], [["l.jpg", "s.jpg"]]),
        (MAIN, [["m_l", "m_t"]]),
        ([{"large": ["a.jpg"]}], [["a.jpg"]]),
        ([["a.jpg", "b.jpg"]], [["a.jpg"], ["b.jpg"]]),
        ({"hi_res": [None], "large": ["a"], "thumb": [], "variant": ["MAIN"]}, [["a"]]),
        (
            "{'hi_res': array([None], dtype=object), 'large': array(['https://img.example/4.jpg'], dtype=object)}",
            [["https://img.example/4.jpg"]],
        ),
        ([], []),
        ("[]", []),
        ({}, []),
        (None, []),
        (NAN, []),
        ("nan", []),
        ([None, MAIN], [["m_l", "m_t"]]),
        ({"hi_res": [], "large": [], "thumb": [], "variant": []}, []),
    ],
)
def test_pictures(value: object, expected: list[list[str]]) -> None:
    assert read("pictures", value) == (expected, [])


@pytest.mark.parametrize(
    ("value", "expected", "why"),
    [
        ([{"url": "a.jpg"}], [], "another shape"),
        ({"main": {"large": "a.jpg"}}, [], "another shape"),
        ([7], [], "another shape"),
        (True, [], "another shape"),
        ([{"large": {"src": "a"}}], [], "another shape"),
        (["a.jpg", ["b.jpg", {"url": "c"}]], [["a.jpg"], ["b.jpg"]], "another shape"),
        ("[{'large': 'a' ... }]", [], "another shape"),
        (["data:image/png;base64,AAAA"], [], "a picture inside its URL"),
        (["a" * 8_193], [], "too long"),
        (["\ud83c"], [], "no UTF-8"),
    ],
)
def test_pictures_that_are_there_and_not_read_are_reported(value: object, expected: list[list[str]], why: str) -> None:
    assert read("pictures", value) == (expected, unread(why))


def test_pictures_without_end_are_cut_and_reported() -> None:
    found, reported = read("pictures", [f"{n}.jpg" for n in range(501)])
    assert (len(found), reported) == (500, unread("too many"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", None, "b"], [["a"], [], ["b"]]),
        ("['a', 'b']", [["a"], ["b"]]),
        ("a", [["a"]]),
        ([], []),
        (None, [[]]),
    ],
)
def test_places_keep_their_order_and_their_gaps(value: object, expected: list[list[str]]) -> None:
    assert read("places", value) == (expected, [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("B0", "B0"),
        ("007", "007"),
        (7, "7"),
        (-7, "-7"),
        (2**64 - 1, "18446744073709551615"),
        (2**64, None),
        (7.0, None),
        (True, None),
        ("", None),
        (None, None),
        (["B0"], None),
        ("\ud83c", None),
    ],
)
def test_ids(value: object, expected: str | None) -> None:
    assert identifier(value) == expected


@pytest.mark.parametrize("value", ["['a' 'b' ... 'c']", "{'a': nobody}"])
def test_a_list_kept_as_text_that_lacks_a_part_is_no_text(value: str) -> None:
    assert read("texts", value) == ([], unread("another shape"))


def test_a_set_kept_as_text_has_one_order() -> None:
    assert read("texts", "{'d', 'a', 'c', 'b'}") == (["a", "b", "c", "d"], [])


def test_places_without_end_are_cut_and_reported() -> None:
    for value in ([f"{n}.jpg" for n in range(600)], " ".join(f"{URL}{n}.jpg" for n in range(600))):
        found, reported = read("places", value)
        assert (len(found), reported) == (500, unread("too many"))


def test_runs_of_blanks_are_read_in_linear_time() -> None:
    found, reported = read("pictures", "x" + " " * 400_000 + "y")
    assert (found, reported) == ([], unread("too long"))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("pics/p18.jpg, pics/p19.JPEG", ["pics/p18.jpg", "pics/p19.JPEG"]),
        ("a.png|b.webp;c.gif", ["a.png", "b.webp", "c.gif"]),
        ("red, large.jpg", ["red, large.jpg"]),  # one name with a comma: not each part names a picture
        ("pics\\p17.jpg", ["pics/p17.jpg"]),
        ("a\\b.jpg;c.jpg", ["a/b.jpg", "c.jpg"]),
        ("my pictures/p 1.jpg", ["my pictures/p 1.jpg"]),
        (f"{URL}a.jpg,{URL}b.jpg", [f"{URL}a.jpg", f"{URL}b.jpg"]),
        (f"{URL}a,b.jpg", [f"{URL}a,b.jpg"]),
    ],
)
def test_several_paths_in_one_text_are_several_pictures(text: str, places: list[str]) -> None:
    assert read("pictures", text) == ([[place] for place in places], [])
