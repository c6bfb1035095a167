"""The configuration of one training: what the model is by its name, what is fixed, what was tuned, and defaults."""

import json
from collections.abc import Mapping
from typing import Any

from assets.core.settings import LearnedSettings
from models.config import Loss, RecommenderConfig, TrainerConfig
from models.model_spec import LEARNED
from models.training.search_spaces import Space, space_of
from storage.artifacts.data_root import DataRoot
from storage.artifacts.saved_models import read_trials


def configure_model(
    model: str, loss: Loss, seed: int, settings: LearnedSettings, tuned: Mapping[str, Any]
) -> tuple[RecommenderConfig, TrainerConfig]:
    """What `model` is made of and how it is trained: its name decides over the settings given, these over `tuned`."""
    free = {name: value for name, value in tuned.items() if name not in settings.model_fields_set}
    values = settings.model_dump() | free | LEARNED[model].fixed | {"loss": loss, "seed": seed}
    if not LEARNED[model].item_graph:
        values["item_graph_layers"] = 0
    return RecommenderConfig.model_validate(values), TrainerConfig.model_validate(values)


def free_space(model: str, loss: Loss, settings: LearnedSettings) -> Space:
    """What is searched for a model: its space without what the catalogue or a run's config fix."""
    space = space_of(model, loss)
    return {name: options for name, options in space.items() if name not in settings.model_fields_set}


def chosen_values(root: DataRoot, dataset: str, model: str, loss: str) -> dict[str, Any]:
    """What the search of a model that was made last chose under a loss; nothing where none was made."""
    manifest = root.find_manifest(model, dataset)
    trials = read_trials(root.artefact(manifest)) if manifest else []
    return next((json.loads(one["values"]) for one in trials if one["chosen"] and one["loss"] == loss), {})
