"""Lists and dicts that were kept as text come back as what they were; what is none, or lacks a part, is refused."""

import pytest

from storage.raw.printed_values import MAX_CHARACTERS, is_printed, read_printed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ("['Home' 'Kitchen']", ["Home", "Kitchen"]),  # numpy prints no commas
        ("['a'\n 'b']", ["a", "b"]),
        ("['it\\'s' \"6' tall\"]", ["it's", "6' tall"]),
        ("[1 2.5 -3e2]", [1, 2.5, -300.0]),
        ("[None, nan, True, null, false]", [None, None, True, None, False]),
        ("[]", []),
        ("{}", {}),
        ("{'a': None}", {"a": None}),
        (
            "{'hi_res': array([None], dtype=object), 'large': array(['https://a.test/4.jpg'], dtype=object)}",
            {"hi_res": [None], "large": ["https://a.test/4.jpg"]},
        ),
        ("[{'large': 'a'} {'large': 'b'}]", [{"large": "a"}, {"large": "b"}]),
        ("[array(['a', 'b'], dtype='<U1')\n array(['c'])]", [["a", "b"], ["c"]]),
        ("['[a', 'b]']", ["[a", "b]"]),
        ("[u'a', u'b']", ["a", "b"]),
        ("['array(', 'x']", ["array(", "x"]),
    ],
)
def test_what_python_pandas_and_numpy_print(text: str, expected: object) -> None:
    assert is_printed(text)
    assert read_printed(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[see the photo]",
        "['a' ... 'z']",  # numpy leaves the middle of long arrays out
        "[__import__('os').abort()]",
        "['never closed]",
        "[" * 50_000 + "]" * 50_000,
        "['" + "x" * MAX_CHARACTERS + "']",
        "[" + "'a' " * 300_000 + "]",
    ],
    ids=["words", "left out", "call", "open text", "deep", "long", "many"],
)
def test_what_stands_for_no_list(text: str) -> None:
    with pytest.raises(ValueError, match="it "):
        read_printed(text)


@pytest.mark.parametrize("text", ["", "[", "a]", "text", "[a) "])
def test_what_cannot_be_a_list_by_its_ends(text: str) -> None:
    assert not is_printed(text)
