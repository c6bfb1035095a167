"""Trains one learned model of one dataset, under every loss with every seed, and says how it went."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from assets.interactions.splits import EVERY_PART, TRAIN, VALIDATION, Parts
from assets.settings import ModelSettings
from assets.stage import Stage
from assets.training.configured import configured, tuned_values
from assets.training.curves import training_curves
from assets.training.held_out import HeldOut
from assets.training.warm import facts_of_start, known_of, version_before, warm_start
from models.config import RecommenderConfig, TrainerConfig
from models.device import device_of
from models.fitting import Content, TrainSet, fit
from models.fusion import Modality
from models.launching import team_of
from models.propagation import normalised_adjacency
from models.ranking import Vectors
from models.recommender import VectorModel
from models.sharding import can_be_shared
from models.team import ALONE, Alone
from models.trainer import History
from models.warm_start import WarmStart
from storage.arrays import NearestItems
from storage.errors import InputError
from storage.io_managers import Made
from storage.models import FileCheckpoint, SavedModel, SavedModels, read_models
from storage.tables import Embeddings

logger = logging.getLogger(__name__)


def train_set(
    splits: pa.Table,
    interaction_graph: sp.csr_matrix | None = None,
    image_embeddings: Embeddings | None = None,
    text_embeddings: Embeddings | None = None,
    item_graph: NearestItems | None = None,
    learned_from: tuple[int, ...] = (TRAIN,),
) -> tuple[Parts, TrainSet]:
    """The parts of the data, and what models learn from; content is that of the items of the core.

    Args:
        interaction_graph: of the interactions `learned_from`; None serves models without layers.
        learned_from: the parts of the data whose interactions are learned from.
    """
    parts, content = Parts.of(splits), None
    if image_embeddings is not None and text_embeddings is not None:
        visual, textual = (
            Modality.of(view.matrix[: parts.items], view.has_value[: parts.items])
            for view in (image_embeddings, text_embeddings)
        )
        nearest = (item_graph.visual[: parts.items], item_graph.textual[: parts.items]) if item_graph else (None, None)
        content = Content(visual, textual, *nearest)
    return parts, TrainSet(*parts.pairs(*learned_from), parts.users, parts.items, interaction_graph, content)


def everything(splits: pa.Table, **content: Any) -> TrainSet:
    """All interactions to learn from, with their graph: what a model is fitted to that is served, not evaluated.

    Args:
        content: see `train_set`.
    """
    data = train_set(splits, **content, learned_from=EVERY_PART)[1]
    adjacency = normalised_adjacency(data.user, data.item, data.users, data.items)
    return replace(data, adjacency=adjacency)


def fit_all(stage: Stage, config: ModelSettings, splits: pa.Table, tuning: pa.Table, **inputs: Any) -> Made:
    """Train the model that the asset is named after, stopping early on validation NDCG@20.

    A run that was broken off goes on with the fit, and the epoch, where it was.

    Args:
        inputs: see `train_set`.
    """
    parts, data = train_set(splits, **inputs)
    validation, known = HeldOut.of(parts, VALIDATION), known_of(stage, parts)
    before = version_before(stage, config)
    by_ray = config.processes > 1 and stage.compute.on_ray
    checkpoints = stage.work_folder("checkpoints", shared=by_ray) / stage.asset
    fits, seconds = [], {}
    plan = [(loss, seed) for loss in config.losses for seed in range(config.seeds)]
    for number, (loss, seed) in enumerate(plan, start=1):
        made_of, training = configured(stage.asset, loss, seed, config, tuned_values(tuning, stage.asset, loss))
        processes = config.processes if can_be_shared(made_of) else 1
        if processes > 1:
            training = on_processors(training)
        start = warm_start(before, f"{loss}-{seed}", made_of, training, known)
        if by_ray and processes > 1:
            start = "its workers begin from nothing"
        told = f"begun from nothing: {start}" if isinstance(start, str) else "begun from the version before"
        logger.info(f"{stage.asset} {loss}-{seed}: {told}")
        begun = "cold" if isinstance(start, str) else before.version  # what was broken off goes on as it was begun
        checkpoint = FileCheckpoint(checkpoints / f"{loss}-{seed}-{begun}-{stage.fingerprint}.safetensors")
        given = (made_of, training, data, validation, checkpoint, None if isinstance(start, str) else start)
        with stage.progress(training.max_epochs, f"epochs of fit {number}/{len(plan)}") as progress:
            if by_ray and processes > 1:
                saved, took = fit_by_ray(stage, processes, made_of, training, checkpoint)
                progress.advance(len(saved.config["loss_curve"]))
            else:
                with team_of(processes, descend, *given) as team:
                    saved, took = fit_one(stage.asset, *given, progress.advance, team)
        fits.append(facts_of_start(saved, start, before, took, known))
        seconds[saved.name] = took
    return Made(
        SavedModels(tuple(fits)),
        shown(fits) | {"train_s": seconds, "train_rows": len(data.user)},
        published=lambda: shutil.rmtree(checkpoints, ignore_errors=True),
    )


def on_processors(training: TrainerConfig) -> TrainerConfig:
    """The same without a GPU: processes share a training on processors alone.

    Raises:
        InputError: another device is asked for by its name.
    """
    if training.device not in ("auto", "cpu"):
        raise InputError(
            f"device is {training.device!r}, and processes share a training on processors alone: auto or cpu"
        )
    return training.model_copy(update={"device": "cpu"})


def fit_by_ray(
    stage: Stage,
    processes: int,
    made_of: RecommenderConfig,
    training: TrainerConfig,
    checkpoint: FileCheckpoint,
    model: str | None = None,
    on_everything: bool = False,
) -> tuple[SavedModel, float]:
    """What `fit_one` gives, by as many workers of a Ray cluster.

    Args:
        model: its name; that of the asset by default.
        on_everything: whether all interactions are learned from, and nothing is validated.
    """
    from assets.training.shared import Task, by_ray

    out = checkpoint.path.with_suffix("")
    task = Task(
        root=stage.root.root,
        dataset=stage.dataset.name,
        model=model or stage.asset,
        made_of=made_of,
        training=training,
        out=out,
        checkpoint=checkpoint.path,
        on_everything=on_everything,
        variant=stage.root.variant,
    )
    facts = by_ray(task, processes, stage.compute)
    return read_models(Path(facts["path"])).main, facts["seconds"]


def descend(
    team: Alone,
    made_of: RecommenderConfig,
    training: TrainerConfig,
    data: TrainSet,
    validation: HeldOut | None,
    checkpoint: FileCheckpoint | None = None,
    start: WarmStart | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[VectorModel, History]:
    """One training that stops early on validation, as one rank of a team goes through it; see `models.fitting.fit`.

    Without validation it ends after `training.max_epochs`.
    """

    def validate(user_vectors: np.ndarray, item_vectors: np.ndarray) -> float:
        assert validation is not None
        return validation.ndcg(Vectors(user_vectors, item_vectors, made_of.score), team)

    return fit(made_of, training, data, validate if validation else None, on_epoch, checkpoint, team, start)


def fit_one(
    name: str,
    made_of: RecommenderConfig,
    training: TrainerConfig,
    data: TrainSet,
    validation: HeldOut | None,
    checkpoint: FileCheckpoint | None = None,
    start: WarmStart | None = None,
    on_epoch: Callable[[], None] = lambda: None,
    team: Alone = ALONE,
) -> tuple[SavedModel, float]:
    """One training, and the seconds that it took, looks at validation included; of a team at rank 0 alone."""
    model, history = descend(team, made_of, training, data, validation, checkpoint, start, on_epoch)
    return saved_model(name, made_of, training, data, model, history), history.seconds


def saved_model(
    name: str,
    made_of: RecommenderConfig,
    training: TrainerConfig,
    data: TrainSet,
    model: VectorModel,
    history: History,
) -> SavedModel:
    """A trained model, whole, as it is kept."""
    user_vectors, item_vectors = model.vectors()
    # Of users without train items nothing is known: a vector that was never trained would only look like a taste.
    user_vectors[np.bincount(data.user, minlength=data.users) == 0] = 0
    tensors = {"user_vectors": user_vectors, "item_vectors": item_vectors}
    share = model.fusion.visual_share() if model.fusion is not None else None
    if share is not None:
        tensors["visual_share"] = share.numpy()
    tensors |= {f"weights.{part}": value.numpy() for part, value in model.state_dict().items()}
    config = {
        "model": name,
        "kind": "vectors",
        **made_of.model_dump(),
        **training.model_dump(exclude={"device"}),
        "device": device_of(training.device).type,
        "best_epoch": history.best_epoch,
        "collision_rate": history.collision_rate[-1],
        "loss_curve": history.loss,
        "validation_curve": history.validation,
    }
    if history.validation:
        config["validation_ndcg@20"] = history.best_value
    return SavedModel(tensors, config)


def shown(fits: list[SavedModel]) -> dict[str, Any]:
    """What a person wants to see of the fits of a model."""
    of_each = {
        f"{fact}/{fit.name}": fit.config[fact]
        for fit in fits
        for fact in ("validation_ndcg@20", "best_epoch", "collision_rate")
    }
    first = {fit.config["loss"]: fit.config for fit in reversed(fits)}
    settings = {
        f"chosen/{loss}/{name}": config[name]
        for loss, config in first.items()
        for name in ("learning_rate", "l2", "initial_std", "layers", "score", "temperature", "softmax_negatives")
    }
    warm = {f"warm_start/{fit.name}": fit.config["warm_start"] for fit in fits if "warm_start" in fit.config}
    return of_each | settings | warm | {"curves": training_curves(fits)}
