"""Whether a training may begin from the version before: what refuses it, and what is written down of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets.training.warm_start import Before, Known, facts_of_start, warm_start
from models.config import RecommenderConfig, TrainerConfig
from models.training.warm_start import WarmStart
from storage.artifacts.saved_models import SavedModel, SavedModels, write_models

MADE_OF, TRAINING = RecommenderConfig(dim=4), TrainerConfig(loss="bpr")
KNOWN = Known(np.array([5, 7], np.uint64), np.array([1, 2, 3], np.uint64), 80, 90, "now", ["p", "t"])


def saved(**facts: object) -> SavedModel:
    """A fit of the version before, of users 7 and 9 and items 3 and 1."""
    config = MADE_OF.model_dump() | TRAINING.model_dump() | {
        "cold_epochs": 40, "cold_run": 70, "splits": "then", "train_until": 70, "spaces": ["p", "t"],
        "loss_curve": [1.0] * 10, "best_epoch": 8,
    }  # fmt: skip
    tensors = {
        "user_keys": np.array([7, 9], np.uint64), "item_keys": np.array([3, 1], np.uint64),
        "weights.user_id.weight": np.ones((2, 4), np.float32), "user_vectors": np.ones((2, 4), np.float32),
    }  # fmt: skip
    return SavedModel(tensors, config | facts)


def before(folder: Path, **facts: object) -> Before:
    fit = saved(**facts)
    path, version = write_models(folder, SavedModels((fit,)))
    return Before(version, {fit.name: path / fit.name}, {fit.name: fit.config})


def test_users_and_items_are_found_by_their_ids(tmp_path: Path) -> None:
    start = warm_start(before(tmp_path), "bpr-0", MADE_OF, TRAINING, KNOWN)
    assert isinstance(start, WarmStart)
    assert start.users.tolist() == [-1, 0]
    assert start.items.tolist() == [1, -1, 0]
    assert set(start.weights) == {"user_id.weight"}


@pytest.mark.parametrize(
    ("facts", "known", "reason"),
    [
        ({"splits": "now"}, {}, "the data are those of the version before"),
        ({"train_until": 90}, {}, "what was in train then may be held out now"),
        ({"train_until": 95}, {}, "what was in train then may be held out now"),
        ({"train_until": None}, {}, "what was in train then may be held out now"),
        ({}, {"held_out_from": None}, "what was in train then may be held out now"),
        ({"spaces": ["p", "another"]}, {}, "its settings are others"),
        ({"dim": 8}, {}, "its settings are others"),
        ({"learning_rate": 0.5}, {}, "its settings are others"),
        ({"loss": "softmax"}, {}, "there is no version before"),
        ({"seed": 1}, {}, "there is no version before"),
    ],
)
def test_each_reason_not_to(tmp_path: Path, facts: Mapping[str, Any], known: Mapping[str, Any], reason: str) -> None:
    assert warm_start(before(tmp_path, **facts), "bpr-0", MADE_OF, TRAINING, replace(KNOWN, **known)) == reason


def test_a_version_of_before_there_were_starts_is_none(tmp_path: Path) -> None:
    old = before(tmp_path)
    configs = {"bpr-0": {name: value for name, value in old.configs["bpr-0"].items() if name != "cold_epochs"}}
    said = warm_start(replace(old, configs=configs), "bpr-0", MADE_OF, TRAINING, KNOWN)
    assert said == "the version before does not say who its users and items are"
    assert warm_start(Before("", {}, {}), "bpr-0", MADE_OF, TRAINING, KNOWN) == "there is no version before"


def test_other_threads_or_another_device_are_the_same_settings(tmp_path: Path) -> None:
    other = TRAINING.model_copy(update={"threads": 4, "device": "cuda", "max_epochs": 9})
    assert isinstance(warm_start(before(tmp_path), "bpr-0", MADE_OF, other, KNOWN), WarmStart)


def test_what_a_start_is_worth_is_written_down_and_the_epochs_of_the_cold_training_stay(tmp_path: Path) -> None:
    earlier = before(tmp_path)
    start = warm_start(earlier, "bpr-0", MADE_OF, TRAINING, KNOWN)
    config = facts_of_start(saved(), start, earlier, 20.0, KNOWN).config
    assert config["warm_start"] == {
        "from": earlier.version, "users": 1, "items": 2, "epochs": 10, "about_saved_s": (70 - 10) * 2.0,
    }  # fmt: skip
    assert (config["cold_epochs"], config["cold_run"], config["train_until"]) == (40, 70, 80)


def test_a_model_knows_what_those_knew_that_it_began_from(tmp_path: Path) -> None:
    """The version before had learned until 85, of rows that this dump lacks; the next must not begin from it at 84."""
    earlier = before(tmp_path, train_until=85)
    start = warm_start(earlier, "bpr-0", MADE_OF, TRAINING, KNOWN)
    made = facts_of_start(saved(), start, earlier, 20.0, KNOWN)
    assert made.config["train_until"] == 85
    now = replace(KNOWN, splits="later", train_until=83, held_out_from=84)
    again = Before("v", {}, {"bpr-0": made.config})
    assert warm_start(again, "bpr-0", MADE_OF, TRAINING, now) == "what was in train then may be held out now"


def test_a_training_from_nothing_counts_its_own_epochs() -> None:
    config = facts_of_start(saved(), "there is no version before", Before("", {}, {}), 20.0, KNOWN).config
    assert (config["cold_epochs"], config["cold_run"], config["train_until"]) == (8, 10, 80)
    assert "warm_start" not in config
