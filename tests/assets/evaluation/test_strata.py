"""Which items a stratum holds, and how well models find them among all items."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.evaluation.evaluate import Bench, evaluate_fit, intervals_of, rows_of
from assets.evaluation.strata import item_strata
from assets.interactions.splits import TEST, TRAIN, Parts
from assets.training.held_out import HeldOut
from assets.training.scorers import scorer_of
from storage.artifacts.saved_models import SavedModel

ABOUT = {"model": "m", "kind": "vectors", "loss": "none", "seed": 0, "score": "dot", "device": "cpu"}
TENTHS = [f"popularity_{number:02d}" for number in range(1, 11)]


def held(stratum: np.ndarray) -> list[int]:
    """The item numbers of a stratum."""
    assert stratum.dtype == bool
    return np.flatnonzero(stratum).tolist()


def strata_of(popularity: list[int]) -> dict[str, list[int]]:
    there = np.ones(len(popularity), bool)
    return {name: held(items) for name, items in item_strata(np.array(popularity), there, there).items()}


def test_tenths_are_of_the_items_from_the_rarest_to_the_most_popular() -> None:
    # Item n of 20 has 100 − n train interactions: the last two are the rarest.
    found = strata_of([100 - item for item in range(20)])
    assert found["popularity_01"] == [18, 19]
    assert found["popularity_02"] == [16, 17]
    assert found["popularity_10"] == [0, 1]


def test_equally_popular_items_are_taken_in_the_order_of_their_numbers() -> None:
    found = strata_of([7] * 20)
    assert [found[name] for name in TENTHS] == [[2 * n, 2 * n + 1] for n in range(10)]
    # The rarest of ten is item 6; the other nine follow by their numbers.
    found = strata_of([3, 3, 3, 3, 3, 3, 1, 3, 3, 3])
    assert [found[name] for name in TENTHS] == [[6], [0], [1], [2], [3], [4], [5], [7], [8], [9]]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_tenths_hold_every_item_once_are_alike_in_size_and_ordered(popularity: list[int]) -> None:
    found = strata_of(popularity)
    tenths = [found[name] for name in TENTHS]
    assert sorted(item for tenth in tenths for item in tenth) == list(range(len(popularity)))
    assert max(map(len, tenths)) - min(map(len, tenths)) <= 1
    counts = [[popularity[item] for item in tenth] for tenth in tenths if tenth]
    assert all(max(rarer) <= min(others) for rarer, others in pairwise(counts))


def test_items_with_fewer_than_five_train_interactions_are_cold() -> None:
    assert strata_of([5, 4, 0, 6, 3])["cold_items"] == [1, 2, 4]
    assert strata_of([5, 9])["cold_items"] == []


def test_items_that_lack_a_view_are_strata_whatever_the_other_view_has() -> None:
    has_picture, has_text = np.array([True, False, True, False]), np.array([True, True, False, False])
    found = item_strata(np.arange(4), has_picture, has_text)
    assert held(found["lacking_picture"]) == [1, 3]
    assert held(found["lacking_text"]) == [2, 3]
    assert set(found) == {*TENTHS, "cold_items", "lacking_picture", "lacking_text"}


# 12 items. User 3 has nothing in train.
ITEMS = 12
WORKED = [(0, 0, TRAIN), (0, 1, TEST), (0, 2, TEST), (0, 3, TEST), (1, 0, TRAIN), (1, 2, TEST), (1, 5, TEST),
          (2, 0, TRAIN), (2, 6, TEST), (3, 2, TEST)]  # fmt: skip
RANKED = [[4, 5, 2, 6, 7, 3, 1], [4, 5, 6, 7, 8, 2], [6], [2]]


def bench_of(rows: list[tuple[int, int, int]], users: int, strata: dict[str, list[int]]) -> Bench:
    user, item, split = np.array(rows, np.int32).T
    parts = Parts(user, item, split.astype(np.int8), users, ITEMS)
    return Bench(HeldOut.of(parts, TEST), {name: np.isin(np.arange(ITEMS), held) for name, held in strata.items()}, 0)


def rows_by_key(scores: np.ndarray, bench: Bench) -> dict[tuple[str, str, int], tuple[float, int]]:
    """Value and users of every row of a model with these scores [users, items]."""
    model = SavedModel({"user_vectors": scores.astype(np.float32), "item_vectors": np.eye(ITEMS, dtype="f4")}, ABOUT)
    one = evaluate_fit(model, scorer_of(model, bench.test.train), bench)
    rows = rows_of(one, intervals_of([one], seed=0)[0])
    return {(row["stratum"], row["metric"], row["k"]): (row["value"], row["n_users"]) for row in rows}


def worked(strata: dict[str, list[int]]) -> dict[tuple[str, str, int], tuple[float, int]]:
    scores = np.zeros((4, ITEMS))
    for user, ranked in enumerate(RANKED):
        scores[user, ranked] = np.arange(len(ranked), 0, -1)
    return rows_by_key(scores, bench_of(WORKED, 4, strata))


def test_recall_in_a_stratum_is_of_its_test_items_among_all_items() -> None:
    found = worked({"a": [0, 2, 3], "b": [6, 7]})
    # User 0 has 2 and 3 of "a" at the places 3 and 6, user 1 has 2 at place 6, user 2 nothing of "a".
    assert found["a", "recall", 5] == (pytest.approx((1 / 2 + 0) / 2), 2)
    assert found["a", "recall", 10] == (1, 2)
    # Of "b" user 2 alone has something, at place 1; that others are recommended 6 and 7 does not matter.
    assert found["b", "recall", 5] == (1, 1)
    # Of all: user 0 has 1 of 3 in five, user 1 has 5 of {2, 5}, user 2 all.
    assert found["all", "recall", 5] == (pytest.approx((1 / 3 + 1 / 2 + 1) / 3), 3)


def test_strata_have_recall_alone_and_users_without_train_items_every_metric() -> None:
    found = worked({"a": [0, 2, 3]})
    assert {(metric, k) for stratum, metric, k in found if stratum == "a"} == {("recall", k) for k in (5, 10, 20, 50)}
    # User 3, who has nothing in train, is in no stratum of items.
    assert found["users_without_train", "ndcg", 5] == (1, 1)
    assert found["users_without_train", "map", 50] == (1, 1)


def test_a_stratum_in_which_nobody_has_a_test_item_gives_no_rows() -> None:
    found = worked({"nobody's": [0, 4, 7], "nothing": [], "a": [2]})
    assert {stratum for stratum, _, _ in found} == {"all", "a", "users_without_train"}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_recall_in_strata_is_its_definition_one_user_at_a_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    split = rng.choice([-1, TRAIN, TEST], size=(5, ITEMS))
    split[0, :2] = TRAIN, TEST
    rows = [(user, item, split[user, item]) for user, item in zip(*np.nonzero(split >= 0), strict=True)]
    scores = np.stack([rng.permutation(ITEMS) for _ in range(5)])
    strata = {name: rng.choice(ITEMS, 4, replace=False).tolist() for name in ("a", "b")}
    found = rows_by_key(scores, bench_of(rows, 5, strata))
    for name, items in strata.items():
        recalls = []
        for user in range(5):
            wanted = {item for item in items if split[user, item] == TEST}
            ranked = sorted(
                set(range(ITEMS)) - set(np.flatnonzero(split[user] == TRAIN)), key=lambda i: -scores[user][i]
            )
            if wanted and (split[user] == TRAIN).any():
                recalls.append(len(wanted & set(ranked[:5])) / len(wanted))
        if recalls:
            assert found[name, "recall", 5] == (pytest.approx(np.mean(recalls)), len(recalls))
        else:
            assert (name, "recall", 5) not in found
