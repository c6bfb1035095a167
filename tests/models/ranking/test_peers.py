"""Rankings and metrics against two peers on the same lists: trec_eval, and the formulas of the MMRec toolbox."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import pytrec_eval
import scipy.sparse as sp

from models.ranking.ranking import CUTOFFS, Ranking, Vectors, matrix_of, rank, ranking_metrics

USERS, ITEMS = 400, 400  # more users than one block
TREC = {"recall": "recall", "ndcg": "ndcg_cut", "precision": "P", "map": "map_cut", "hit_rate": "success"}
Metrics = dict[tuple[str, int], np.ndarray]


@dataclass(frozen=True)
class Lists:
    """Seeded scores and what users have, as plain Python for the peers.

    Attributes:
        scores: float32 [USERS, ITEMS], whole numbers that are all different in a row.
        train, relevant: the items of every user, apart from each other.
        asked: users with at least one relevant item, in no order.
    """

    scores: np.ndarray
    train: list[set[int]]
    relevant: list[set[int]]
    asked: np.ndarray

    def ranked(self, user: int) -> list[int]:
        """All items that are not in train, best first."""
        return sorted(set(range(ITEMS)) - self.train[user], key=lambda item: -self.scores[user, item])


@pytest.fixture(scope="module")
def lists() -> Lists:
    rng = np.random.default_rng(7)
    scores = rng.permuted(np.tile(np.arange(ITEMS) - ITEMS // 2, (USERS, 1)), axis=1).astype(np.float32)
    train, relevant = list[set[int]](), list[set[int]]()
    for user in range(USERS):
        # Every tenth user has so much in train that fewer than 50 items are left; every seventh has nothing to find.
        known = ITEMS - 35 if user % 10 == 0 else int(rng.integers(0, 60))
        wanted = 0 if user % 7 == 3 else int(rng.integers(1, 35))
        drawn = rng.permutation(ITEMS)[: known + wanted].tolist()
        train.append(set(drawn[:known]))
        relevant.append(set(drawn[known:]))
    return Lists(scores, train, relevant, rng.permutation([user for user in range(USERS) if relevant[user]]))


def matrix(sets: list[set[int]]) -> sp.csr_matrix:
    user = np.repeat(np.arange(USERS), [len(items) for items in sets])
    return matrix_of(user, np.array([item for items in sets for item in items]), USERS, ITEMS)


def ranked_by_us(lists: Lists, score: str) -> Ranking:
    user_vectors, item_vectors = lists.scores, np.eye(ITEMS, dtype=np.float32)  # their products are the scores
    if score == "cosine":
        # Lengths that would turn the order of products around, and that a cosine does not see.
        rng = np.random.default_rng(1)
        user_vectors = user_vectors * rng.uniform(0.1, 9, (USERS, 1)).astype(np.float32)
        item_vectors = item_vectors * rng.uniform(0.1, 9, (ITEMS, 1)).astype(np.float32)
    return rank(Vectors(user_vectors, item_vectors, score), lists.asked, matrix(lists.train), 50)


def rated_by_us(lists: Lists, score: str, cutoffs: tuple[int, ...]) -> Metrics:
    return ranking_metrics(ranked_by_us(lists, score), lists.asked, matrix(lists.relevant), cutoffs)


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_lists_are_sorted_scores_without_what_is_in_train(lists: Lists, score: str) -> None:
    lengths = set()
    for user, row in zip(lists.asked, ranked_by_us(lists, score).items.tolist(), strict=True):
        expected = lists.ranked(user)[:50]
        assert row == expected + [-1] * (50 - len(expected))
        lengths.add(len(expected))
    assert lengths == {35, 50}


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_every_user_has_the_metrics_of_trec_eval(lists: Lists, score: str) -> None:
    cutoffs = ",".join(map(str, CUTOFFS))
    trec = pytrec_eval.RelevanceEvaluator(
        {str(user): {str(item): 1 for item in lists.relevant[user]} for user in lists.asked},
        {f"{measure}.{cutoffs}" for measure in TREC.values()},
    ).evaluate(
        {str(user): {str(item): float(lists.scores[user, item]) for item in lists.ranked(user)} for user in lists.asked}
    )
    found = rated_by_us(lists, score, CUTOFFS)
    assert found.keys() == {(metric, k) for metric in TREC for k in (5, 10, 20, 50)}
    for (metric, k), values in found.items():
        expected = np.array([trec[str(user)][f"{TREC[metric]}_{k}"] for user in lists.asked])
        if metric == "map":
            # trec_eval divides by all m relevant items, also by those that a list of K has no room for.
            m = np.array([len(lists.relevant[user]) for user in lists.asked])
            expected *= m / np.minimum(m, k)
        assert 0 < expected.mean() <= 1
        np.testing.assert_allclose(values, expected, rtol=1e-9, err_msg=f"{metric}@{k}")


def most_hits(hits: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """min(m, k), what the first k places can hold: for every user and every k up to K, int [users, K]."""
    return np.minimum(relevant[:, None], 1 + np.arange(hits.shape[1]))


def mmrec_recall(hits: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    return hits.cumsum(axis=1) / relevant[:, None]


def mmrec_precision(hits: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    return hits.cumsum(axis=1) / (1 + np.arange(hits.shape[1]))


def mmrec_ndcg(hits: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    discount = 1 / np.log2(2 + np.arange(hits.shape[1]))
    ideal = discount.cumsum()  # of a list that begins with as many hits
    return (hits * discount).cumsum(axis=1) / ideal[most_hits(hits, relevant) - 1]


def mmrec_map(hits: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    return (mmrec_precision(hits, relevant) * hits).cumsum(axis=1) / most_hits(hits, relevant)


@pytest.mark.parametrize(
    ("metric", "formula"),
    [("recall", mmrec_recall), ("precision", mmrec_precision), ("ndcg", mmrec_ndcg), ("map", mmrec_map)],
)
def test_every_cutoff_has_the_metrics_of_mmrec(
    lists: Lists, metric: str, formula: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    # What its src/utils/metrics.py computes of a hit matrix, before the mean over users. There is nothing to convert:
    # its average precision divides by min(m, k) at every k, as ours does.
    hits = np.zeros((len(lists.asked), 50), dtype=bool)
    for row, user in enumerate(lists.asked):
        for place, item in enumerate(lists.ranked(user)[:50]):
            hits[row, place] = item in lists.relevant[user]
    relevant = np.array([len(lists.relevant[user]) for user in lists.asked])
    found = rated_by_us(lists, "dot", tuple(range(1, 51)))
    values = np.stack([found[metric, k] for k in range(1, 51)], axis=1)
    np.testing.assert_allclose(values, formula(hits, relevant), rtol=1e-12)
