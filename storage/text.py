"""Cleans the text and the prices of product metadata."""

import html
import re

_SCRIPT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[/!a-zA-Z][^<>]*>")
_SPACE = re.compile(r"\s+")
_PRICE = re.compile(r"\s*\$?\s*(\d[\d,]*(?:\.\d+)?)\s*")


def clean(text: object) -> str:
    """Plain text of something that may be HTML: no scripts, tags or entities, single spaces; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    without_tags = _TAG.sub(" ", _SCRIPT.sub(" ", text))
    return _SPACE.sub(" ", html.unescape(without_tags)).strip()


def clean_all(texts: object) -> list[str]:
    """The distinct non-empty texts of a list, in their order; a lone text counts as a list of one."""
    parts = texts if isinstance(texts, list) else [texts]
    return list(dict.fromkeys(filter(None, map(clean, parts))))


def price_of(value: object) -> float | None:
    """US dollars of a number or of "$1,250.00"; None for "", HTML, ranges and whatever else is no single price."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    found = _PRICE.fullmatch(str(value))
    return float(found[1].replace(",", "")) if found else None
