"""The bytes of a plain or gzipped file in blocks, inflated ahead of the reader; damage is reported, never raised."""

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from storage.prefetch import ahead

READ_BYTES = 1 << 16
STEP_BYTES = 1 << 18
BLOCK_BYTES = 1 << 24

TRUNCATED = "truncated gzip: what follows is lost"
DAMAGED = "damaged gzip: lines from here on, or some before, are lost"

# Magic, deflate, flags without reserved bits, time, extra flags, system: chance gives this once in 80 GB.
_HEADER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]", re.DOTALL)
_HEADER_BYTES = 10


@dataclass(frozen=True)
class Block:
    """Bytes of a file, in order; `damage` says why bytes after `content` are missing."""

    content: bytes
    damage: str | None = None


def read_blocks(path: Path) -> Iterator[Block]:
    """Yield a file's bytes in blocks of about 16 MiB, inflated if it is gzip by its first two bytes.

    A thread works up to two blocks ahead: inflating holds no lock, so it runs beside the parsing of the last block.
    All that can be inflated of a damaged gzip member is yielded, then its damage, then the members after it.
    """
    return ahead(_blocks(path))


def _blocks(path: Path) -> Iterator[Block]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not is_gzip:
            while content := file.read(BLOCK_BYTES):
                yield Block(content)
            return
        waiting: list[bytes] = []
        size = 0
        for step in _inflate(file):
            waiting.append(step.content)
            size += len(step.content)
            if size >= BLOCK_BYTES or step.damage:
                yield Block(b"".join(waiting), step.damage)
                waiting, size = [], 0
        yield Block(b"".join(waiting))


def _inflate(file: BinaryIO) -> Iterator[Block]:
    """Inflate all members of a gzip stream in steps of bounded size, whatever they inflate to."""
    member, start, produced, data = isal_zlib.decompressobj(wbits=31), 0, 0, b""
    while data or (data := file.read(READ_BYTES)):
        if member.eof:
            data = data.lstrip(b"\0")  # padding between members
            if data:
                member, start, produced = isal_zlib.decompressobj(wbits=31), file.tell() - len(data), 0
            continue
        try:
            content = member.decompress(data, STEP_BYTES)
        except isal_zlib.error:  # type: ignore[misc]
            yield Block(_salvaged(file, start, produced), DAMAGED)
            data = _from_next_member(file, start + 1)
            member, start, produced = isal_zlib.decompressobj(wbits=31), file.tell() - len(data), 0
            continue
        produced += len(content)
        data = member.unused_data if member.eof else member.unconsumed_tail
        yield Block(content)
    if not member.eof and file.tell() > start:
        yield Block(member.flush(), None if member.eof else TRUNCATED)


def _salvaged(file: BinaryIO, start: int, produced: int) -> bytes:
    """What a damaged member that starts at `start` gives beyond its first `produced` bytes, to the last sound byte.

    A second pass with zlib: it can be copied before each piece and then fed byte by byte up to the damage.
    """
    file.seek(start)
    member, seen, found = zlib.decompressobj(wbits=31), 0, bytearray()

    def feed(member: "zlib._Decompress", piece: bytes) -> None:
        nonlocal seen
        content = member.decompress(piece)
        found.extend(content[max(produced - seen, 0) :])
        seen += len(content)

    while not member.eof and (piece := file.read(READ_BYTES)):
        before = member.copy()
        try:
            feed(member, piece)
        except zlib.error:
            with suppress(zlib.error):
                for byte in piece:
                    feed(before, bytes([byte]))
            break
    return bytes(found)


def _from_next_member(file: BinaryIO, position: int) -> bytes:
    """Go on to the next gzip header at or after `position`: the bytes from it that were read; none at the end."""
    file.seek(position)
    data = b""
    while piece := file.read(READ_BYTES):
        data = data[-_HEADER_BYTES:] + piece
        if header := _HEADER.search(data):
            return data[header.start() :]
    return b""
