"""Keeps every attempt at a picture, and the bytes that it brought, in immutable Parquet shards.

A shard appears whole or not at all, is named by its content, and is never changed. Each picture is kept once, by the
SHA-256 of its content. A worker process may import this module cheaply.

Pictures are compared with their checksums when they are read. Whoever finds one damaged leaves a note beside its shard
(`NAME.parquet.damaged`), so that the next run that fetches looks at all of that shard, and at no other.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import InputError
from storage.files.atomic import publishing
from storage.files.mirror import Mirror
from storage.schemas import SCHEMA_VERSION, SCHEMAS

GROUP_ROWS = 64  # of a shard; a reader decodes no less than such a group
READ_BATCH = 64
PICTURES = b"pictures"  # what a shard's metadata call the number of its first rows that have a content

UNREADABLE = (OSError, ValueError, pa.ArrowException)  # what reading a damaged or a foreign file raises

logger = logging.getLogger(__name__)


class Attempt(NamedTuple):
    """What came of asking for a URL once; the columns of a shard but for the content."""

    url: str
    asked_at: int
    mark: str | None
    status: str
    width: int | None
    height: int | None
    bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class PictureBatch:
    """Some pictures of a store: a call reads them.

    Attributes:
        places: shards, and of each the rows of the wanted pictures, ascending.
    """

    places: tuple[tuple[Path, tuple[int, ...]], ...]

    def __call__(self) -> list[tuple[str, bytes]]:
        """Read (sha256, content) of each picture.

        Raises:
            InputError: a shard is gone or damaged, or a content is not what its key says.
        """
        return [pair for shard, rows in self.places for pair in _read_contents(shard, rows)]


class PictureStore:
    """The shards of one dataset. What cannot be read is left out, with a warning."""

    def __init__(self, folder: Path, mirror: Mirror | None = None):
        self.folder, self.mirror = folder, mirror

    def attempts(self) -> Iterator[tuple[Attempt, bool]]:
        """Yield every attempt of every sound shard, and whether its content is there.

        Pictures are verified where a reader has found a shard damaged; elsewhere, that they are as long as they were.
        """
        for shard in self._paths():
            try:
                found = _read_attempts(shard)
                if _note(shard).exists():
                    _verify(shard)
                    _note(shard).unlink(missing_ok=True)
            except UNREADABLE as error:
                _warn(shard, error)
                continue
            yield from found

    def publish(self, attempts: Sequence[tuple[Attempt, bytes | None]]) -> None:
        """Write a shard, whole or not at all: the pictures first, then what brought none."""
        if not attempts:
            return
        rows = sorted(attempts, key=lambda row: row[1] is None)
        columns = [*zip(*(attempt for attempt, _ in rows), strict=True), [content for _, content in rows]]
        pictures = sum(content is not None for _, content in rows)
        about = {"schema_version": SCHEMA_VERSION, PICTURES: str(pictures)}
        schema = SCHEMAS["pictures"].with_metadata(about)
        table = pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema)
        name = hashlib.sha256(repr([attempt for attempt, _ in rows]).encode()).hexdigest()[:16]
        compression = {column: "none" if column == "content" else "zstd" for column in schema.names}
        with publishing(self.folder / f"{name}.parquet", self.mirror) as partial:
            pq.write_table(
                table,
                partial,
                row_group_size=GROUP_ROWS,
                compression=compression,
                use_dictionary=["status"],
                write_statistics=False,
                write_page_checksum=True,
            )

    def batches(self, wanted: Iterable[str], size: int) -> list[PictureBatch]:
        """The wanted pictures, each once, `size` to a batch.

        Their order is that in which the shards were made, and depends on nothing else: without the pictures of the
        first batches, the other batches are what they were.

        Raises:
            InputError: not all of them are there.
        """
        left = set(wanted)
        shards: list[tuple[int, Path, list[tuple[int, str]]]] = []
        for shard in self._paths():
            try:
                asked_at, keys = _read_keys(shard)
            except UNREADABLE as error:
                _warn(shard, error)
                continue
            shards.append((asked_at, shard, [(row, key) for row, key in enumerate(keys) if key in left]))
        shards.sort(key=itemgetter(0, 1))
        # A picture that is there twice was asked for again because its first shard was damaged: one that nobody found
        # damaged counts, and of these the newest. The times alone do not tell, where the clock was set back between.
        sound_last = sorted(enumerate(shards), key=lambda place: not _note(place[1][1]).exists())
        chosen = {key: (number, row) for number, (_, _, rows) in sound_last for row, key in rows}
        places = sorted(chosen.values())
        if len(places) < len(left):
            lost = len(left) - len(places)
            raise InputError(f"{lost} pictures of item_images are in no sound shard; materialize item_images again")
        return [
            PictureBatch(
                tuple(
                    (shards[number][1], tuple(row for _, row in rows))
                    for number, rows in groupby(places[start : start + size], itemgetter(0))
                )
            )
            for start in range(0, len(places), size)
        ]

    def read(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (sha256, content) of the wanted pictures, each once, shard by shard."""
        for batch in self.batches(wanted, READ_BATCH):
            yield from batch()

    def _paths(self) -> list[Path]:
        """The shards, and no file that is still being written."""
        return sorted(path for path in self.folder.glob("*.parquet") if not path.name.startswith("."))


def _read_attempts(shard: Path) -> list[tuple[Attempt, bool]]:
    """Every attempt of a shard, and whether its content is there; the pages of contents are not read.

    Raises:
        OSError, ValueError, ArrowException: it is no shard, or not as it was written.
    """
    with _opened(shard) as file:
        _require_whole(shard, file.metadata)
        rows = file.read(columns=list(Attempt._fields)).to_pydict().values()
        pictures = _pictures(file)
        return [(Attempt(*row), number < pictures) for number, row in enumerate(zip(*rows, strict=True))]


def _require_whole(shard: Path, about: pq.FileMetaData) -> None:
    """Raise ValueError unless a shard is as long as its row groups say."""
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    pages = sum(group.column(column).total_compressed_size for group in groups for column in range(group.num_columns))
    if pages + about.serialized_size > shard.stat().st_size:
        raise ValueError("it is shorter than it was")


def _verify(shard: Path) -> None:
    """Compare all pages with their checksums, and all contents with their keys; raises as above."""
    with _opened(shard) as file:
        for _ in _pairs(file, range(_pictures(file))):
            pass


def _note(shard: Path) -> Path:
    """The file beside a shard that says that a reader found it damaged."""
    return shard.with_name(f"{shard.name}.damaged")


def _read_keys(shard: Path) -> tuple[int, list[str]]:
    """When the first attempt of a shard was made, and the keys of its pictures, in the order of its rows."""
    with _opened(shard) as file:
        table = file.read(columns=["asked_at", "sha256"])
        return pc.min(table["asked_at"]).as_py(), table["sha256"].slice(0, _pictures(file)).to_pylist()


def _read_contents(shard: Path, rows: Sequence[int]) -> list[tuple[str, bytes]]:
    try:
        with _opened(shard) as file:
            return list(_pairs(file, rows))
    except UNREADABLE as error:
        with suppress(OSError):  # where nothing can be written, nothing can be mended either
            if shard.exists():
                _note(shard).touch()
        sentence = (
            f"the picture shard {shard.name} is gone or damaged; materialize item_images again, which replaces it"
        )
        raise InputError(sentence) from error


@contextmanager
def _opened(shard: Path) -> Iterator[pq.ParquetFile]:
    with pq.ParquetFile(shard, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        if not schema.equals(SCHEMAS["pictures"]) or PICTURES not in (schema.metadata or {}):
            raise ValueError("it is no shard of pictures, or one of another version")
        yield file


def _pictures(file: pq.ParquetFile) -> int:
    """How many of the first rows have a content."""
    return int(file.schema_arrow.metadata[PICTURES])


def _pairs(file: pq.ParquetFile, rows: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """Key and content of some rows, ascending, a group of rows in memory at a time."""
    for group, of_group in groupby(rows, lambda row: row // GROUP_ROWS):
        table = file.read_row_group(group, columns=["sha256", "content"], use_threads=False)
        found = table.take([row % GROUP_ROWS for row in of_group])
        for key, content in zip(found["sha256"].to_pylist(), found["content"].to_pylist(), strict=True):
            if content is None or hashlib.sha256(content).hexdigest() != key:
                raise ValueError("a content is not what its key says")
            yield key, content


def _warn(shard: Path, error: Exception) -> None:
    logger.warning(f"{shard} cannot be read and is left out ({str(error).splitlines()[0]})")
