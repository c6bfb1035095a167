"""Text and prices of product metadata come out clean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.raw.text_and_prices import clean, price_of


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("Ben &amp; Jerry&#39;s", "Ben & Jerry's"),
        ("<b>Soft</b><br/>and  warm\n", "Soft and warm"),
        ("AT&amp;amp;T", "AT&T"),
        ("&lt;p&gt;Escaped&lt;/p&gt;", "Escaped"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("3 &lt; 4", "3 < 4"),
        ("a<script>if (x < 1) {}</script>b<style>p {}</style>c", "a b c"),
        ("before<script>never closed", "before"),
        ("<!-- note -->text", "text"),
        ("Learn Date.getTime() and friends", "Learn Date.getTime() and friends"),
        ("caf\u00e9 \U0001f381", "caf\u00e9 \U0001f381"),
        ("half \ud83c of a pair", "half of a pair"),
        ("", ""),
    ],
)
def test_clean(dirty, expected):
    assert clean(dirty) == expected


@given(st.text())
def test_clean_text_can_be_written_and_has_no_outer_or_double_spaces(text):
    cleaned = clean(text)
    assert cleaned == " ".join(cleaned.encode().decode().split())


@pytest.mark.parametrize("dirty", ["<script" * 200_000, "<a" * 500_000, "<" * 1_000_000, "&" * 1_000_000])
def test_hostile_markup_is_cleaned_in_the_time_of_the_test(dirty):
    assert isinstance(clean(dirty), str)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$12.99", 12.99),
        ("$1,250.00", 1250.0),
        (" $ 7 ", 7.0),
        ("7.5", 7.5),
        ("12,99", 12.99),
        ("1.250,00", 1250.0),
        ("1.250", 1.25),
        ("1,250", 1250.0),
        ("1,25,000", None),
        ("USD 5", 5.0),
        ("\u20ac5", None),
        ("9999999999", None),
        (14.95, 14.95),
        (0, 0.0),
        ("", None),
        ("$5.00 - $9.00", None),
        ("from 9.99", None),
        ("\u2014", None),
        (".a-box-inner{background-color:#fff}", None),
        ("<span>$3</span>", None),
        ("$" + "9" * 50, None),
        (" " * 1_000_000 + "x", None),
        (10**400, None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (None, None),
        (["$1"], None),
    ],
)
def test_price_of(value, expected):
    assert price_of(value) == expected
