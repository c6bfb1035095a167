"""Training: it learns what is planted, repeats itself, and keeps its best weights."""

import numpy as np
import pytest
import torch

from models.config import RecommenderConfig, TrainerConfig
from models.errors import LostProcessError, ModelError
from models.recommenders.propagation import normalised_adjacency
from models.recommenders.recommender import Recommender
from models.training.trainer import Checkpoint, History, train

USERS, ITEMS = 40, 30
KINDS = ("shared", "in_batch", "both")


def two_camps(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Even users have even items, odd users odd ones; each has a random half of its camp."""
    rng = np.random.default_rng(seed)
    pairs = [(user, item) for user in range(USERS) for item in range(user % 2, ITEMS, 2) if rng.random() < 0.5]
    user, item = np.array(pairs).T
    return user, item


def fitted(layers: int, validate, checkpoint: Checkpoint | None = None, **config) -> tuple[Recommender, History]:
    user, item = two_camps()
    torch.manual_seed(0)
    graph = normalised_adjacency(user, item, USERS, ITEMS)
    model = Recommender(RecommenderConfig(layers=layers, dim=8), USERS, ITEMS, graph)
    settings = TrainerConfig(**{"learning_rate": 0.02, "batch_size": 64, "max_epochs": 40, "patience": 100, **config})
    history = train(model, user, item, settings, torch.device("cpu"), validate, lambda: None, checkpoint)
    return model, history


def camp_auc(users: np.ndarray, items: np.ndarray) -> float:
    """Chance that an item of the own camp scores above one of the other."""
    scores = users @ items.T
    wins = [
        (scores[user, user % 2 :: 2][:, None] > scores[user, 1 - user % 2 :: 2][None, :]).mean()
        for user in range(USERS)
    ]
    return float(np.mean(wins))


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_it_learns_what_is_planted(layers: int, loss: str) -> None:
    model, history = fitted(layers, camp_auc, loss=loss)
    assert history.best_value > 0.95
    assert history.loss[-1] < history.loss[0]
    assert camp_auc(*model.vectors()) == history.best_value


@pytest.mark.parametrize("negatives", [{}, *({"loss": "softmax", "softmax_negatives": kind} for kind in KINDS)])
def test_the_same_seed_gives_the_same_weights(negatives: dict) -> None:
    first, second, other = (
        fitted(2, camp_auc, seed=seed, max_epochs=5, **negatives)[0].vectors()[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_negatives_that_are_known_are_counted() -> None:
    # Every user has about a quarter of all items, and negatives are uniform.
    user, _ = two_camps()
    for loss in ("bpr", "softmax"):
        rates = fitted(0, camp_auc, loss=loss, max_epochs=20)[1].collision_rate
        assert len(rates) == 20
        per_pair = np.bincount(user)[user].mean() / ITEMS
        assert np.mean(rates) == pytest.approx(per_pair, abs=0.01)


def test_it_stops_when_validation_stops_to_improve_and_keeps_the_best() -> None:
    values = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.9])
    seen = []

    def validate(users: np.ndarray, items: np.ndarray) -> float:
        seen.append(users.copy())
        return next(values)

    model, history = fitted(0, validate, evaluate_every=2, patience=3)
    assert [epoch for epoch, _ in history.validation] == [2, 4, 6, 8, 10]
    assert (history.best_epoch, history.best_value) == (4, 0.5)
    np.testing.assert_array_equal(model.vectors()[0], seen[1])


def test_a_process_that_is_lost_during_a_look_is_no_divergence() -> None:
    values = iter([0.5, LostProcessError("rank 1 has ended")])

    def validate(users: np.ndarray, items: np.ndarray) -> float:
        value = next(values)
        if isinstance(value, Exception):
            raise value
        return value

    with pytest.raises(LostProcessError, match=r"^rank 1 has ended$"):
        fitted(0, validate, evaluate_every=2)


class Kept:
    """A checkpoint in memory, whose saving can be told to end the process after some looks."""

    def __init__(self, dies_after: int | None = None):
        self.saved: tuple[dict[str, np.ndarray], str] | None = None
        self.looks, self.dies_after = 0, dies_after

    def load(self) -> tuple[dict[str, np.ndarray], str] | None:
        return self.saved

    def save(self, arrays: dict[str, np.ndarray], facts: str) -> None:
        self.saved = {name: array.copy() for name, array in arrays.items()}, facts
        self.looks += 1
        if self.looks == self.dies_after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("negatives", [{}, {"loss": "softmax", "softmax_negatives": "both"}])
def test_training_that_broke_off_ends_with_the_same_weights(negatives: dict) -> None:
    config = {"max_epochs": 14, "evaluate_every": 3, "loss": "bpr"} | negatives
    whole, expected = fitted(2, camp_auc, **config)
    checkpoint = Kept(dies_after=2)
    with pytest.raises(KeyboardInterrupt):
        fitted(2, camp_auc, checkpoint, **config)
    checkpoint.dies_after = None
    looked: list[int] = []

    def validate(users: np.ndarray, items: np.ndarray) -> float:
        looked.append(1)
        return camp_auc(users, items)

    resumed, history = fitted(2, validate, checkpoint, **config)
    assert len(looked) == 3  # of the epochs 9, 12 and 14; those of 3 and 6 were kept
    np.testing.assert_array_equal(resumed.vectors()[0], whole.vectors()[0])
    np.testing.assert_array_equal(resumed.vectors()[1], whole.vectors()[1])
    assert history.model_dump(exclude={"seconds"}) == expected.model_dump(exclude={"seconds"})
    fitted(2, lambda *_: pytest.fail("what has ended is not trained again"), checkpoint, **config)


def test_a_training_that_diverges_keeps_what_was_best_before_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    values, seen = iter([0.3, 0.5]), []

    def validate(users: np.ndarray, items: np.ndarray) -> float:
        seen.append(users.copy())
        value = next(values, None)
        if value is None:
            raise ModelError("a score is not finite")
        return value

    model, history = fitted(0, validate, evaluate_every=2)
    assert (len(seen), history.best_epoch, history.best_value) == (3, 4, 0.5)
    np.testing.assert_array_equal(model.vectors()[0], seen[1])
    assert "training ended at epoch 6 (a score is not finite); the weights of 4 are kept" in caplog.text
    with pytest.raises(ModelError, match="not finite"):
        fitted(0, validate)


def test_content_and_its_absence_must_fit_the_encoder() -> None:
    with pytest.raises(ModelError, match="item_encoder 'gated'"):
        Recommender(RecommenderConfig(item_encoder="gated"), 2, 2)
    with pytest.raises(ModelError, match="use_id"):
        Recommender(RecommenderConfig(use_id=False), 2, 2)
