"""What this machine knows of the files of a remote: the mark that each had there, and the local file that it became.

A small SQLite file, so that several processes lose no entries of each other.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

WAIT_S = 60.0  # for another process that writes
TABLE = "CREATE TABLE IF NOT EXISTS marks (key TEXT PRIMARY KEY, mark TEXT, size INTEGER, mtime_ns INTEGER)"


class IndexEntry(NamedTuple):
    """One state of a remote file, and size and time of change of the local file with the same content."""

    remote: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, remote: str, local: Path) -> "IndexEntry":
        state = local.stat()
        return cls(remote, state.st_size, state.st_mtime_ns)

    def fits(self, local: Path) -> bool:
        """Whether the local file is there and was not touched since."""
        return local.is_file() and self == IndexEntry.of(self.remote, local)


class MirrorIndex:
    """The entries of one mirror, by key: the path below the data root."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> dict[str, IndexEntry]:
        with self._opened() as database:
            return {key: IndexEntry(*rest) for key, *rest in database.execute("SELECT * FROM marks")}

    def write(self, entries: Mapping[str, IndexEntry]) -> None:
        with self._opened() as database:
            rows = [(key, *entry) for key, entry in entries.items()]
            database.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", rows)

    def forget(self, keys: Iterable[str]) -> None:
        with self._opened() as database:
            database.executemany("DELETE FROM marks WHERE key = ?", [(key,) for key in keys])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database, database:
            database.execute(TABLE)
            yield database
