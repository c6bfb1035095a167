"""The settings that were found for each published split, without its test part; `benchmarks.tune` writes them."""

import json
from pathlib import Path
from typing import Any

from assets.core.settings import ModelSettings
from assets.training.model_config import configure_model
from models.config import Loss, RecommenderConfig, TrainerConfig

FILE = Path(__file__).parent / "tuned.json"
# What a folder without settings of its own is trained with.
OTHERS = "baby"


def shipped(split: str) -> dict[str, Any]:
    """What tuned.json says of a split: `training` holds for all models, `models` has values by model and loss."""
    found = json.loads(FILE.read_text())
    return found.get(split) or found[OTHERS]


def settings_of(split: str, model: str, loss: Loss, seed: int = 0) -> tuple[RecommenderConfig, TrainerConfig]:
    """What a learned model is made of on a split, and how it is trained."""
    found = shipped(split)
    return configure_model(model, loss, seed, ModelSettings(**found["training"]), values_of(found, model, loss))


def values_of(found: dict[str, Any], model: str, loss: str) -> dict[str, Any]:
    """The values chosen for a model under a loss; nothing where it was not tuned."""
    return found["models"].get(model, {}).get(loss, {})


def is_tuned(split: str, model: str, loss: str) -> bool:
    """Whether values were searched for a model on this very split; a blend stands on those of its parts."""
    found = json.loads(FILE.read_text())
    return split in found and (model in ("popularity", "blend") or loss in found[split]["models"].get(model, {}))


def search_settings(split: str, trials: int) -> ModelSettings:
    """How a search on a split trains."""
    return ModelSettings(**shipped(split)["training"], tuning_trials=trials)
