"""The vectors of a model for other programs: Parquet files, an index of the items, and an example of a search."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from usearch.index import Index

from assets.exports import search
from assets.exports.search import EXPANSION
from models.recommenders.item_graph import near_index

METRICS = {"dot": "ip", "cosine": "cos"}  # usearch's name of each score
ONE_THREAD_UP_TO = 50_000  # items; half a minute


@dataclass(frozen=True)
class Side:
    """The users of a model, or its items.

    Attributes:
        name: "user" or "item".
        ids: string [n], by number.
        vectors: float32 [n, d].
        in_train: bool [n], whether the model has seen an interaction of it.
    """

    name: str
    ids: pa.Array
    vectors: np.ndarray
    in_train: np.ndarray


def write_vectors(folder: Path, users: Side, items: Side, score: str, about: dict[str, str]) -> None:
    """Write `users.parquet`, `items.parquet`, `items.usearch` and `search.py` into `folder`.

    A row is a number of the model, and a key of the index. The score of a pair is the inner product of both vectors;
    for a model that scores by the cosine they are divided by their lengths.

    Args:
        score: "dot" or "cosine".
        about: facts for the metadata of both Parquet files.
    """
    facts = {**about, "score": score, "metric": METRICS[score]}
    for side in (users, items):
        vectors = scored_by_product(side.vectors, score)
        pq.write_table(side_table(side, vectors).replace_schema_metadata(facts), folder / f"{side.name}s.parquet")
        if side is items:
            item_index(vectors, score).save(str(folder / "items.usearch"))
    (folder / "search.py").write_bytes(Path(search.__file__).read_bytes())


def scored_by_product(vectors: np.ndarray, score: str) -> np.ndarray:
    """float32 [n, d] whose inner products are the score; a vector of zeros stays one."""
    if score == "dot":
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.float32(1e-12))


def side_table(side: Side, vectors: np.ndarray) -> pa.Table:
    """Number, id, whether it is in train, and vector: int32, string, bool, fixed_size_list<float>[d]."""
    n, dim = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(n * dim))
    columns = {
        side.name: pa.array(np.arange(n, dtype=np.int32)),
        f"{side.name}_id": side.ids,
        "in_train": pa.array(side.in_train),
        "vector": pa.FixedSizeListArray.from_arrays(flat, dim),
    }
    return pa.table(columns)


def item_index(vectors: np.ndarray, score: str) -> Index:
    """A navigable small-world graph of the items: Malkov and Yashunin, TPAMI 2018, as `usearch` has it.

    One thread gives the same index every time, but takes long for very many items; all cores then share the work.

    Args:
        vectors: float32 [n, d]; keys are row numbers.
    """
    length = float(np.linalg.norm(vectors, axis=1).mean())
    return near_index(vectors, METRICS[score], EXPANSION, 1 if len(vectors) <= ONE_THREAD_UP_TO else 0, length)
