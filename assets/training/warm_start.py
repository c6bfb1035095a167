"""Whether a training may begin from the version before of its model, and what it takes from it.

It may where settings are the same and what was learned then is still train now: then nothing held out is known before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from assets.core.asset_context import AssetContext
from assets.core.settings import ModelSettings
from assets.interactions.build_core import keys_of, user_ids_of
from assets.interactions.splits import TRAIN, Parts
from assets.training.load_model import weights_of
from models.config import RecommenderConfig, TrainerConfig
from models.training.warm_start import WarmStart, rows_before
from storage.artifacts.saved_models import SavedModel, read_configs, read_model
from storage.errors import InputError

KEYS = ("user_keys", "item_keys")  # tensors of a saved model: uint64, a hash of the id of every user and item
VIEWS = ("image_embeddings", "text_embeddings")
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


def known_of(context: AssetContext, parts: Parts) -> Known:
    """Who is who, from the table `interactions` that `splits` was made of; nobody where train does not end first.

    The models do not depend on that table as such: a rating that changes there changes nothing here.
    """
    manifest, splits = context.manifest("interactions"), context.manifest("splits")
    if splits.numbering.get("interactions") != manifest.data_version:
        raise InputError("splits was made from other interactions than there are now; materialize splits again")
    path, in_train = context.root.artefact(manifest), parts.split == TRAIN
    time = pq.read_table(path, columns=["timestamp"], partitioning=None)["timestamp"].to_numpy()
    train_until, held_out_from = int(time[in_train].max()), int(time[~in_train].min())
    views = (context.root.find_manifest(view, context.dataset.name) for view in VIEWS)
    spaces = [str(view.recipe.settings.get("space")) if view else "" for view in views]
    if train_until >= held_out_from:
        nobody = np.empty(0, np.uint64)
        return Known(nobody, nobody, None, None, splits.data_version, spaces)
    users = user_ids_of(pq.read_table(path, columns=["user", "user_id"], partitioning=None))
    index = pq.read_table(context.root.artefact(context.manifest("item_index")), partitioning=None)
    items = index.filter(index["in_core"])["item_id"].combine_chunks()
    return Known(keys_of(users), keys_of(items), train_until, held_out_from, splits.data_version, spaces)


@dataclass(frozen=True)
class Before:
    """The version before of a model, of which a fit is loaded when something begins from it.

    Attributes:
        version: its data version; "" where there is none.
        folders: of each fit by its name; configs: the same.
    """

    version: str
    folders: Mapping[str, Path]
    configs: Mapping[str, dict[str, Any]]


def version_before(context: AssetContext, config: ModelSettings) -> Before:
    """The model as it was trained last, if something may begin from it.

    A variant says what its settings are worth, so it begins from nothing that was made with others.
    """
    may_be_warm = config.warm_start and not config.force and not context.root.variant
    last = context.root.find_sound(context.asset, context.dataset.name) if may_be_warm else None
    if last is None:
        return Before("", {}, {})
    folder = context.root.artefact(last)
    configs = {f"{one['loss']}-{one['seed']}": one for one in read_configs(folder)[0]}
    return Before(last.data_version, {name: folder / name for name in configs}, configs)


def warm_start(
    before: Before, fit: str, recommender: RecommenderConfig, training: TrainerConfig, known: Known
) -> WarmStart | str:
    """What to begin the training of a fit from, or why it begins from nothing."""
    config = before.configs.get(fit)
    if config is None:
        return "there is no version before"
    if "cold_epochs" not in config:
        return "the version before does not say who its users and items are"
    if config["splits"] == known.splits:
        return "the data are those of the version before"
    if recommender.architecture != "lightgcn":
        return "its users and items are in no tables of their own"
    same_model = RecommenderConfig.model_validate(config) == recommender and config["spaces"] == known.spaces
    if not same_model or _of_training(config) != _of_training(training.model_dump()):
        return "its settings are others"
    until = config["train_until"]
    if until is None or known.held_out_from is None or until >= known.held_out_from:
        return "what was in train then may be held out now"
    earlier = read_model(before.folders[fit])
    found = (rows_before(now, earlier.tensors[name]) for name, now in known.tensors.items())
    return WarmStart(weights_of(earlier), *found)


def _of_training(config: Mapping[str, Any]) -> dict[str, Any]:
    values = TrainerConfig.model_validate(config).model_dump()
    return {name: value for name, value in values.items() if name not in ELSEWHERE}


def facts_of_start(
    saved: SavedModel, start: WarmStart | str, before: Before, seconds: float, known: Known
) -> SavedModel:
    """The same model with who its users and items are, and what it began from.

    `cold_epochs` is the best epoch of the last training that began from nothing, `cold_run` how many epochs that ran:
    from it comes an estimate of the seconds that were saved. `train_until` is the last time that the model has learned
    of, in this training or in those that it began from.
    """
    config, epochs = {**saved.config, **known.facts}, len(saved.config["loss_curve"])
    if isinstance(start, str):
        config |= {"cold_epochs": config["best_epoch"], "cold_run": epochs}
    else:
        earlier = before.configs[saved.name]
        shared = {"users": int((start.users >= 0).sum()), "items": int((start.items >= 0).sum())}
        saved_s = max(0.0, (earlier["cold_run"] - epochs) * seconds / max(epochs, 1))
        config |= {name: earlier[name] for name in ("cold_epochs", "cold_run")}
        config["train_until"] = max(config["train_until"], earlier["train_until"])
        config["warm_start"] = {"from": before.version, **shared, "epochs": epochs, "about_saved_s": saved_s}
    return SavedModel(saved.tensors | known.tensors, config)
