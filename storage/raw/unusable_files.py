"""Says why nothing of a raw file could be used: the reasons with their first lines, and what the file looks like."""

import json
import re
from pathlib import Path

from storage.catalogue import Format
from storage.errors import InputError
from storage.raw.gzip_reader import Block, read_blocks
from storage.raw.rejects import Rejects
from storage.text import shorten

LOOKED_AT_BYTES = 1 << 16
SHOWN_REASONS, SHOWN_CHARACTERS = 3, 60
LONGEST_ROW = 2_000  # characters of a row of CSV

AS_LINES = "write one JSON object a line"
# What a file begins with, what it is then, and what to do.
BEGINNINGS: list[tuple[bytes, str, str]] = [
    (b"PK\x03\x04", "a zip archive", "unpack it and name the file within"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and name the file within"),
    (b"Rar!", "a RAR archive", "unpack it and name the file within"),
    (b"BZh", "a bzip2 file", "unpack it, or pack it with gzip"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it, or pack it with gzip"),
    (b"\x1f\x8b", "a file that was gzipped twice", "unpack it once"),
    (b"PAR1", "a Parquet file", AS_LINES),
    (b"ARROW1", "an Arrow file", AS_LINES),
    (b"SQLite format 3", "an SQLite database", AS_LINES),
    (b"%PDF", "a PDF", "name the dump itself"),
    (b"\x80\x04", "a Python pickle, which is never loaded", AS_LINES),
    (b"\x80\x05", "a Python pickle, which is never loaded", AS_LINES),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
    (b"\xff\xfe", "UTF-16", "write it as UTF-8"),
    (b"\xfe\xff", "UTF-16", "write it as UTF-8"),
]
_HTML = re.compile(r"\s*<(!doctype\s+html|html|head|body|\?xml)", re.IGNORECASE)
_CELL = re.compile(r'\s*(?:"[^"]*"|[\w .:@/+-]*)\s*')
OTHER_KEYS = {"reviewerID": "amazon2014 or amazon2018", "user_id": "amazon2023", "parent_asin": "amazon2023"}


def nothing_usable(kind: str, path: Path, release: Format, rejects: Rejects) -> InputError:
    """The error of a raw file of which not one record could be used.

    Args:
        kind: "reviews" or "metadata", as the catalogue calls it.
        rejects: what was left out of the file.
    """
    what = {"reviews": "review", "metadata": "item"}[kind]
    sentence = f"the file of '{kind}', {path.name}, holds not one {what} in the format {release}"
    by_reason = sorted(rejects.by_reason().items(), key=lambda found: -found[1])
    others = f"{len(by_reason) - SHOWN_REASONS} other reasons" if len(by_reason) > SHOWN_REASONS else ""
    looks = _looks_like(path, release)

    def with_reasons(quoting: bool) -> str:
        reasons = [_reason(rejects, reason, count, quoting) for reason, count in by_reason[:SHOWN_REASONS]]
        return "; ".join(filter(None, [sentence, *reasons, others, looks]))

    return InputError(with_reasons(True), without_data=with_reasons(False))


def _reason(rejects: Rejects, reason: str, count: int, quoting: bool) -> str:
    line, raw = rejects.first_of(reason)
    begins = _in_a_sentence(raw) if quoting else ""
    reason_and_place = f"{count:,} of {len(rejects):,} records: {reason}, the first in line {line:,}"
    return f"{reason_and_place} ({begins})" if begins else reason_and_place


def _in_a_sentence(raw: str) -> str:
    """The beginning of a line, without what would break a sentence."""
    visible = "".join(character if character.isprintable() else " " for character in raw[: 4 * SHOWN_CHARACTERS])
    return shorten(" ".join(visible.split()), SHOWN_CHARACTERS)


def _looks_like(path: Path, release: Format) -> str:
    """What a file looks like and what to do about it, as a part of a sentence; "" where it is not known."""
    content = next(iter(read_blocks(path)), Block(b"")).content[:LOOKED_AT_BYTES]
    if not content.strip():
        return "it is empty"
    for beginning, what, to_do in BEGINNINGS:
        if content.startswith(beginning):
            return f"it looks like {what}; {to_do}"
    if content[257:262] == b"ustar":
        return "it looks like a tar archive; unpack it and name the file within"
    if content[:1000].count(b"\0") * 3 > len(content[:1000]):
        return "it looks like UTF-16; write it as UTF-8"
    found = _text_looks_like(content.decode(errors="replace").removeprefix("\ufeff"), release)
    return f"it looks like {found}" if found else ""


def _text_looks_like(text: str, release: Format) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    if _HTML.match(text):
        return "an HTML or XML page, such as a server's page for an error; get the file itself"
    if first.lstrip().startswith(("{", "[")):
        return _json_looks_like(text, first, release)
    if any(_is_row(first[:LONGEST_ROW], delimiter) for delimiter in ",;\t|"):
        return (
            f"CSV; {AS_LINES}, with pandas for instance: read_csv(…, dtype=str), then to_json(…, orient='records', "
            "lines=True)"
        )
    return ""


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_row(line: str, delimiter: str) -> bool:
    """Whether a line has several cells of plain text, with this between them."""
    cells = line.split(delimiter)
    return len(cells) > 1 and all(_CELL.fullmatch(cell) for cell in cells)


def _json_looks_like(text: str, first: str, release: Format) -> str:
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        if first.lstrip().startswith(("{'", "{u'")) and release != "amazon2014":
            return "Python dicts; that is how the metadata of amazon2014 are written"
        if _is_object(first.strip().rstrip(",")):
            return f"JSON objects with a comma after each; {AS_LINES}, without the comma, or put [ ] around all of them"
        is_cut = len(text.splitlines()) > 1 and first.rstrip().endswith(("{", ",", "["))
        return f"one JSON document over many lines; {AS_LINES}, with `jq -c .` for instance" if is_cut else ""
    if not isinstance(record, dict):
        return ""
    if record and all(isinstance(value, dict) and "0" in value for value in record.values()):
        return f"a table by columns, as pandas writes it; {AS_LINES}: to_json(…, orient='records', lines=True)"
    has_id = bool({"asin", "parent_asin", "user_id", "reviewerID"} & record.keys())
    if not has_id and any(
        isinstance(value, list) and value[:1] and isinstance(value[0], dict) for value in record.values()
    ):
        return f"one JSON document with the records inside; {AS_LINES}"
    for key, other in OTHER_KEYS.items():
        if key in record and release not in other:
            return f"the format {other}; let the catalogue say so in `format`"
    if "asin" in record and "parent_asin" not in record and release == "amazon2023":
        return "records of single variants: amazon2023 counts products by `parent_asin`, and they have `asin` alone"
    return ""
