"""Items held out of training are gone from it wholly, and ranked by what is left."""

import numpy as np
import pytest

from assets.evaluation.new_items import Cold, recall_rows
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from models.ranking import Vectors
from storage.errors import InputError

RNG = np.random.default_rng(0)
PAIRS = np.unique(RNG.integers(0, (40, 30), (400, 2)), axis=0)
PARTS = Parts(PAIRS[:, 0], PAIRS[:, 1], RNG.choice([TRAIN, TRAIN, VALIDATION, TEST], len(PAIRS)), 40, 30)


def test_nothing_of_a_cold_item_is_left_and_nothing_else_is_gone() -> None:
    cold = Cold.of(PARTS, 0.2, seed=1)
    assert len(cold.items) == 6
    assert not set(cold.warm.item) & set(cold.items)
    left = {(u, i) for u, i in PAIRS.tolist() if i not in set(cold.items.tolist())}
    assert set(zip(cold.warm.user.tolist(), cold.warm.item.tolist(), strict=True)) == left
    wanted = {(u, int(cold.items[c])) for u, c in zip(*cold.wanted.nonzero(), strict=True)}
    assert wanted == {(u, i) for u, i in PAIRS.tolist()} - left
    assert (cold.warm.users, cold.warm.items) == (40, 30)


def test_users_have_something_cold_and_something_warm_in_train() -> None:
    cold = Cold.of(PARTS, 0.2, seed=1)
    warm = set(cold.warm.pairs(TRAIN)[0].tolist())
    having = set(PAIRS[np.isin(PAIRS[:, 1], cold.items), 0].tolist())
    assert set(cold.users.tolist()) == warm & having


def test_the_draw_is_seeded() -> None:
    assert Cold.of(PARTS, 0.2, 1).items.tolist() == Cold.of(PARTS, 0.2, 1).items.tolist()
    assert Cold.of(PARTS, 0.2, 1).items.tolist() != Cold.of(PARTS, 0.2, 2).items.tolist()


def test_nobody_to_judge_by_is_one_sentence() -> None:
    alone = Parts(np.array([0, 1]), np.array([0, 1]), np.array([TRAIN, TRAIN]), 2, 2)
    with pytest.raises(InputError, match="cold_share"):
        Cold.of(alone, 0.5, 0)


def test_rows_have_the_recall_that_a_perfect_and_a_blind_order_have() -> None:
    cold = Cold.of(PARTS, 0.9, seed=0)
    items = np.eye(len(cold.items), dtype=np.float32)
    perfect = Vectors(cold.wanted.toarray(), items)
    worst = Vectors(-cold.wanted.toarray(), items)
    found = {
        (row["method"], row["metric"], row["k"]): row for row in recall_rows(cold, {"best": perfect, "worst": worst}, 0)
    }
    counts = np.diff(cold.wanted.indptr)[cold.users]
    assert found["best", "recall", 10]["value"] == pytest.approx(np.minimum(10 / counts, 1).mean())
    assert found["best", "ndcg", 20]["value"] == pytest.approx(1)
    assert found["worst", "recall", 10]["value"] < 0.5
    assert found["best", "recall", 10]["n_items"] == 27
    assert found["best", "recall", 10]["n_users"] == len(cold.users)
