"""Deletes the vectors that no published table names any more."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.artifacts.data_root import DataRoot
from storage.artifacts.tables import facts_of
from storage.embeddings.store import FOLDER, publish_shard, read_shards, unused
from storage.errors import InputError
from storage.schemas import SCHEMAS


@dataclass(frozen=True)
class Collected:
    """How many vectors stayed, how many are gone, and what that freed."""

    kept: int
    deleted: int
    freed_bytes: int


def collect_vectors(root: DataRoot) -> Collected:
    """Delete the vectors that no published table names, and second copies of those that one does.

    A shard of which a part is named is written anew before the old one goes, so that nothing named is missing at any
    time. Damaged shards are left for a person to look at.

    Raises:
        InputError: vectors are in use right now, or a table cannot be read, so that nobody knows what it names.
    """
    with unused(root):
        if root.mirror:
            root.mirror.pull(_may_name_vectors)
        named = named_content(root)
        kept = deleted = freed = 0
        for folder in sorted(path for path in (root.root / FOLDER).glob("*/") if path.is_dir()):
            for left in folder.glob(".*.partial"):  # by a process that was killed: nobody else writes now
                left.unlink()
            wanted = named.get(folder.name, pa.array([], pa.string()))
            before = sum(path.lstat().st_size for path in folder.glob("*.arrow"))
            stay, go = _collect_space(root, folder, wanted)
            freed += before - sum(path.lstat().st_size for path in folder.glob("*.arrow"))
            kept, deleted = kept + stay, deleted + go
            if not any(folder.glob("*.arrow")):
                root.remove(folder)
        return Collected(kept, deleted, freed)


def named_content(root: DataRoot) -> dict[str, pa.Array]:
    """The content, by space, whose vectors published tables hold."""
    named: dict[str, list[pa.Array]] = defaultdict(list)
    for path in sorted(root.root.glob("*/*.parquet")):
        try:
            space = facts_of(path).get("space")
            if space:
                column = pq.read_table(path, columns=["content"], partitioning=None)["content"].combine_chunks()
                named[space].append(column.flatten())
        except (OSError, pa.ArrowException):
            where = path.relative_to(root.root)
            raise InputError(f"{where} cannot be read, so what it needs is not known; nothing was collected") from None
    return {space: pa.concat_arrays(parts).unique() for space, parts in named.items()}


def _may_name_vectors(key: str) -> bool:
    """Whether a file has vectors, or may be a table of embeddings: these alone have no schema of their own."""
    asset = key.split("/")[0]
    return asset == FOLDER or (asset not in SCHEMAS and key.endswith(".parquet"))


def _collect_space(root: DataRoot, folder: Path, named: pa.Array) -> tuple[int, int]:
    """Collect one space; return how many vectors stayed and how many are gone."""
    shards = read_shards(folder)
    content = pa.chunked_array([chunk for shard in shards for chunk in shard.content.chunks], pa.string())
    first_copy = pc.index_in(content, value_set=content).to_numpy() == np.arange(len(content))
    stays = pc.is_in(content, value_set=named).to_numpy() & first_copy
    ends = np.cumsum([len(shard.vectors) for shard in shards], dtype=np.int64)
    staying: set[Path] = set()
    for shard, rows in zip(shards, np.split(stays, ends[:-1]), strict=False):
        if rows.all():
            staying.add(shard.path)
        elif rows.any():
            staying.add(publish_shard(root, folder, shard.content.filter(pa.array(rows)), shard.vectors[rows]))
    # Last, and not what was just written: rows that stay may be, byte by byte, another shard that goes.
    for shard in shards:
        if shard.path not in staying:
            root.remove(shard.path)
    return int(stays.sum()), int((~stays).sum())
