"""Keeps what encoders said, by the content they were shown, so that nothing is encoded twice for any dataset.

data/embeddings/SPACE/space.json      the encoder, weights, preprocessing and precision that its vectors share
data/embeddings/SPACE/SHA256.arrow    rows (content, vector): immutable, named by its bytes

Shards are only ever added, whole. Two runs at once may encode the same content twice; they never damage a shard.
"""

import fcntl
import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.artifacts.data_root import DataRoot
from storage.errors import InputError
from storage.files.atomic import sha256_of
from storage.files.locks import lock_file

SHARD_ROWS = 1 << 15
SHARD_S = 30.0
FOLDER = "embeddings"

logger = logging.getLogger(__name__)


def space_name(identity: Mapping[str, object]) -> str:
    """The folder of vectors that share an encoder, its weights, its preprocessing and its precision."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Shard:
    """A published shard, mapped from disk: `content` [n] are hex SHA-256s, `vectors` float32 [n, d]."""

    path: Path
    content: pa.ChunkedArray
    vectors: np.ndarray


class EmbeddingStore:
    """The vectors of one encoder.

    What is added waits in memory until its shard is closed: at the end of a batch, once it has `shard_rows` rows or
    `shard_s` seconds have gone by. A run that is killed loses what was waiting, and no more.

    Args:
        identity: JSON-compatible facts that vectors must share to be comparable.
    """

    def __init__(
        self,
        root: DataRoot,
        identity: Mapping[str, object],
        shard_rows: int | None = None,
        shard_s: float | None = None,
    ):
        self.root, self.identity = root, dict(identity)
        self.folder = root.root / FOLDER / space_name(identity)
        self._shard_rows = SHARD_ROWS if shard_rows is None else shard_rows
        self._shard_s = SHARD_S if shard_s is None else shard_s
        self._shards = read_shards(self.folder)
        self._waiting: list[tuple[Sequence[str], np.ndarray]] = []
        self._opened = time.monotonic()

    @property
    def dimension(self) -> int | None:
        """Length of the vectors; None while there are none."""
        return self._shards[0].vectors.shape[1] if self._shards else None

    def new(self, content: Sequence[str]) -> list[str]:
        """Those of `content` that have no vector yet, each once, in the order given."""
        wanted = list(dict.fromkeys(content))
        place = self.find(wanted)
        return [key for key, found in zip(wanted, place, strict=True) if found < 0]

    def add(self, content: Sequence[str], vectors: np.ndarray) -> None:
        """Keep a batch: `vectors` float32 [b, d] are of `content`. One that is not finite is no vector and not kept."""
        kept, vectors = _finite(content, vectors)
        if not kept:
            return
        self._waiting.append((kept, vectors))
        full = sum(len(keys) for keys, _ in self._waiting) >= self._shard_rows
        if full or time.monotonic() - self._opened >= self._shard_s:
            self.flush()

    def flush(self) -> None:
        """Publish what is waiting as a shard."""
        self._opened = time.monotonic()
        if not self._waiting:
            return
        keys = [key for batch, _ in self._waiting for key in batch]
        vectors = np.concatenate([batch for _, batch in self._waiting])
        shard = map_shard(_publish(self.root, self.identity, keys, vectors))
        # Vectors that an encoder has just made are as long as they must be, whatever lies there of another length.
        self._shards = [known for known in self._shards if known.vectors.shape[1] == vectors.shape[1]] + [shard]
        self._waiting = []

    def look_again(self) -> None:
        """Know the shards that others have published meanwhile."""
        known = {shard.path for shard in self._shards}
        self._shards = _of_one_width([*self._shards, *read_shards(self.folder, known)])

    def find(self, content: Sequence[str] | pa.Array) -> np.ndarray:
        """int64 [n], the row of each content over all shards, the first one that has it; -1 where none has."""
        stored = pa.chunked_array([chunk for shard in self._shards for chunk in shard.content.chunks], pa.string())
        place = pc.index_in(pa.array(content, pa.string()), value_set=stored)
        return place.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)

    def take(self, place: np.ndarray) -> np.ndarray:
        """float32 [n, d], the vectors at these rows as the encoder gave them; zeros where a row is -1."""
        matrix = np.zeros((len(place), self.dimension or 0), dtype=np.float32)
        ends = np.cumsum([len(shard.vectors) for shard in self._shards], dtype=np.int64)
        order = np.argsort(place, kind="stable")
        cuts = np.searchsorted(place[order], [0, *ends])
        for shard, end, first, last in zip(self._shards, ends, cuts, cuts[1:], strict=False):
            rows = order[first:last]
            matrix[rows] = shard.vectors[place[rows] - (end - len(shard.vectors))]
        return matrix


def publish_vectors(root: DataRoot, identity: Mapping[str, object], content: Sequence[str], vectors: np.ndarray) -> int:
    """Publish a batch of a space as a shard of its own, for processes that share no store; return how many are kept.

    Args:
        content, vectors: as in `EmbeddingStore.add`.
    """
    kept, vectors = _finite(content, vectors)
    if kept:
        _publish(root, identity, kept, vectors)
    return len(kept)


def _finite(content: Sequence[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
    finite = np.isfinite(vectors).all(axis=1)
    kept = [key for key, sound in zip(content, finite, strict=True) if sound]
    return kept, np.asarray(vectors[finite], dtype=np.float32)


def _publish(root: DataRoot, identity: Mapping[str, object], content: Sequence[str], vectors: np.ndarray) -> Path:
    folder = root.root / FOLDER / space_name(identity)
    description = folder / "space.json"
    if not description.exists():
        root.publish_bytes(description, json.dumps(identity, indent=1, sort_keys=True).encode())
    return publish_shard(root, folder, pa.array(content, pa.string()), vectors)


def publish_shard(root: DataRoot, folder: Path, content: pa.Array | pa.ChunkedArray, vectors: np.ndarray) -> Path:
    """Write a shard of the space at `folder`, whole or not at all; its name is the SHA-256 of its bytes."""
    n, dimension = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors).reshape(n * dimension))
    rows = pa.table({"content": content, "vector": pa.FixedSizeListArray.from_arrays(flat, dimension)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    written = sink.getvalue()
    path = folder / f"{hashlib.sha256(written).hexdigest()}.arrow"
    with root.publishing(path) as partial:
        partial.write_bytes(written)
    return path


def map_shard(path: Path) -> Shard:
    """Map a shard from disk; its vectors are read when they are asked for.

    Raises:
        ValueError, OSError, ArrowException: it is no shard, or its offsets, its width or its rows are not sound.
    """
    rows = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    kinds = {field.name: field.type for field in rows.schema}
    if kinds.keys() != {"content", "vector"} or kinds["content"] != pa.string():
        raise ValueError("it has other columns than a shard")
    vector = kinds["vector"]
    if not pa.types.is_fixed_size_list(vector) or vector.value_type != pa.float32():
        raise ValueError("it holds no vectors of float32")
    if rows["vector"].num_chunks != 1 or not vector.list_size:  # a shard is one batch; joining chunks would copy it
        raise ValueError("it is not one batch of vectors")
    rows["content"].validate(full=True)
    rows["vector"].validate()
    column = rows["vector"].chunk(0)
    if rows["content"].null_count or column.null_count or column.values.null_count:
        raise ValueError("a content or a vector is null")
    vectors = column.flatten().to_numpy().reshape(len(rows), vector.list_size)
    return Shard(path, rows["content"], vectors)


def read_shards(folder: Path, known: Collection[Path] = ()) -> list[Shard]:
    """The shards of a space but for those known, by name, all of one width.

    One that is not what its name says, or no sound shard although it is, is left out with a warning.
    """
    sound: list[Shard] = []
    for path in sorted(set(folder.glob("[0-9a-f]*.arrow")) - set(known)):
        try:
            if sha256_of(path) != path.stem:
                raise ValueError("it is not what its name says")
            sound.append(map_shard(path))
        except (OSError, ValueError, pa.ArrowException) as error:
            why = str(error).partition("\n")[0]
            logger.warning(
                f"{FOLDER}: the shard {folder.name}/{path.name} is damaged ({why}); its content is encoded again"
            )
    return _of_one_width(sound)


def _of_one_width(shards: list[Shard]) -> list[Shard]:
    """The shards whose vectors are as long as those of most contents; the others are left out with a warning."""
    rows: Counter[int] = Counter()
    for shard in shards:
        rows[shard.vectors.shape[1]] += len(shard.vectors)
    if len(rows) < 2:
        return shards
    width = rows.most_common(1)[0][0]
    for shard in shards:
        if shard.vectors.shape[1] != width:
            logger.warning(
                f"{FOLDER}: the shard {shard.path.parent.name}/{shard.path.name} has vectors of "
                f"{shard.vectors.shape[1]} numbers among others of {width}; its content is encoded again"
            )
    return [shard for shard in shards if shard.vectors.shape[1] == width]


@contextmanager
def in_use(root: DataRoot) -> Iterator[None]:
    """Keep the store from being collected meanwhile; the lock ends with its process."""
    with _locked(root, fcntl.LOCK_SH):
        yield


@contextmanager
def unused(root: DataRoot) -> Iterator[None]:
    """Have the store alone.

    Raises:
        InputError: somebody is using it.
    """
    try:
        with _locked(root, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError:
        raise InputError("vectors are being encoded or read right now; nothing was collected") from None


@contextmanager
def _locked(root: DataRoot, how: int) -> Iterator[None]:
    # Beside what it guards, whatever else a process thinks of its environment.
    with lock_file(root.root / FOLDER / ".lock") as lock:
        fcntl.flock(lock, how)
        yield
