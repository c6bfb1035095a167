"""Which part of the data validation and judging look at, on five users written out."""

import numpy as np
import pytest

from assets.evaluation.evaluate import Bench, Evaluation, evaluate_fit, intervals_of, rows_of
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from assets.training.held_out import HeldOut
from assets.training.scorers import scorer_of
from models.ranking.ranking import Vectors
from storage.artifacts.saved_models import SavedModel
from storage.errors import InputError

# (user, item, part); 6 items. User 2 has no train item, user 3 no test item, user 4 no validation item.
ROWS = [
    (0, 0, TRAIN), (0, 1, VALIDATION), (0, 2, TEST),
    (1, 3, TRAIN), (1, 4, VALIDATION), (1, 5, TEST),
    (2, 1, VALIDATION), (2, 3, TEST),
    (3, 0, TRAIN), (3, 5, VALIDATION),
    (4, 2, TRAIN), (4, 4, TEST),
]  # fmt: skip
ABOUT = {"model": "m", "kind": "vectors", "loss": "none", "seed": 0, "score": "dot", "device": "cpu"}


def parts(rows: list[tuple[int, int, int]] = ROWS) -> Parts:
    user, item, split = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    return Parts(user, item, split.astype(np.int8), users=5, items=6)


def scores(wanted: dict[int, list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors that rank each user's wanted items first, in their order."""
    users = np.zeros((5, 6), np.float32)
    for user, items in wanted.items():
        users[user, items] = np.arange(len(items), 0, -1) + 1
    return users, np.eye(6, dtype=np.float32)


def model_of(wanted: dict[int, list[int]]) -> SavedModel:
    users, items = scores(wanted)
    return SavedModel({"user_vectors": users, "item_vectors": items}, ABOUT)


def test_a_held_out_part_has_the_users_with_something_in_it_and_in_train() -> None:
    validation, test = HeldOut.of(parts(), VALIDATION), HeldOut.of(parts(), TEST, VALIDATION)
    assert validation.users.tolist() == [0, 1, 3]
    assert test.users.tolist() == [0, 1, 4]
    train = [[0], [3], [], [0], [2]]
    assert [row.indices.tolist() for row in validation.train] == train
    assert [row.indices.tolist() for row in validation.masked] == train
    assert [row.indices.tolist() for row in test.masked] == [[0, 1], [3, 4], [1], [0, 5], [2]]
    assert [row.indices.tolist() for row in test.wanted] == [[2], [5], [3], [], [4]]


def test_validation_is_judged_on_validation_items_of_users_with_train_items() -> None:
    def ndcg(wanted: dict[int, list[int]]) -> float:
        return HeldOut.of(parts(), VALIDATION).ndcg(Vectors(*scores(wanted)))

    assert ndcg({0: [1], 1: [4], 3: [5]}) == pytest.approx(1)
    # The best test items first: every validation item comes second, and the train items never count.
    assert ndcg({0: [2, 1], 1: [5, 4], 3: [4, 5]}) == pytest.approx(1 / np.log2(3))
    assert ndcg({0: [0, 1], 1: [3, 4], 3: [0, 5]}) == pytest.approx(1)


def judged_fit(wanted: dict[int, list[int]], *masked: int) -> Evaluation:
    bench = Bench(HeldOut.of(parts(), TEST, *masked), strata={}, seed=0)
    model = model_of(wanted)
    return evaluate_fit(model, scorer_of(model, bench.test.train), bench)


def evaluations(wanted: dict[int, list[int]], *masked: int) -> dict[tuple[str, str], tuple[float, int]]:
    one = judged_fit(wanted, *masked)
    rows = rows_of(one, intervals_of([one], seed=0)[0])
    return {(row["stratum"], row["metric"]): (row["value"], row["n_users"]) for row in rows if row["k"] == 5}


def test_the_test_split_is_judged_for_users_with_train_items_and_apart_for_those_without() -> None:
    found = evaluations({0: [2], 1: [5], 4: [0, 4], 2: [3]})
    assert found["all", "ndcg"] == (pytest.approx((1 + 1 + 1 / np.log2(3)) / 3), 3)
    assert found["users_without_train", "ndcg"] == (1, 1)


def test_validation_items_stay_in_the_ranking_unless_they_are_masked() -> None:
    wanted = {0: [1, 2], 1: [4, 5], 4: [4]}  # validation first, then test
    assert evaluations(wanted)["all", "ndcg"][0] == pytest.approx((2 / np.log2(3) + 1) / 3)
    assert evaluations(wanted, VALIDATION)["all", "ndcg"][0] == pytest.approx(1)
    # User 2, who has nothing in train, stays apart from the others with either.
    assert evaluations({2: [1, 3]})["users_without_train", "ndcg"] == (pytest.approx(1 / np.log2(3)), 1)
    assert evaluations({2: [1, 3]}, VALIDATION)["users_without_train", "ndcg"] == (1, 1)


def test_every_metric_of_a_fit_is_a_row_with_what_the_fit_is_and_its_interval() -> None:
    one = judged_fit({0: [2], 1: [0, 5], 4: [4], 2: [3]})
    np.testing.assert_allclose(one.by_user["map", 10], [1, 0.5, 1])  # of the users 0, 1 and 4
    rows = [row for row in rows_of(one, intervals_of([one], seed=0)[0]) if row["stratum"] == "all"]
    assert {(row["metric"], row["k"]) for row in rows} == {
        (metric, k) for metric in ("recall", "ndcg", "precision", "map", "hit_rate") for k in (5, 10, 20, 50)
    }
    assert len(rows) == 20
    (row,) = (row for row in rows if (row["metric"], row["k"]) == ("map", 10))
    assert row["value"] == pytest.approx(2.5 / 3)
    # Of three users drawn with replacement all are the second with a chance of 1/27, over the 2.5 % of the lower end.
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(0.5), pytest.approx(1))
    assert {name: row[name] for name in ("model", "loss", "seed", "score", "device")} == {
        "model": "m", "loss": "none", "seed": 0, "score": "dot", "device": "cpu",
    }  # fmt: skip
    assert row["eval_s"] == one.eval_s > 0


def test_fits_that_are_judged_together_have_the_intervals_that_each_has_alone() -> None:
    fits = [
        judged_fit({0: [2], 1: [0, 5], 4: [4]}),
        judged_fit({0: [2, 1], 1: [3], 2: [3]}),
        judged_fit({4: [0, 1, 4]}),
    ]
    for one, together in zip(fits, intervals_of(fits, seed=3), strict=True):
        (alone,) = intervals_of([one], seed=3)
        assert set(together) == set(alone) == {"all", "users_without_train"}
        for stratum, ends in alone.items():
            np.testing.assert_allclose(together[stratum], ends, atol=1e-12)
    assert intervals_of([], seed=3) == []


def test_a_split_in_which_nobody_can_be_judged_is_one_sentence() -> None:
    nobody = parts([(0, 0, TRAIN), (1, 1, VALIDATION), (2, 2, TEST), (3, 3, TRAIN), (4, 5, TRAIN)])
    with pytest.raises(InputError, match="both in train and in validation; choose another 'split'"):
        HeldOut.of(nobody, VALIDATION)
    with pytest.raises(InputError, match="both in train and in test; choose another 'split'"):
        HeldOut.of(nobody, TEST)
