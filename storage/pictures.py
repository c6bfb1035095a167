"""Keeps the bytes of pictures in immutable Parquet shards, each picture once, by the SHA-256 of its content."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.schemas import SCHEMAS
from storage.tables import write_table

SHARD_BYTES = 1 << 26


class PictureStore:
    """The pictures of one dataset.

    New pictures wait in memory until they fill a shard; `flush` publishes what is waiting.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._stored = {
            sha for shard in self._shards() for sha in pq.read_table(shard, columns=["sha256"])[0].to_pylist()
        }
        self._waiting: dict[str, bytes] = {}
        self._waiting_bytes = 0

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._stored or sha256 in self._waiting

    def add(self, content: bytes) -> str:
        """Keep a picture and return its key."""
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 not in self:
            self._waiting[sha256] = content
            self._waiting_bytes += len(content)
            if self._waiting_bytes >= SHARD_BYTES:
                self.flush()
        return sha256

    def flush(self) -> None:
        """Publish what is waiting as a shard named by its pictures."""
        if not self._waiting:
            return
        keys = sorted(self._waiting)
        table = pa.table([keys, [self._waiting[key] for key in keys]], schema=SCHEMAS["pictures"])
        name = hashlib.sha256("".join(keys).encode()).hexdigest()[:16]
        write_table(self.folder / f"{name}.parquet", "pictures", table)
        self._stored |= self._waiting.keys()
        self._waiting, self._waiting_bytes = {}, 0

    def read(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (key, content) of the wanted pictures that are stored, each once, shard by shard."""
        keys = pa.array(sorted(set(wanted)), pa.string())
        for shard in self._shards():
            file = pq.ParquetFile(shard, page_checksum_verification=True)
            for batch in file.iter_batches(256):
                found = batch.filter(pc.is_in(batch["sha256"], value_set=keys))
                yield from zip(found["sha256"].to_pylist(), found["content"].to_pylist(), strict=True)

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))
