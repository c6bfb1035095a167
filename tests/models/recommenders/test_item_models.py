"""EASE, ItemKNN and the blend, against formulas solved one item and one user at a time."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ModelError
from models.ranking.ranking import Scorer, matrix_of, rank, ranking_metrics
from models.recommenders.item_models import (
    Blend,
    Ease,
    ItemKnn,
    ZScores,
    z_scores,
)
from models.training.search_spaces import COUNTED_SPACES


def some_matrix(seed: int, users: int = 40, items: int = 12) -> sp.csr_matrix:
    """Seeded 0/1 interactions [users, items]; the last item is nobody's."""
    rng = np.random.default_rng(seed)
    dense = rng.random((users, items)) < 0.25
    dense[:, -1] = False
    return matrix_of(*dense.nonzero(), users, items)


def scores_of(scorer: Scorer, users: np.ndarray) -> np.ndarray:
    out = torch.empty(len(users), scorer.items)
    scorer.write(users, out)
    return out.numpy()


def ridge_without_itself(x: np.ndarray, regularisation: float) -> np.ndarray:
    """What EASE minimises, solved for each item apart: its column regressed on all other columns."""
    items = x.shape[1]
    weights = np.zeros((items, items))
    for item in range(items):
        others = np.delete(np.arange(items), item)
        gram = x[:, others].T @ x[:, others] + regularisation * np.eye(items - 1)
        weights[others, item] = np.linalg.solve(gram, x[:, others].T @ x[:, item])
    return weights


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), regularisation=st.floats(0.5, 500))
def test_ease_is_the_ridge_regression_of_each_item_on_the_others(seed: int, regularisation: float) -> None:
    train = some_matrix(seed)
    dense = train.toarray().astype(np.float64)
    expected = ridge_without_itself(dense, regularisation)
    ease = Ease.fit(train, regularisation)
    np.testing.assert_allclose(ease.weights, expected, atol=1e-5)
    users = np.array([7, 0, 7])
    np.testing.assert_allclose(scores_of(ease, users), dense[users] @ expected, atol=1e-5)


def test_ease_solves_in_blocks_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    train = some_matrix(1)
    monkeypatch.setattr("models.recommenders.item_models.BLOCK_ITEMS", 5)
    np.testing.assert_allclose(Ease.fit(train, 3).weights, ridge_without_itself(train.toarray(), 3), atol=1e-5)


def test_ease_takes_double_precision_where_single_would_lose_too_much() -> None:
    train = some_matrix(2)
    assert Ease.fit(train, 100).weights.dtype == np.float32
    precise = Ease.fit(train, 1e-4)
    assert precise.weights.dtype == np.float64
    np.testing.assert_allclose(precise.weights, ridge_without_itself(train.toarray().astype(float), 1e-4), atol=1e-7)


def test_ease_holds_one_array_of_items_by_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.recommenders.item_models.BLOCK_ITEMS", 64)
    items = 1500
    train = sp.random(500, items, 0.002, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    tracemalloc.start()
    Ease.fit(train, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * items**2 * 4


@pytest.mark.parametrize("regularisation", [0, -100])
def test_ease_without_regularisation_is_refused(regularisation: float) -> None:
    with pytest.raises(ModelError, match=f"regularisation of {regularisation}"):
        Ease.fit(some_matrix(0), regularisation)


def slow_knn(x: np.ndarray, neighbours: int, shrinkage: float) -> np.ndarray:
    """Column j has the shrunk cosine of j with its nearest items, one pair at a time."""
    items = x.shape[1]
    weights = np.zeros((items, items))
    for j in range(items):
        likeness = []
        for i in range(items):
            common = (x[:, i] * x[:, j]).sum()
            if i != j and common:
                likeness.append((common / (np.sqrt(x[:, i].sum() * x[:, j].sum()) + shrinkage), -i))
        for value, i in sorted(likeness, reverse=True)[:neighbours]:
            weights[-i, j] = value
    return weights


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), neighbours=st.integers(1, 15), shrinkage=st.sampled_from([0.0, 1.0, 20.0]))
def test_item_knn_is_its_definition(seed: int, neighbours: int, shrinkage: float) -> None:
    train = some_matrix(seed)
    dense = train.toarray().astype(np.float64)
    expected = slow_knn(dense, neighbours, shrinkage)
    knn = ItemKnn.fit(train, neighbours, shrinkage)
    np.testing.assert_allclose(knn.weights.toarray(), expected, atol=1e-6)
    users = np.array([3, 39])
    np.testing.assert_allclose(scores_of(knn, users), dense[users] @ expected, rtol=1e-5, atol=1e-6)


def test_item_knn_is_the_same_in_blocks_and_never_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    train = some_matrix(4)
    whole = ItemKnn.fit(train, 3, 1).weights.toarray()
    monkeypatch.setattr("models.recommenders.item_models.BLOCK_ENTRIES", 20)
    np.testing.assert_array_equal(ItemKnn.fit(train, 3, 1).weights.toarray(), whole)
    wide = sp.random(500, 20_000, 2e-4, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    tracemalloc.start()
    ItemKnn.fit(wide, 10, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000**2 / 100


class Given:
    """Scores that are written down."""

    def __init__(self, scores: np.ndarray):
        self.scores = torch.from_numpy(scores.astype(np.float32))
        self.items = scores.shape[1]

    def write(self, users: np.ndarray, out: torch.Tensor) -> None:
        out.copy_(self.scores[torch.from_numpy(users)])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.floats(-10, 10), weight=st.floats(0, 1))
def test_a_blend_knows_no_scale(seed: int, scale: float, shift: float, weight: float) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, 4, 30))
    blends = (Blend(ZScores(Given(one)), ZScores(Given(second)), weight) for one in (first, first * scale + shift))
    plain, moved = (scores_of(blend, np.arange(4)) for blend in blends)
    np.testing.assert_allclose(moved, plain, atol=5e-3)


def test_a_worked_blend() -> None:
    first = np.array([[1, 2, 3], [5, 5, 5]])  # z: ±√1.5 and 0; no spread in the second row
    second = np.array([[10, 0, 0], [0, 0, 9]])  # z: √2, -√½, -√½, and the reverse
    r15, r2, r05 = 1.5**0.5, 2**0.5, 0.5**0.5
    expected = [
        [0.25 * -r15 + 0.75 * r2, 0.75 * -r05, 0.25 * r15 - 0.75 * r05],
        [-0.75 * r05, -0.75 * r05, 0.75 * r2],
    ]
    mixed = scores_of(Blend(ZScores(Given(first)), ZScores(Given(second)), 0.25), np.array([0, 1]))
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
    alone = scores_of(Blend(ZScores(Given(first)), ZScores(Given(second)), 1), np.array([0, 1]))
    np.testing.assert_array_equal(alone, z_scores(torch.from_numpy(first.astype(np.float32))))
    # 0.1 is no binary fraction: a mean of many is not quite 0.1.
    assert not z_scores(torch.full((1, 1001), 0.1)).any()


def recall_and_ndcg(model: Scorer, train: sp.csr_matrix, relevant: sp.csr_matrix) -> tuple[float, float]:
    """Means at 20 over users with relevant items; train items are left out of the ranking."""
    users = np.flatnonzero(np.diff(relevant.indptr))
    metrics = ranking_metrics(rank(model, users, train, 20), users, relevant, (20,))
    return float(metrics["recall", 20].mean()), float(metrics["ndcg", 20].mean())


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("graph", "recall", "ndcg"), [("baby", 0.0815, 0.0380), ("sports", 0.0940, 0.0460)])
def test_ease_reaches_what_it_can_on_published_splits(
    shared_data: Path, graph: str, recall: float, ndcg: float
) -> None:
    table = pd.read_csv(shared_data / "benchmark_graphs" / graph / f"{graph}.inter.gz", sep="\t")
    users, items = table["userID"].max() + 1, table["itemID"].max() + 1
    train, validation, test = (
        matrix_of(part["userID"].to_numpy(), part["itemID"].to_numpy(), users, items)
        for _, part in sorted(table.groupby("x_label"))
    )
    measured = [
        (recall_and_ndcg(ease, train, validation)[1], recall_and_ndcg(ease, train, test))
        for ease in (Ease.fit(train, value) for value in COUNTED_SPACES["ease"]["regularisation"].values)
    ]
    found = max(measured)[1]  # of the best on validation
    assert found[0] >= recall
    assert found[1] >= ndcg
