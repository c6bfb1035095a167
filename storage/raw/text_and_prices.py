"""Cleans the text and the prices of product metadata."""

import html
import re

MAX_PRICE, MAX_PRICE_CHARACTERS = 1e9, 40

# One that is never closed runs to the end, as in a browser; so every pattern here takes linear time.
_SCRIPT = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[/!a-zA-Z][^<>]*>")
_SPACE = re.compile(r"\s+")
_DOLLARS = r"(?:US|USD)?\s*\$?\s*"
_AMERICAN = re.compile(_DOLLARS + r"(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)\s*(?:USD|\$)?", re.IGNORECASE)
_EUROPEAN = re.compile(_DOLLARS + r"(\d{1,3}(?:\.\d{3})+,\d{1,2}|\d+,\d{1,2})\s*(?:USD|\$)?", re.IGNORECASE)
_PAGE_SCRIPT = "var aPageStart"  # how titles of the 2018 release begin that are the shop's own JavaScript


def clean(text: str) -> str:
    """Plain text of something that may be HTML: no scripts, tags or entities, single spaces.

    Markup that was escaped once too often (`&lt;b&gt;`, `&amp;amp;`) goes too.
    """
    for _ in range(2):
        if "<" in text:
            text = _TAG.sub(" ", _SCRIPT.sub(" ", text))
        if "&" in text:
            text = html.unescape(text)
    if not is_writable(text):
        text = text.encode(errors="ignore").decode()
    return _SPACE.sub(" ", text).strip()


def is_page_script(text: str) -> bool:
    """Whether a text is what the 2018 release has in place of some titles: the JavaScript of the shop's page."""
    return _PAGE_SCRIPT in text


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
    """US dollars of a number, of "$1,250.00", or of "12,50" and "1.250,00", whose last comma can only be a decimal one.

    None for "", HTML, ranges, other currencies and whatever else is no single price in dollars.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if 0 <= value < MAX_PRICE else None
    if not isinstance(value, str) or len(value) > MAX_PRICE_CHARACTERS:
        return None
    if found := _AMERICAN.fullmatch(value.strip()):
        price = float(found[1].replace(",", ""))
    elif found := _EUROPEAN.fullmatch(value.strip()):
        price = float(found[1].replace(".", "").replace(",", "."))
    else:
        return None
    return price if price < MAX_PRICE else None
