"""Gives every item its vector: what the store has is taken from there, the rest is encoded and kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.core.asset_context import AssetContext
from assets.core.asset_result import AssetResult
from storage.artifacts.tables import embedding_table
from storage.embeddings.store import EmbeddingStore, in_use, space_name

BLOCK_ITEMS = 1 << 16

OnProgress: TypeAlias = Callable[..., None]  # how many more are done, and how many seconds a device waited for them
Encoded: TypeAlias = Iterator[tuple[Sequence[str], np.ndarray]]
Filling: TypeAlias = Callable[[EmbeddingStore, Sequence[str], OnProgress], Iterator[int]]


@dataclass(frozen=True)
class Embedded:
    """The vectors of all items.

    Attributes:
        matrix: float16 or float32 [n, d], zeros where an item has no value. A row is L2-normalised where an item has
            one content; of several it is the mean of their normalised vectors.
        has_value: bool [n].
        content: list<string> [n], the SHA-256 of what each vector was made of.
        norms: float32, of every content's vector before it was normalised.
        space: what the vectors share, as the store calls it.
        facts: how much was encoded now, how much was there, and how fast it went.
    """

    matrix: np.ndarray
    has_value: np.ndarray
    content: pa.ListArray
    norms: np.ndarray
    space: str
    facts: dict[str, float]


def embed(
    context: AssetContext,
    identity: Mapping[str, object],
    content: pa.ListArray,
    fill: Filling,
    dimension: Callable[[], int],
    unit: str,
    dtype: str,
) -> Embedded:
    """Embed what items are made of.

    Args:
        identity: what vectors must share to be comparable.
        content: list<string> [n], the SHA-256 of every picture or text of an item.
        fill: puts the vectors of the contents that it is given into the store, in an order of its own; yields how
            many at a time, and tells how many are done and, if it knows, how many seconds they were waited for. It is
            called if something is new, and gets ready before it returns.
        dimension: of the vectors; it is called if there are none.
        unit: what the contents are.
        dtype: of the matrix.
    """
    with in_use(context.root):
        store = EmbeddingStore(context.root, identity)
        distinct = content.flatten().unique().to_pylist()
        new = store.new(distinct)
        facts: dict[str, float] = {"encoded": 0, "from_store": len(distinct) - len(new)}
        facts["hit_rate"] = facts["from_store"] / max(len(distinct), 1)
        if new:
            progress = context.progress(len(new), unit)
            counts = fill(store, new, progress.advance)
            with progress:
                for count in counts:
                    facts["encoded"] += count
            rate = facts["encoded"] / progress.seconds
            facts[f"{unit}_per_s"] = round(rate, 2)
            if progress.waited is not None:
                facts["share_waiting"] = round(progress.share_waiting, 3)
        matrix = np.zeros((len(content), store.dimension or dimension()), dtype=dtype)
        content, place = _with_vector(content, store.find(content.flatten()))
        norms = _fill(matrix, store, content, place)
    has_value = pc.list_value_length(content).to_numpy(zero_copy_only=False) > 0
    return Embedded(matrix, has_value, content, norms, space_name(identity), facts)


def filling(encode: Callable[[Sequence[str], OnProgress], Encoded]) -> Filling:
    """Fill the store in this process, by what yields batches of (content, float32 [b, d])."""

    def keep_vectors(store: EmbeddingStore, batches: Encoded) -> Iterator[int]:
        for batch, vectors in batches:
            store.add(batch, vectors)
            yield len(batch)
        store.flush()

    return lambda store, new, on_progress: keep_vectors(store, encode(new, on_progress))


def _with_vector(content: pa.ListArray, place: np.ndarray) -> tuple[pa.ListArray, np.ndarray]:
    """Content and places without those contents that have no vector, whose place is -1."""
    kept = place >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])[content.offsets.to_numpy() - content.offsets[0].as_py()]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), content.flatten().filter(pa.array(kept))), place[kept]


def _fill(matrix: np.ndarray, store: EmbeddingStore, content: pa.ListArray, place: np.ndarray) -> np.ndarray:
    """Put the vectors at `place` into the rows of their items; return the norms of the raw vectors."""
    item = np.repeat(np.arange(len(content)), pc.list_value_length(content).to_numpy(zero_copy_only=False))
    norms = np.zeros(len(place), dtype=np.float32)
    for start in range(0, len(content), BLOCK_ITEMS):
        first, last = np.searchsorted(item, [start, start + BLOCK_ITEMS])
        if first == last:
            continue
        vectors = store.take(place[first:last])
        norms[first:last] = np.linalg.norm(vectors, axis=1)
        vectors /= np.maximum(norms[first:last, None], 1e-12)
        rows, begins, counts = np.unique(item[first:last], return_index=True, return_counts=True)
        matrix[rows] = np.add.reduceat(vectors, begins) / counts[:, None].astype(np.float32)
    return norms


def embedding_rows(
    item_index: pa.Table,
    embedded: Embedded,
    about: Mapping[str, str],
    missing: Mapping[str, int],
    previews: Mapping[str, Any],
) -> AssetResult:
    """The embedding table, and what a person wants to know of it.

    Args:
        about: encoder and weights, for the file's metadata.
        missing: how many items have nothing to encode, by reason.
        previews: what else the UI shows.
    """
    single = pc.max(pc.list_value_length(embedded.content)).as_py() in (None, 0, 1)
    about = {
        **about,
        "dimension": str(embedded.matrix.shape[1]),
        "normalised": str(single).lower(),
        "space": embedded.space,
    }
    with_value = int(embedded.has_value.sum())
    without_value = len(embedded.has_value) - with_value
    unfit = without_value - sum(missing.values())
    counts: dict[str, Any] = {"with_value": with_value, "without_value": without_value}
    counts["missing"] = {**missing, "not_encodable": unfit} if unfit else dict(missing)
    table = embedding_table(item_index, embedded.matrix, embedded.has_value, embedded.content)
    return AssetResult(table, {**about, **embedded.facts, **counts, **previews}, about)
