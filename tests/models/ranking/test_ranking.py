"""Full ranking and its metrics, against definitions written out one user at a time."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ModelError
from models.ranking.ranking import Ranking, Vectors, matrix_of, rank, ranking_metrics, top_k


def slow_metrics(ranked: list[int], relevant: set[int], k: int) -> dict[str, float]:
    top = ranked[:k]
    hits = [item in relevant for item in top]
    dcg = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(len(relevant), k)))
    precisions = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
    return {
        "recall": sum(hits) / len(relevant),
        "ndcg": dcg / ideal,
        "precision": sum(hits) / k,
        "map": sum(precisions) / min(len(relevant), k),
        "hit_rate": float(any(hits)),
    }


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), users=st.integers(1, 6), items=st.integers(2, 30), k=st.integers(1, 25))
def test_metrics_are_their_definitions(seed: int, users: int, items: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    ranked = np.stack([rng.permutation(items)[: min(k, items)] for _ in range(users)])
    relevant = [set(rng.choice(items, rng.integers(1, items), replace=False).tolist()) for _ in range(users)]
    pairs = [(user, item) for user in range(users) for item in relevant[user]]
    matrix = matrix_of(*np.array(pairs).T, users, items)
    cutoffs = (1, 3, k)
    found = ranking_metrics(Ranking(ranked, ranked.astype(np.float32)), np.arange(users), matrix, cutoffs)
    for cutoff in cutoffs:
        for user in range(users):
            expected = slow_metrics(ranked[user].tolist(), relevant[user], cutoff)
            # A ranking that ends before the cutoff has nothing to add beyond its end.
            for metric, value in expected.items():
                assert found[metric, cutoff][user] == pytest.approx(value), (metric, cutoff)


def test_a_worked_example() -> None:
    # Ranked 7, 3, 9, 1; relevant 3, 1, 5: hits at 2 and 4.
    ranking = Ranking(np.array([[7, 3, 9, 1]]), np.zeros((1, 4), np.float32))
    found = ranking_metrics(ranking, np.array([0]), matrix_of(np.zeros(3, int), np.array([3, 1, 5]), 1, 10), (2, 4))
    assert found["recall", 4][0] == pytest.approx(2 / 3)
    assert found["precision", 2][0] == pytest.approx(1 / 2)
    assert found["map", 4][0] == pytest.approx((1 / 2 + 2 / 4) / 3)
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert found["ndcg", 4][0] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert found["hit_rate", 2][0] == 1


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), levels=st.integers(1, 6))
def test_top_k_orders_by_score_then_by_tie_rank(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-levels, levels, (3, n)).astype(np.float32) / 4
    scores[0, 0] = -0.0
    tie = rng.permutation(n)
    k = int(rng.integers(1, n + 1))
    values, columns = top_k(torch.from_numpy(scores), k, torch.from_numpy(tie))
    for row in range(3):
        expected = sorted(range(n), key=lambda column: (-scores[row, column], tie[column]))[:k]
        assert columns[row].tolist() == expected
        assert values[row].tolist() == scores[row, expected].tolist()


def test_masked_items_never_appear_even_if_nothing_else_is_left() -> None:
    scorer = Vectors(np.ones((2, 1), np.float32), np.array([[3.0], [2.0], [1.0]], np.float32))
    masked = matrix_of(np.array([0, 1, 1]), np.array([0, 0, 1]), 2, 3)
    ranking = rank(scorer, np.array([0, 1]), masked, k=3)
    assert ranking.items.tolist() == [[1, 2, -1], [2, -1, -1]]
    found = ranking_metrics(ranking, np.array([0, 1]), matrix_of(np.array([0, 1]), np.array([2, 2]), 2, 3), (3,))
    assert found["recall", 3].tolist() == [1, 1]


def test_blocks_do_not_change_the_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scorer = Vectors(rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(40, 8)).astype(np.float32))
    masked = matrix_of(rng.integers(0, 50, 100), rng.integers(0, 40, 100), 50, 40)
    users = rng.permutation(50)
    whole = rank(scorer, users, masked, 10)
    monkeypatch.setattr("models.ranking.ranking.BLOCK_USERS", 7)
    np.testing.assert_array_equal(rank(scorer, users, masked, 10).items, whole.items)


@pytest.fixture
def threads() -> Iterator[None]:
    """torch's threads are those of before, afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_threads_do_not_change_a_bit_of_the_ranking() -> None:
    rng = np.random.default_rng(0)
    scorer = Vectors(rng.normal(size=(700, 8)).astype(np.float32), rng.normal(size=(300, 8)).astype(np.float32))
    masked = matrix_of(rng.integers(0, 700, 900), rng.integers(0, 300, 900), 700, 300)
    users = rng.permutation(700)
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(rank(scorer, users, masked, 10))
        assert torch.get_num_threads() == threads
    for other in found[1:]:
        np.testing.assert_array_equal(other.items, found[0].items)
        np.testing.assert_array_equal(other.scores, found[0].scores)


@pytest.mark.usefixtures("threads")
def test_a_score_that_is_no_number_is_refused_in_whichever_thread() -> None:
    torch.set_num_threads(2)
    users = np.ones((300, 1), np.float32)
    users[299] = np.nan
    nothing = matrix_of(np.zeros(0, int), np.zeros(0, int), 300, 2)
    with pytest.raises(ModelError, match="not finite"):
        rank(Vectors(users, np.ones((2, 1), np.float32)), np.arange(300), nothing, 1)
    assert torch.get_num_threads() == 2


def test_cosine_ignores_length() -> None:
    vectors = np.array([[1.0, 0.0]], np.float32), np.array([[5.0, 5.0], [0.1, 0.0]], np.float32)
    nothing = matrix_of(np.zeros(0, int), np.zeros(0, int), 1, 2)
    assert rank(Vectors(*vectors, "dot"), np.array([0]), nothing, 1).items.tolist() == [[0]]
    assert rank(Vectors(*vectors, "cosine"), np.array([0]), nothing, 1).items.tolist() == [[1]]


def test_a_score_that_is_no_number_is_refused() -> None:
    nothing = matrix_of(np.zeros(0, int), np.zeros(0, int), 1, 2)
    for value in (np.nan, np.inf):
        scorer = Vectors(np.array([[value]], np.float32), np.ones((2, 1), np.float32))
        with pytest.raises(ModelError, match="not finite"):
            rank(scorer, np.array([0]), nothing, 1)
    below_all = Vectors(np.array([[-np.inf]], np.float32), np.ones((2, 1), np.float32))
    assert rank(below_all, np.array([0]), nothing, 1).items.tolist() == [[-1]]
