"""Lines of a plain or gzipped file, in batches, each with its number; what is damaged is told apart, never lost."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from storage.errors import InputError
from storage.schemas import SCHEMAS

READ_BYTES = 1 << 20
BLOCK_BYTES = 1 << 24
MAX_LINE_BYTES = 1 << 26
RAW_CHARACTERS = 2000

LINES = pa.schema([("line", pa.int64()), ("raw", pa.string())])


class Rejects:
    """Records that could not be used: their line, why, and the beginning of the line itself."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, str]] = []

    def add(self, line: int, reason: str, raw: str) -> None:
        self._rows.append((line, reason, raw.rstrip("\r\n")[:RAW_CHARACTERS]))

    def __len__(self) -> int:
        return len(self._rows)

    def by_reason(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for _, reason, _ in self._rows:
            counts[reason] = counts.get(reason, 0) + 1
        return counts

    def table(self) -> pa.Table:
        """The table `rejects`, by line."""
        columns = zip(*sorted(self._rows), strict=True) if self._rows else ((), (), ())
        return pa.table([list(column) for column in columns], schema=SCHEMAS["rejects"])


def read_lines(path: Path, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    """Yield the lines of a file as batches of (line, raw), numbered from 1; blank lines are passed over.

    Lines that are not UTF-8, and the end of a damaged gzip stream, go to `rejects`.

    Raises:
        InputError: a line is longer than 64 MiB.
    """
    number, rest = 1, b""
    for block in _blocks(path, rejects):
        cut = block.rfind(b"\n") + 1
        if not cut and len(rest) + len(block) > MAX_LINE_BYTES:
            raise InputError(f"line {number} of {path.name} is longer than {MAX_LINE_BYTES >> 20} MiB")
        if not cut:
            rest += block
            continue
        whole, rest = rest + block[:cut], block[cut:]
        yield _batch(whole, number, rejects)
        number += whole.count(b"\n")
    if rest:
        yield _batch(rest + b"\n", number, rejects)


def _batch(whole: bytes, first: int, rejects: Rejects) -> pa.RecordBatch:
    """Cut `whole`, which ends with a newline, into lines without copying it."""
    ends = np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) == ord("\n")).astype(np.int32)
    offsets = np.concatenate([np.zeros(1, np.int32), ends + 1])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(whole)]
    numbers = pa.array(np.arange(first, first + len(ends)))
    try:
        whole.decode()
    except UnicodeDecodeError:
        return _decoded(pa.Array.from_buffers(pa.binary(), len(ends), buffers), first, rejects)
    return pa.record_batch([numbers, pa.Array.from_buffers(pa.string(), len(ends), buffers)], schema=LINES)


def _decoded(lines: pa.BinaryArray, first: int, rejects: Rejects) -> pa.RecordBatch:
    numbers, texts = [], []
    for number, line in enumerate(lines.to_pylist(), start=first):
        try:
            texts.append(line.decode())
            numbers.append(number)
        except UnicodeDecodeError:
            rejects.add(number, "not UTF-8", line.decode(errors="backslashreplace"))
    return pa.record_batch([numbers, texts], schema=LINES)


def _blocks(path: Path, rejects: Rejects) -> Iterator[bytes]:
    """The bytes of a file, inflated if it is gzip by its first two bytes."""
    with path.open("rb") as file:
        magic = file.read(2)
        file.seek(0)
        if magic != b"\x1f\x8b":
            while block := file.read(BLOCK_BYTES):
                yield block
            return
        waiting, size = [], 0
        for piece in _inflate(file, rejects):
            waiting.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
        if waiting:
            yield b"".join(waiting)


def _inflate(file: BinaryIO, rejects: Rejects) -> Iterator[bytes]:
    """Inflate all members of a gzip stream, as far as it is sound."""
    member = zlib.decompressobj(wbits=31)
    while piece := file.read(READ_BYTES):
        while piece:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            try:
                yield member.decompress(piece)
            except zlib.error:
                rejects.add(0, "damaged gzip: what follows is lost", "")
                return
            piece = member.unused_data
    if not member.eof:
        rejects.add(0, "truncated gzip: what follows is lost", "")
