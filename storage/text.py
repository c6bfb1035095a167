"""Cleans the text and the prices of product metadata."""

import html
import re

MAX_PRICE, MAX_PRICE_CHARACTERS = 1e9, 40

# One that is never closed runs to the end, as in a browser; so every pattern here takes linear time.
_SCRIPT = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[/!a-zA-Z][^<>]*>")
_SPACE = re.compile(r"\s+")
_PRICE = re.compile(r"\$?\s*(\d[\d,]*(?:\.\d+)?)")
_PAGE_SCRIPT = "getTime()"  # titles of the 2018 release that are a piece of the shop's own JavaScript


def clean(text: object) -> str:
    """Plain text of something that may be HTML: no scripts, tags or entities, single spaces; "" for what is no text.

    Markup that was escaped once too often (`&lt;b&gt;`, `&amp;amp;`) goes too.
    """
    if not isinstance(text, str) or _PAGE_SCRIPT in text:
        return ""
    for _ in range(2):
        if "<" in text:
            text = _TAG.sub(" ", _SCRIPT.sub(" ", text))
        if "&" in text:
            text = html.unescape(text)
    if not is_writable(text):
        text = text.encode(errors="ignore").decode()
    return _SPACE.sub(" ", text).strip()


def clean_all(texts: object) -> list[str]:
    """The distinct non-empty texts of a list, in their order; a lone text counts as a list of one."""
    parts = texts if isinstance(texts, list) else [texts]
    return list(dict.fromkeys(filter(None, map(clean, parts))))


def is_writable(text: str) -> bool:
    """Whether UTF-8 can write it: JSON may hold half of a surrogate pair, which no character is."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def price_of(value: object) -> float | None:
    """US dollars of a number or of "$1,250.00"; None for "", HTML, ranges and whatever else is no single price."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if 0 <= value < MAX_PRICE else None
    if not isinstance(value, str) or len(value) > MAX_PRICE_CHARACTERS:
        return None
    found = _PRICE.fullmatch(value.strip())
    return float(found[1].replace(",", "")) if found else None


def shortened(text: str, characters: int) -> str:
    """A text, or its beginning and an ellipsis, of at most so many characters."""
    return text if len(text) <= characters else text[: characters - 1] + "…"
