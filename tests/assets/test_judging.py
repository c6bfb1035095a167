"""Which part of the data validation and judging look at, on seven users written out."""

import numpy as np
import pyarrow as pa
import pytest

from assets.evaluation.assets import recommended
from assets.evaluation.judge import judge
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from assets.training.fit import validation_ndcg
from storage.errors import InputError
from storage.models import SavedModel

# (user, item, part); 6 items. User 2 has no train item, user 3 no test item, user 4 no validation item.
ROWS = [
    (0, 0, TRAIN), (0, 1, VALIDATION), (0, 2, TEST),
    (1, 3, TRAIN), (1, 4, VALIDATION), (1, 5, TEST),
    (2, 1, VALIDATION), (2, 3, TEST),
    (3, 0, TRAIN), (3, 5, VALIDATION),
    (4, 2, TRAIN), (4, 4, TEST),
]  # fmt: skip


def parts(rows: list[tuple[int, int, int]] = ROWS) -> Parts:
    user, item, split = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    return Parts(user, item, split.astype(np.int8), users=5, items=6)


def scores(wanted: dict[int, list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors that rank each user's wanted items first, in their order."""
    users = np.zeros((5, 6), np.float32)
    for user, items in wanted.items():
        users[user, items] = np.arange(len(items), 0, -1) + 1
    return users, np.eye(6, dtype=np.float32)


def test_validation_is_judged_on_validation_items_of_users_with_train_items() -> None:
    ndcg = validation_ndcg(parts(), "dot")
    assert ndcg(*scores({0: [1], 1: [4], 3: [5]})) == pytest.approx(1)
    # The best test items first: every validation item comes second, and the train items never count.
    assert ndcg(*scores({0: [2, 1], 1: [5, 4], 3: [4, 5]})) == pytest.approx(1 / np.log2(3))
    assert ndcg(*scores({0: [0, 1], 1: [3, 4], 3: [0, 5]})) == pytest.approx(1)


def judged(wanted: dict[int, list[int]], mask_validation: bool = False) -> dict[tuple[str, str], tuple[float, int]]:
    users, items = scores(wanted)
    model = SavedModel({"user_vectors": users, "item_vectors": items}, {"model": "m", "loss": "none", "score": "dot"})
    rows = judge(model, parts(), mask_validation, seed=0)
    return {(row["stratum"], row["metric"]): (row["value"], row["n_users"]) for row in rows if row["k"] == 5}


def test_the_test_split_is_judged_for_users_with_train_items_and_apart_for_those_without() -> None:
    found = judged({0: [2], 1: [5], 4: [0, 4], 2: [3]})
    assert found["all", "ndcg"] == (pytest.approx((1 + 1 + 1 / np.log2(3)) / 3), 3)
    assert found["users_without_train", "ndcg"] == (1, 1)


def test_validation_items_stay_in_the_ranking_unless_they_are_masked() -> None:
    wanted = {0: [1, 2], 1: [4, 5], 4: [4]}  # validation first, then test
    assert judged(wanted)["all", "ndcg"][0] == pytest.approx((2 / np.log2(3) + 1) / 3)
    assert judged(wanted, mask_validation=True)["all", "ndcg"][0] == pytest.approx(1)


def test_a_split_in_which_nobody_can_be_judged_is_one_sentence() -> None:
    nobody = parts([(0, 0, TRAIN), (1, 1, VALIDATION), (2, 2, TEST), (3, 3, TRAIN), (4, 5, TRAIN)])
    with pytest.raises(InputError, match="both in train and in validation; choose another 'split'"):
        validation_ndcg(nobody, "dot")
    users, items = scores({})
    model = SavedModel({"user_vectors": users, "item_vectors": items}, {"model": "m", "loss": "none", "score": "dot"})
    with pytest.raises(InputError, match="both in train and in test; choose another 'split'"):
        judge(model, nobody, False, 0)


def test_users_of_whom_train_knows_nothing_are_recommended_what_is_popular() -> None:
    users, items = scores({0: [5, 4], 1: [0], 3: [1], 4: [3]})
    model = SavedModel({"user_vectors": users, "item_vectors": items}, {"score": "dot"})
    counts = np.array([2, 0, 1, 1, 0, 0], np.float32)[:, None]  # of train
    popularity = SavedModel({"user_vectors": np.ones((5, 1), np.float32), "item_vectors": counts}, {"score": "dot"})
    batches = recommended(model, popularity, parts(), pa.array("abcde"), pa.array("uvwxyz"), top_k=1)
    rows = [tuple(row.values()) for row in pa.Table.from_batches(batches).to_pylist()]
    assert rows == [("a", 1, "z", 3.0), ("b", 1, "u", 2.0), ("c", 1, "u", 2.0), ("d", 1, "v", 2.0), ("e", 1, "x", 2.0)]
