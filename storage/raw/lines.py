"""Records of a raw file, in batches, each with its line number; what is damaged is told apart, never lost.

A record is a line; in a file that is one JSON array it is an element, wherever its lines begin and end.
"""

import codecs
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from storage.errors import InputError
from storage.raw.gzip_reader import Block, read_blocks
from storage.raw.rejects import Rejects

MAX_RECORD_BYTES = 1 << 22
# How much the decoder may look at in vain before an array is refused: a multiple of what is read, and characters.
PATIENCE, PATIENCE_CHARACTERS = 4, 1 << 25
DEEP_CHARACTERS = 1 << 13  # what brackets within brackets cost it, up to its limit
ATTEMPT_CHARACTERS = 1 << 8  # what an attempt costs by itself
WINDOWS = (1 << 13, 1 << 17, 1 << 21, 1 << 62)  # characters that are looked at, the next where they are too few
LONGEST_TOKEN = 16  # characters, of what is no text and no number

TOO_LONG = "longer than 4 MiB"
NOT_UTF8 = "not UTF-8"
NOT_JSON = "not a JSON object"
OPEN_ARRAY = "the array is not closed: what follows is lost"

RECORDS = pa.schema([("line", pa.int64()), ("raw", pa.string())])

_GAP = re.compile(r"[\s,\[\]]*")
_NEXT_ELEMENT = re.compile(r"\n[ \t\r,\[\]]*+(?=\{)")  # within a line, so that runs of blank lines take linear time


def read_records(path: Path, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    """Yield the records of a file as batches of (line, raw), numbered from 1, in bounded memory.

    Raises InputError, while it is read, if it is an array of which element after element cannot be read.

    Lines that are not UTF-8 or longer than 4 MiB, and what is wrong with the gzip stream, go to `rejects`. Blank lines
    may come along; they are nobody's record.
    """
    blocks = read_blocks(path)
    first = next(blocks, Block(b""))
    first = Block(first.content.removeprefix(codecs.BOM_UTF8), first.damage)
    is_array = first.content[:1000].lstrip().startswith(b"[")
    if is_array:
        return _elements(chain([first], blocks), rejects, _Spans(path.name))
    return _lines(chain([first], blocks), rejects)


def _lines(blocks: Iterator[Block], rejects: Rejects) -> Iterator[pa.RecordBatch]:
    number, rest = 1, b""
    for block in chain(blocks, [None]):
        content = block.content if block else b""
        if (block is None or block.damage) and not (content or rest or b"\n").endswith(b"\n"):
            content += b"\n"  # where bytes are missing the line ends too, so that two halves never make one
        cut = content.rfind(b"\n") + 1
        if cut:
            whole, rest = b"".join((rest, memoryview(content)[:cut])), content[cut:]
            ends = np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) == ord("\n")).astype(np.int32)
            yield _batch(whole, ends, number, rejects)
            number += len(ends)
        else:
            rest = (rest + content)[: MAX_RECORD_BYTES + 1]
        if block and block.damage:
            rejects.add(number - 1, block.damage, "")


def _batch(whole: bytes, ends: np.ndarray, first: int, rejects: Rejects) -> pa.RecordBatch:
    """Cut `whole` after each newline, of which `ends` are the places, into lines without copying it."""
    offsets = np.concatenate([np.zeros(1, np.int32), ends + 1])
    lines = pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(whole)])
    if np.diff(offsets).max() > MAX_RECORD_BYTES:
        return _sound(lines, first, rejects)
    try:
        return pa.record_batch([np.arange(first, first + len(ends)), lines.cast(pa.string())], schema=RECORDS)
    except pa.ArrowInvalid:
        return _sound(lines, first, rejects)


def _sound(lines: pa.BinaryArray, first: int, rejects: Rejects) -> pa.RecordBatch:
    """Line by line: those that are UTF-8 and not too long."""
    numbers, texts = [], []
    for number, line in enumerate(lines, start=first):
        content = line.as_buffer().to_pybytes()
        try:
            if len(content) > MAX_RECORD_BYTES:
                rejects.add(number, TOO_LONG, content[:MAX_RECORD_BYTES].decode(errors="backslashreplace"))
                continue
            texts.append(content.decode())
            numbers.append(number)
        except UnicodeDecodeError:
            rejects.add(number, NOT_UTF8, content.decode(errors="backslashreplace"))
    return pa.record_batch([numbers, texts], schema=RECORDS)


def _elements(blocks: Iterator[Block], rejects: Rejects, spans: "_Spans") -> Iterator[pa.RecordBatch]:
    """The elements of a JSON array, each with the line on which it begins."""
    utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text, number = "", 1
    for block in chain(blocks, [None]):
        if block is not None:
            text += utf8.decode(block.content)
            if block.damage:
                rejects.add(number + text.count("\n"), block.damage, "")
        numbers, texts, done = [], [], 0
        for start, end, is_json in spans.of(text, 0 if block is None else MAX_RECORD_BYTES):
            number += text.count("\n", done, start)
            raw = text[start : min(end, start + MAX_RECORD_BYTES)]
            sound, is_utf8 = _as_utf8(raw)
            if is_json and is_utf8 and end - start <= MAX_RECORD_BYTES:
                numbers.append(number)
                texts.append(raw)
            else:
                rejects.add(number, NOT_UTF8 if not is_utf8 else TOO_LONG if is_json else NOT_JSON, sound)
            number += text.count("\n", start, end)
            done = end
        yield pa.record_batch([numbers, texts], schema=RECORDS)
        text = text[done:]
    if "]" not in text:
        rejects.add(number, OPEN_ARRAY, "")


class _Spans:
    """Finds the elements of an array in its text.

    Whatever the decoder cannot read is damage, and it goes on at the next line that opens an object. It may have looked
    far ahead before it gave up, and again from there: where that adds up to more than PATIENCE times what was read, the
    file is refused, so that elements that never close take linear time.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._decoder = json.JSONDecoder()
        self._in_vain = 0  # characters that the decoder looked at before it gave up
        self._read = 0

    def of(self, text: str, least: int) -> Iterator[tuple[int, int, bool]]:
        """Begin and end of each element, and whether it is JSON, as long as more than `least` characters lie ahead.

        So whatever the decoder cannot read is not for lack of text.

        Raises:
            InputError: element after element cannot be read.
        """
        base, window, end = 0, text[: WINDOWS[0]], 0
        while len(text) - (start := _GAP.match(text, end).end()) > least:  # type: ignore[union-attr]
            found, is_certain, looked = self._look(window, start - base, base + len(window) == len(text))
            for size in WINDOWS:
                if is_certain:
                    break
                base, window = start, text[start : start + size]
                found, is_certain, looked = self._look(window, 0, base + len(window) == len(text))
            if found is None:
                self._in_vain += looked + ATTEMPT_CHARACTERS
                next_element = _NEXT_ELEMENT.search(text, start)
                end = next_element.start() if next_element else len(text)
            else:
                end = base + found
            self._read += end - start
            if self._in_vain > PATIENCE * self._read + PATIENCE_CHARACTERS:
                raise InputError(
                    f"{self._file} is one JSON array in which element after element cannot be read; mend it, or write "
                    "one JSON object a line"
                )
            yield start, end, found is not None

    def _look(self, window: str, start: int, is_whole: bool) -> tuple[int | None, bool, int]:
        """Where the element ends that begins at `start`, or None; whether text beyond the window cannot change that;
        and how many characters were looked at.

        A window, since the error of the decoder counts all lines before it.
        """
        try:
            end = self._decoder.raw_decode(window, start)[1]
            return end, is_whole or end < len(window), end - start
        except json.JSONDecodeError as error:
            is_cut = error.pos > len(window) - LONGEST_TOKEN or error.msg.startswith("Unterminated")
            return None, is_whole or not is_cut, (len(window) if is_cut else error.pos) - start
        except (ValueError, RecursionError):  # a number of too many digits, or brackets within brackets
            return None, True, DEEP_CHARACTERS


def _as_utf8(text: str) -> tuple[str, bool]:
    """The text with undecodable bytes written as escapes, and whether there were none."""
    if text.isascii():
        return text, True
    content = text.encode(errors="surrogateescape")
    readable = content.decode(errors="backslashreplace")
    return readable, len(readable) == len(text)
