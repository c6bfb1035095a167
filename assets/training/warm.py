"""Whether a training may begin from the version before of its model, and what it takes from it.

It may where settings are the same and what was learned then is still train now: then nothing held out is known before.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from assets.interactions.core import user_ids_of
from assets.interactions.splits import TRAIN, Parts
from assets.stage import Stage
from assets.training.restored import weights_of
from models.config import RecommenderConfig, TrainerConfig
from models.warm_start import WarmStart, rows_before
from storage.errors import InputError
from storage.models import SavedModel, SavedModels, read_models

logger = logging.getLogger(__name__)

KEYS = ("user_keys", "item_keys")  # tensors of a saved model: uint64, a hash of the id of every user and item
VIEWS = ("image_embeddings", "text_embeddings")
COLUMNS = ["user", "item", "user_id", "item_id", "timestamp"]
ELSEWHERE = {"device", "threads", "max_epochs"}  # of a training's settings, what may differ


@dataclass(frozen=True)
class Known:
    """What of its data a training says to the next one.

    Attributes:
        user_keys, item_keys: uint64, a hash of the id of every number.
        train_until: the last time in train, held_out_from: the first outside of it, in ms; None unless all of train is
            before all that is held out.
        splits: the data version of the table.
        spaces: what made the pictures' and the texts' vectors.
    """

    user_keys: np.ndarray
    item_keys: np.ndarray
    train_until: int | None
    held_out_from: int | None
    splits: str
    spaces: list[str]

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        return dict(zip(KEYS, (self.user_keys, self.item_keys), strict=True))

    @property
    def facts(self) -> dict[str, Any]:
        return {"train_until": self.train_until, "splits": self.splits, "spaces": self.spaces}


def known_of(stage: Stage, parts: Parts) -> Known:
    """Who is who, from the table `interactions` that `splits` was made of.

    The models do not depend on that table as such: a rating that changes there changes nothing here.
    """
    manifest, splits = stage.manifest("interactions"), stage.manifest("splits")
    if splits.numbering.get("interactions") != manifest.data_version:
        raise InputError("splits was made from other interactions than there are now; materialize splits again")
    table = pq.read_table(stage.root.artefact(manifest), columns=COLUMNS, partitioning=None)
    first = np.unique(table["item"].to_numpy(), return_index=True)[1]
    item_ids = table["item_id"].combine_chunks().take(pa.array(first))
    time, in_train = table["timestamp"].to_numpy(), parts.split == TRAIN
    ends: tuple[int | None, int | None] = (int(time[in_train].max()), int(time[~in_train].min()))
    if time[in_train].max() >= time[~in_train].min():
        ends = None, None
    views = (stage.root.find_manifest(view, stage.dataset.name) for view in VIEWS)
    spaces = [str(view.recipe.settings.get("space")) if view else "" for view in views]
    return Known(keys_of(user_ids_of(table)), keys_of(item_ids), *ends, splits.data_version, spaces)


def keys_of(ids: pa.Array) -> np.ndarray:
    """A hash of each id, uint64."""
    return pd.util.hash_array(ids.to_numpy(zero_copy_only=False), categorize=False)


def version_before(stage: Stage) -> tuple[str, SavedModels] | None:
    """The model as it was trained last, and its version."""
    last = stage.root.find_sound(stage.asset, stage.dataset.name)
    return (last.data_version, read_models(stage.root.artefact(last))) if last else None


def warm_start(
    before: SavedModel | None, made_of: RecommenderConfig, training: TrainerConfig, known: Known
) -> WarmStart | str:
    """What to begin a training from, or why it begins from nothing."""
    if before is None:
        return "there is no version before"
    config = before.config
    if any(name not in before.tensors for name in KEYS) or "cold_epochs" not in config:
        return "the version before does not say who its users and items are"
    if config["splits"] == known.splits:
        return "the data are those of the version before"
    if made_of.architecture != "lightgcn":
        return "its users and items are in no tables of their own"
    same_model = RecommenderConfig.model_validate(config) == made_of and config["spaces"] == known.spaces
    if not same_model or _of_training(config) != _of_training(training.model_dump()):
        return "its settings are others"
    until = config["train_until"]
    if until is None or known.held_out_from is None or until >= known.held_out_from:
        return "what was in train then may be held out now"
    found = (rows_before(now, before.tensors[name]) for name, now in known.tensors.items())
    return WarmStart(weights_of(before), *found)


def _of_training(config: Mapping[str, Any]) -> dict[str, Any]:
    values = TrainerConfig.model_validate(config).model_dump()
    return {name: value for name, value in values.items() if name not in ELSEWHERE}


def facts_of_start(
    saved: SavedModel, start: WarmStart | str, before: tuple[str, SavedModel | None], seconds: float, known: Known
) -> SavedModel:
    """The same model with who its users and items are, and what it began from.

    `cold_epochs` is the best epoch of the last training that began from nothing, `cold_run` how many epochs that ran:
    from it comes an estimate of the seconds that were saved.
    """
    config, epochs = dict(saved.config), len(saved.config["loss_curve"])
    config |= known.facts
    version, earlier = before
    if isinstance(start, str) or earlier is None:
        config |= {"cold_epochs": config["best_epoch"], "cold_run": epochs}
    else:
        cold_run = earlier.config["cold_run"]
        shared = {"users": int((start.users >= 0).sum()), "items": int((start.items >= 0).sum())}
        saved_s = max(0.0, (cold_run - epochs) * seconds / max(epochs, 1))
        config |= {"cold_epochs": earlier.config["cold_epochs"], "cold_run": cold_run}
        config["warm_start"] = {"from": version, **shared, "epochs": epochs, "about_saved_s": saved_s}
    return SavedModel(saved.tensors | known.tensors, config)
