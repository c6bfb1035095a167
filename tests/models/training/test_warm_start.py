"""A training that begins from an earlier one: who keeps his vector, and who gets a new one."""

import numpy as np
import pytest

from models.config import RecommenderConfig, TrainerConfig
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import TrainSet, fit, new_model
from models.training.warm_start import WarmStart, rows_before

CONFIG = RecommenderConfig(dim=4, layers=1)


def data(users: int, items: int) -> TrainSet:
    user, item = (array.ravel() for array in np.meshgrid(np.arange(users), np.arange(items)))
    kept = (user + item) % 3 > 0
    user, item = user[kept], item[kept]
    return TrainSet(user, item, users, items, normalised_adjacency(user, item, users, items))


@pytest.mark.parametrize(
    ("now", "before", "rows"),
    [
        ([7, 9, 2], [2, 7], [1, -1, 0]),
        ([5], [], [-1]),
        ([], [1, 2], []),
        ([2**64 - 1, 0], [0, 2**64 - 1], [1, 0]),
    ],
)
def test_a_key_is_found_where_it_stood(now: list[int], before: list[int], rows: list[int]) -> None:
    found = rows_before(np.array(now, np.uint64), np.array(before, np.uint64))
    assert found.tolist() == rows


def test_known_users_and_items_keep_their_vectors_and_new_ones_are_drawn() -> None:
    before = {
        "user_id.weight": np.arange(8, dtype=np.float32).reshape(2, 4),
        "item_id.weight": -np.arange(12, dtype=np.float32).reshape(3, 4),
    }
    cold = {name: value.numpy().copy() for name, value in new_model(CONFIG, data(3, 4), seed=5).state_dict().items()}
    model = new_model(CONFIG, data(3, 4), seed=5)
    WarmStart(before, np.array([1, -1, 0]), np.array([-1, 2, 0, -1])).put_into(model)
    user, item = (value.numpy() for value in model.state_dict().values())
    np.testing.assert_array_equal(user, [before["user_id.weight"][1], cold["user_id.weight"][1], [0, 1, 2, 3]])
    assert item[1].tolist() == [-8, -9, -10, -11]
    assert item[2].tolist() == [0, -1, -2, -3]
    np.testing.assert_array_equal(item[[0, 3]], cold["item_id.weight"][[0, 3]])


def test_a_weight_of_another_length_or_width_is_left_as_it_was_drawn() -> None:
    cold = {name: value.numpy().copy() for name, value in new_model(CONFIG, data(3, 4), seed=5).state_dict().items()}
    model = new_model(CONFIG, data(3, 4), seed=5)
    WarmStart({"user_id.weight": np.ones((3, 5), np.float32)}, np.arange(3), np.arange(4)).put_into(model)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), cold[name])


def test_the_weights_that_it_begins_with_are_validated_too_and_kept_if_nothing_is_better() -> None:
    first = new_model(CONFIG, data(3, 4), seed=1)
    weights = {name: value.numpy().copy() for name, value in first.state_dict().items()}
    seen: list[float] = []

    def validate(users: np.ndarray, items: np.ndarray) -> float:
        seen.append(float(np.abs(users).sum()))
        return 1.0 / len(seen)  # the first look is the best

    training = TrainerConfig(max_epochs=4, evaluate_every=2, patience=9, batch_size=4)
    start = WarmStart(weights, np.arange(3), np.arange(4))
    model, history = fit(CONFIG, training, data(3, 4), validate, start=start)
    assert [epoch for epoch, _ in history.validation] == [0, 2, 4]
    assert (history.best_epoch, history.best_value) == (0, 1.0)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), weights[name])


def test_without_validation_a_training_runs_for_all_its_epochs_and_keeps_the_last_weights() -> None:
    training = TrainerConfig(max_epochs=5, evaluate_every=2, patience=1, batch_size=4, seed=3)
    model, history = fit(CONFIG, training, data(3, 4), None)
    assert (len(history.loss), history.best_epoch, history.validation) == (5, 5, [])
    looked, _ = fit(CONFIG, training, data(3, 4), lambda users, items: float(len(history.loss)))
    first = next(iter(looked.state_dict().values())).numpy()  # stopped early: its best is the first look
    assert not np.allclose(next(iter(model.state_dict().values())).numpy(), first)
