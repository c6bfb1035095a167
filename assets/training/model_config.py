"""The configuration of one training: what the model is by its name, what is fixed, what was tuned, and defaults."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.core.settings import LearnedSettings
from models.config import Loss, RecommenderConfig, TrainerConfig
from models.model_spec import LEARNED
from models.training.search_spaces import Space, space_of


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


def chosen_version(tuning: pa.Table, model: str) -> str:
    """A short hash of what the table `tuning` chose for a model under every loss: the part of it that a model reads."""
    mine = tuning.filter(pc.and_(pc.equal(tuning["model"], model), tuning["chosen"]))
    rows = sorted(zip(mine["loss"].to_pylist(), mine["values"].to_pylist(), strict=True))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def read_tuned_values(tuning: pa.Table, model: str, loss: str) -> dict[str, Any]:
    """What the table `tuning` chose for a model under a loss; nothing if it was not tuned."""
    mine = pc.and_(pc.equal(tuning["model"], model), pc.equal(tuning["loss"], loss))
    chosen = tuning.filter(pc.and_(mine, tuning["chosen"]))["values"].to_pylist()
    return json.loads(chosen[0]) if chosen else {}
