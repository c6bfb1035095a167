"""The frozen graph of items that look or read alike: each with its nearest in embedding space.

After Zhang et al., "Mining Latent Structures for Multimedia Recommendation" (LATTICE), MM 2021, with the edges of
Zhou and Shen, "A Tale of Two Graphs" (FREEDOM), MM 2023: frozen, and all of the same weight before normalisation.
"""

from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from usearch.index import BatchMatches, Index

from models.ranking.ranking import top_k
from models.recommenders.fusion import Modality

EXACT_UP_TO = 200_000
BLOCK_ENTRIES = 2**24  # 64 MB of similarities at a time, and ten times that where all of them tie
# Width of the graph that is searched, and how many candidates are kept open while it is built and searched.
CONNECTIVITY, EXPANSION = 16, 128
# Rows that one thread puts in before others join: rows put in at once do not see each other, and in a small index
# these are many of those they should be linked to.
FIRST_ROWS = 1024
NOISE = 1e-3  # length, where vectors have 1


def nearest_items(matrix: np.ndarray, has_value: np.ndarray, k: int, exact_up_to: int = EXACT_UP_TO) -> np.ndarray:
    """The k items nearest to each by the cosine of rows that are centred over the items with a value.

    Args:
        matrix: float32 [n, d], the embeddings; has_value: bool [n].
        k: neighbours of an item; all others with a value where there are fewer.
        exact_up_to: with more items than this that have a value, neighbours are approximate.

    Returns:
        int32 [n, k], best first; -1 where there is none, as for every item without a value.
    """
    present = np.flatnonzero(has_value)
    nearest = np.full((len(matrix), k), -1, np.int32)
    width = min(k, len(present) - 1)
    if width >= 1:
        vectors = Modality.of(matrix, has_value).features[torch.from_numpy(present)]
        neighbours = exact_neighbours if len(present) <= exact_up_to else approximate_neighbours
        found = neighbours(vectors, width)
        nearest[present, :width] = np.where(found >= 0, present[found], -1)
    return nearest


def item_graph(nearest: np.ndarray, k: int) -> sp.csr_matrix:
    """D^-1/2 A D^-1/2, where A joins two items if either is among the k nearest of the other.

    Args:
        nearest: int [n, at least k], as `nearest_items` gives them.

    Returns:
        float32 CSR [n, n], int32 indices, symmetric, no diagonal; items without neighbours have empty rows.
    """
    chosen = nearest[:, :k]
    found = chosen >= 0
    return _normalised(np.repeat(np.arange(len(chosen)), found.sum(axis=1)), chosen[found], len(chosen))


def weigh_graphs(visual: sp.csr_matrix, textual: sp.csr_matrix, visual_weight: float) -> sp.csr_matrix:
    """w·S_v + (1 − w)·S_t of two graphs of the same items; float32 CSR with int32 indices."""
    both = (visual * visual_weight + textual * (1 - visual_weight)).tocsr()
    both.eliminate_zeros()
    both.sort_indices()
    return both.astype(np.float32)


def exact_neighbours(vectors: Tensor, k: int) -> np.ndarray:
    """The k other rows with the largest inner product, by comparing all pairs a block at a time.

    Args:
        vectors: float32 [n, d]; k: at most n − 1.

    Returns:
        int64 [n, k], best first; equal ones from the lowest row.
    """
    rows = len(vectors)
    nearest = np.empty((rows, k), np.int64)
    by_number = torch.arange(rows)
    for block in by_number.split(max(BLOCK_ENTRIES // rows, 1)):
        similarity = vectors[block] @ vectors.T  # [block, n]
        similarity[torch.arange(len(block)), block] = -torch.inf
        nearest[block.numpy()] = top_k(similarity, k, by_number)[1].numpy()
    return nearest


def approximate_neighbours(vectors: Tensor, k: int) -> np.ndarray:
    """Nearly the same by a navigable small-world graph: Malkov and Yashunin, TPAMI 2018, as `usearch` has it.

    One torch thread gives the same neighbours every time; several may differ in some, of many rows.

    Args:
        vectors: float32 [n, d]; k: at most n − 1.

    Returns:
        int64 [n, k]; -1 where fewer were found.
    """
    rows = len(vectors)
    threads = torch.get_num_threads()
    index = near_index(vectors.numpy(), "ip", max(EXPANSION, 2 * k), threads)
    numbers = np.arange(rows)
    matches = cast(BatchMatches, index.search(vectors.numpy(), k + 1, threads=threads))
    found = matches.keys.astype(np.int64)  # [n, k + 1]
    found[np.arange(k + 1) >= matches.counts.astype(np.int64)[:, None]] = -1
    # A row is among its own nearest; where many rows are equal it may not be found, and then the last one falls.
    itself = found == numbers[:, None]
    itself[~itself.any(axis=1), -1] = True
    return found[~itself].reshape(-1, k)


def near_index(vectors: np.ndarray, metric: str, expansion: int, threads: int, length: float = 1.0) -> Index:
    """An index of vectors in which those near to another are found; keys are row numbers.

    Rows that are equal (a placeholder's picture) would link to each other alone and bar the way to all behind them, so
    a little noise tells them apart.

    Args:
        vectors: float32 [n, d], of about `length`.
        metric: usearch's name of it, "ip" or "cos".
        threads: one gives the same index every time, as any number does up to FIRST_ROWS rows; 0 takes all cores.
    """
    rows, dim = vectors.shape
    index = Index(
        ndim=dim,
        metric=metric,
        dtype="f32",
        connectivity=CONNECTIVITY,
        expansion_add=expansion,
        expansion_search=expansion,
    )
    noise = torch.randn(rows, dim, generator=torch.Generator().manual_seed(0)).numpy()
    told_apart = vectors + noise * np.float32(NOISE * length / dim**0.5)
    numbers = np.arange(rows)
    index.add(numbers[:FIRST_ROWS], told_apart[:FIRST_ROWS], threads=1)
    index.add(numbers[FIRST_ROWS:], told_apart[FIRST_ROWS:], threads=threads)
    return index


def _normalised(row: np.ndarray, column: np.ndarray, items: int) -> sp.csr_matrix:
    """D^-1/2 A D^-1/2 of the undirected graph of these pairs."""
    directed = sp.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=(items, items))
    graph = directed.maximum(directed.T).tocsr()
    graph.sort_indices()
    degree = np.diff(graph.indptr)
    row = np.repeat(np.arange(items), degree)
    graph.data = (1 / np.sqrt(degree[row].astype(np.float64) * degree[graph.indices])).astype(np.float32)
    return graph
