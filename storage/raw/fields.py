"""Reads the fields of one raw record, in every shape that is known of them; what is there and not read is reported.

The shapes are those of the releases themselves, and what pandas, numpy, Hugging Face's datasets, DuckDB and CSV files
make of them: docs/raw-shapes.md lists them with their sources.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from storage.limits import MAX_PARTS, MAX_PICTURES, MAX_TEXT_CHARACTERS, MAX_URL_CHARACTERS
from storage.raw.printed_values import is_printed, read_printed
from storage.raw.text_and_prices import clean, is_page_script, is_writable, price_of

LARGEST = 10**40  # number that may be a text

SIZES = ("hi_res", "large", "thumb")  # places of a picture of 2023, the largest first

OTHER_SHAPE = "another shape"
PAGE_SCRIPT = "the shop's page script"
STYLE_SHEET = "the shop's style sheet or markup"
PRICE_RANGE = "a range of prices"
NO_PRICE = "no price in dollars"
TOO_LONG = "too long"
TOO_MANY = "too many"
NOT_UTF8 = "no UTF-8"
IN_URL = "a picture inside its URL"

KNOWN_NOISE = frozenset({PAGE_SCRIPT, STYLE_SHEET, PRICE_RANGE})  # of the official dumps: no file is wrong for it

NotRead: TypeAlias = Callable[[str, str, object], None]

_ABSENT = frozenset({"", "none", "nan", "null", "n/a", "-", "—", "\ufffd", "[]", "{}"})
_BETWEEN_URLS = re.compile(r"(?<![|,;\s])[|,;\s]++(?=https?://)")  # from the first of them on, so in linear time
_BETWEEN_PATHS = re.compile(r"[|,;]")
_PICTURE_FILE = re.compile(r"\.(?:jpe?g|png|gif|webp|avif|bmp|tiff?)\Z", re.IGNORECASE)
_WINDOWS_PATH = re.compile(r"[\w .-]++(?:\\[\w .-]++)++")  # as a program on Windows writes a path below a folder
_PLACE = re.compile(r"[0-9]{1,9}")  # in a list that was kept as a dict
_WIDTH = re.compile(r"(\d{1,6})w")  # a place of a picture of 2023 by its width, as films have it
_RANGE = re.compile(r"\$?\s*[\d.,]+\s*(-|–|to)\s*\$?\s*[\d.,]+|from\s+\$?\s*[\d.,]+", re.IGNORECASE)


def identifier(value: object) -> str | None:
    """An id: a text, or the digits of a whole number of 64 bits; None for anything else, and for "".

    It may be longer than MAX_ID_BYTES, for whoever wants to say so.
    """
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**64:
        return str(value)
    return value if isinstance(value, str) and value and is_writable(value) else None


def _places_in(text: str) -> list[str]:
    """The URLs or paths that stand in one text, between bars, commas, semicolons or blanks."""
    found = [place.strip() for place in _BETWEEN_URLS.split(text)]
    if len(found) == 1 and "://" not in text and len(text) <= MAX_URL_CHARACTERS:
        parts = [part.strip() for part in _BETWEEN_PATHS.split(text)]
        found = parts if all(map(_PICTURE_FILE.search, parts)) else found
    return [place.replace("\\", "/") if _WINDOWS_PATH.fullmatch(place) else place for place in found]


class Fields:
    """The fields of one record.

    Args:
        not_read: called with the key, why, and the value, for each value that is there and not read.
    """

    def __init__(self, record: Mapping[str, Any], not_read: NotRead):
        self._record, self._not_read = record, not_read

    def text(self, key: str) -> str:
        """The plain text of a field that holds one; "" where there is none. At most MAX_TEXT_CHARACTERS."""
        value = _only(self._record.get(key))
        if _is_absent(value):
            return ""
        text = self._plain(key, value)
        return "" if text is None else self._cut(key, text)

    def names(self, key: str) -> list[str]:
        """The distinct short texts of a field, in their order, each of at most MAX_TEXT_CHARACTERS."""
        return list(dict.fromkeys(self._cut(key, text) for text in self.texts(key)))

    def texts(self, key: str) -> list[str]:
        """The distinct non-empty texts of a field that holds a list, in their order; a lone one is a list of one."""
        found: dict[str, None] = {}
        for value in _flat(_unpacked(self._record.get(key))):
            if isinstance(value, str) and is_printed(value):
                if value.strip() in ("[]", "{}"):
                    continue
                if "'" in value or '"' in value:  # a list or dict that could not be read
                    self._not_read(key, OTHER_SHAPE, value)
                    continue
            text = self._plain(key, value)
            if text:
                found[text] = None
        if len(found) > MAX_PARTS:
            self._not_read(key, TOO_MANY, len(found))
        return list(found)[:MAX_PARTS]

    def price(self, key: str) -> float | None:
        """US dollars; None where no single price is named."""
        value = _only(self._record.get(key))
        if _is_absent(value) or (isinstance(value, str) and value.strip().lower() in _ABSENT):
            return None
        price = price_of(value)
        if price is None:
            self._not_read(key, _why_no_price(value), value)
        return price

    def places(self, key: str) -> list[list[str]]:
        """Where the pictures of a list of places are: each of its elements, [] where there is none."""
        value = _unpacked(self._record.get(key))
        elements = value if isinstance(value, list) else [value]
        return self._at_most(key, [place for element in elements for place in self._places(key, element) or [[]]])

    def pictures(self, key: str) -> list[list[str]]:
        """The places of each picture of a field that holds pictures of several sizes, the main one first.

        It may be a list of dicts, a dict of lists as Hugging Face's datasets have it, a list of places, or one place.
        """
        value = _unpacked(self._record.get(key))
        if isinstance(value, dict):
            value = _rows(value) if any(isinstance(one, list) for one in value.values()) else [value]
        elements = value if isinstance(value, list) else [value]
        elements.sort(key=lambda one: not (isinstance(one, dict) and one.get("variant") == "MAIN"))
        return self._at_most(key, [place for element in elements for place in self._places(key, element)])

    def _at_most(self, key: str, pictures: list[list[str]]) -> list[list[str]]:
        if len(pictures) > MAX_PICTURES:
            self._not_read(key, TOO_MANY, len(pictures))
        return pictures[:MAX_PICTURES]

    def _places(self, key: str, element: object) -> list[list[str]]:
        """The pictures that one element stands for, each with its places: one, but for texts of several URLs."""
        element = _unpacked(element)
        if isinstance(element, list):
            return [place for one in _flat(element) for place in self._places(key, one)]
        if _is_absent(element):
            return []
        if isinstance(element, str):
            return [[place] for place in _places_in(element) if self._is_place(key, place)]
        if isinstance(element, dict):
            return self._sized(key, element)
        self._not_read(key, OTHER_SHAPE, element)
        return []

    def _sized(self, key: str, picture: Mapping[str, Any]) -> list[list[str]]:
        """The one picture that a dict of its sizes is, or none."""
        sizes, places, is_odd = _sizes(picture), [], False
        for size in sizes:
            value = _only(picture[size])
            if isinstance(value, str):
                if self._is_place(key, value):
                    places.append(value)
            elif not _is_absent(value):
                is_odd = True
        if not places:
            others = (value for name, value in picture.items() if name not in (*sizes, "variant"))
            is_odd = is_odd or any(not _is_absent(value) for value in others)
        if is_odd:
            self._not_read(key, OTHER_SHAPE, picture)
        return [places] if places else []

    def _is_place(self, key: str, place: str) -> bool:
        if place.startswith("http") and len(place) <= MAX_URL_CHARACTERS and place.isascii():
            return True
        if place.strip().lower() in _ABSENT:
            return False
        why = None
        if place[:5].lower() == "data:":
            why = IN_URL
        elif len(place) > MAX_URL_CHARACTERS:
            why = TOO_LONG
        elif not is_writable(place):
            why = NOT_UTF8
        elif is_printed(place):  # a list or dict that could not be read
            why = OTHER_SHAPE
        if why:
            self._not_read(key, why, place)
        return why is None

    def _plain(self, key: str, value: object) -> str | None:
        """One text, or a number as it is written; None, and reported, for anything else that is there."""
        if isinstance(value, str):
            if is_page_script(value):
                self._not_read(key, PAGE_SCRIPT, value)
                return None
            return clean(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST:
            return str(value)
        if not _is_absent(value):
            self._not_read(key, OTHER_SHAPE, value)
        return None

    def _cut(self, key: str, text: str) -> str:
        if len(text) > MAX_TEXT_CHARACTERS:
            self._not_read(key, TOO_LONG, text)
        return text[:MAX_TEXT_CHARACTERS]


def _is_absent(value: object) -> bool:
    return value is None or value != value or value in ("", [], {})  # only NaN differs from itself


def _only(value: object) -> object:
    """The one element of a list of one; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _unpacked(value: object) -> Any:
    """A list or dict that was kept as text, and a list that was kept as a dict by its places; else the value itself."""
    if isinstance(value, str) and is_printed(value):
        try:
            value = read_printed(value)
        except ValueError:
            return value
    if isinstance(value, set):  # which has no order of its own
        return sorted(value, key=repr)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict) and value and all(map(_is_number, value)):
        return [value[key] for key in sorted(value, key=int)]
    return value


def _is_number(key: object) -> bool:
    """Whether a key of a dict is a place in a list."""
    return isinstance(key, str) and key[:1].isdecimal() and _PLACE.fullmatch(key) is not None


def _flat(value: object) -> Iterator[object]:
    """The elements of lists within lists, in their order, however deep."""
    waiting: list[object] = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting.extend(reversed(value))
        else:
            yield value


def _sizes(picture: Mapping[str, Any]) -> list[str]:
    """The keys of a picture that name a place of it, the largest first."""
    if known := [size for size in SIZES if size in picture]:
        return known
    widths = {int(found[1]): name for name in picture if isinstance(name, str) and (found := _WIDTH.fullmatch(name))}
    return [widths[width] for width in sorted(widths, reverse=True)]


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A dict of lists as a list of dicts; a column that is shorter than the longest ends in None."""
    lists = {key: column if isinstance(column, list) else [column] for key, column in columns.items()}
    count = min(max(map(len, lists.values())), MAX_PICTURES + 1)
    return [{key: column[row] if row < len(column) else None for key, column in lists.items()} for row in range(count)]


def _why_no_price(value: object) -> str:
    if not isinstance(value, str):
        return NO_PRICE if isinstance(value, int | float) else OTHER_SHAPE
    if _RANGE.fullmatch(value.strip()[:100]):
        return PRICE_RANGE
    return STYLE_SHEET if any(mark in value for mark in "<{}") else NO_PRICE


def distinct(pictures: Iterable[list[str]]) -> list[list[str]]:
    """The same pictures with every place left out that stood before, and every picture that then has none."""
    seen: set[str] = set()
    kept = []
    for places in pictures:
        new = [place for place in dict.fromkeys(places) if place not in seen]
        seen.update(new)
        if new:
            kept.append(new)
    return kept
