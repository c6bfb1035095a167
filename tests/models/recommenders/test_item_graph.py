"""The graph of items that are near in embedding space, against all pairs written out."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.ranking.ranking import top_k
from models.recommenders import item_graph as module
from models.recommenders.item_graph import (
    approximate_neighbours,
    exact_neighbours,
    item_graph,
    nearest_items,
    weigh_graphs,
)


def slow_graph(matrix: np.ndarray, has_value: np.ndarray, k: int) -> np.ndarray:
    """Dense, one pair at a time."""
    items = len(matrix)
    there = [i for i in range(items) if has_value[i]]
    mean = np.mean([matrix[i] for i in there], axis=0) if there else 0
    edges = np.zeros((items, items))
    for i in there:
        a = matrix[i].astype(np.float64) - mean
        cosines = []
        for j in there:
            b = matrix[j].astype(np.float64) - mean
            if i != j:
                cosines.append((a @ b / np.linalg.norm(a) / np.linalg.norm(b), j))
        for _, j in sorted(cosines, reverse=True)[:k]:
            edges[i, j] = edges[j, i] = 1
    degree = np.maximum(edges.sum(axis=1), 1)
    return edges / np.sqrt(degree[:, None] * degree[None, :])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(1, 25), k=st.integers(1, 30), missing=st.floats(0, 1))
def test_the_graph_is_its_definition(seed: int, items: int, k: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(3, 1, size=(items, 6)).astype(np.float32)
    has_value = rng.random(items) >= missing
    graph = item_graph(nearest_items(matrix, has_value, k), k)
    np.testing.assert_allclose(graph.toarray(), slow_graph(matrix, has_value, k), rtol=1e-5)
    assert (graph.dtype, graph.indices.dtype, graph.indptr.dtype) == (np.float32, np.int32, np.int32)
    assert graph.has_canonical_format
    np.testing.assert_array_equal(graph.toarray(), graph.T.toarray())  # to the last bit: backward relies on it


def test_what_an_item_without_a_value_holds_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    matrix, has_value = rng.normal(size=(30, 4)).astype(np.float32), np.arange(30) % 3 > 0
    graph = item_graph(nearest_items(matrix, has_value, 5), 5)
    assert (np.diff(graph.indptr)[~has_value] == 0).all()
    assert (np.diff(graph.indptr)[has_value] >= 5).all()
    matrix[~has_value] = np.nan
    np.testing.assert_array_equal(item_graph(nearest_items(matrix, has_value, 5), 5).toarray(), graph.toarray())


def test_blocks_bound_the_memory_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clusters(items=101, dim=8, count=5)
    whole = exact_neighbours(vectors, 7)
    sizes = []

    def watched(scores: Tensor, k: int, tie_rank: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(scores.numel())
        return top_k(scores, k, tie_rank)

    monkeypatch.setattr(module, "BLOCK_ENTRIES", 1000)
    with patch.object(module, "top_k", watched):
        np.testing.assert_array_equal(exact_neighbours(vectors, 7), whole)
    assert max(sizes) <= 1000
    assert sum(sizes) == 101 * 101


def test_equal_items_are_taken_from_the_first() -> None:
    assert exact_neighbours(torch.ones(5, 1), 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]


def clusters(items: int, dim: int, count: int) -> Tensor:
    """Seeded unit vectors around `count` centres."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(count, dim))[rng.integers(count, size=items)] + 0.7 * rng.normal(size=(items, dim))
    return torch.nn.functional.normalize(torch.from_numpy(vectors.astype(np.float32)))


def recall(vectors: Tensor, found: np.ndarray, asked: np.ndarray) -> float:
    """The share of what was found for `asked` that is as near as the k-th nearest; itself never counts."""
    k = found.shape[1]
    similarity = vectors[asked] @ vectors.T
    similarity[np.arange(len(asked)), asked] = -torch.inf
    kth = similarity.topk(k, dim=1).values[:, -1:].numpy()
    near = np.take_along_axis(similarity.numpy(), found[asked].clip(min=0), axis=1) >= kth - 1e-6
    return float((near & (found[asked] >= 0)).mean())


def test_approximate_neighbours_are_nearly_the_nearest_even_beside_many_equal_items() -> None:
    vectors = clusters(items=8_000, dim=32, count=80)
    shuffled = np.random.default_rng(1).permutation(8_000)
    placeholder, others = shuffled[:1600], shuffled[1600:]
    vectors[placeholder] = vectors[others[0]].clone()
    found = approximate_neighbours(vectors, 10)
    assert all(len(set(row)) == 10 for row in found.tolist())
    assert recall(vectors, found, others[:1000]) >= 0.95
    assert recall(vectors, found, placeholder[:500]) >= 0.95


def test_many_items_are_joined_by_the_approximate_way() -> None:
    matrix, has_value = clusters(items=500, dim=16, count=10).numpy(), np.arange(500) % 5 > 0
    lists = (nearest_items(matrix, has_value, 10, exact_up_to) for exact_up_to in (400, 399))
    exact, approximate = (item_graph(nearest, 10) for nearest in lists)
    np.testing.assert_array_equal(approximate.toarray(), approximate.T.toarray())
    assert (np.diff(approximate.indptr)[~has_value] == 0).all()
    assert (exact.astype(bool) != approximate.astype(bool)).nnz <= 0.02 * exact.nnz
    with patch.object(module, "exact_neighbours", side_effect=AssertionError):
        nearest_items(matrix, has_value, 10, exact_up_to=399)


def test_one_thread_finds_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    vectors = clusters(items=3000, dim=16, count=3)
    np.testing.assert_array_equal(approximate_neighbours(vectors, 10), approximate_neighbours(vectors, 10))


def test_of_few_items_many_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, found = clusters(items=1000, dim=16, count=10), []
    for threads in (1, 16, 16, 16):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(approximate_neighbours(vectors, 10))
    assert all((again == found[0]).all() for again in found)


def test_a_smaller_graph_is_cut_from_the_same_lists() -> None:
    matrix, has_value = clusters(items=60, dim=8, count=3).numpy(), np.ones(60, bool)
    longer = item_graph(nearest_items(matrix, has_value, 9), 4)
    np.testing.assert_array_equal(longer.toarray(), item_graph(nearest_items(matrix, has_value, 4), 4).toarray())


def test_two_views_are_weighed_in_one_graph() -> None:
    # Items 0 and 1 look alike, items 1 and 2 read alike: one edge each, of degree 1 on both ends.
    visual = item_graph(np.array([[1], [0], [-1]]), 1)
    textual = item_graph(np.array([[-1], [2], [1]]), 1)
    expected = np.array([[0, 0.3, 0], [0.3, 0, 0.7], [0, 0.7, 0]])
    found = weigh_graphs(visual, textual, 0.3)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert (found.dtype, found.indices.dtype) == (np.float32, np.int32)
    assert weigh_graphs(visual, textual, 1).nnz == 2
