"""Fits a model anew to all interactions, with the settings and the number of epochs that validation found."""

import shutil
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from assets.core.asset_context import AssetContext
from assets.core.settings import RefitSettings
from assets.training.baselines import COUNTED_SCORERS, arrays_of, counted, popularity_of
from assets.training.fit_model import fit_by_ray
from assets.training.fit_one import fit_one, on_processors, train_model
from assets.training.scorers import pack_models
from models.config import RecommenderConfig, TrainerConfig
from models.distributed.launching import start_processes
from models.distributed.sharding import can_be_shared
from models.model_spec import LEARNED
from models.ranking.ranking import matrix_of
from models.training.build_and_fit import TrainSet
from storage.artifacts.saved_models import FileCheckpoint, SavedModel


def fit_anew(
    context: AssetContext, config: RefitSettings, model: str, values: Mapping[str, Any], data: TrainSet
) -> tuple[SavedModel, float]:
    """A model of any family fitted to `data`, and the seconds that it took.

    Args:
        values: see `assets.serving.model_choice.Candidate.settings`.
        data: all interactions, see `assets.training.train_set.everything`.
    """
    if model in LEARNED:
        return refit_model(context, config, model, values, data)
    started = time.perf_counter()
    if model == "blend":
        parts = [dict(values[part]) for part in ("first", "second")]
        first, second = (fit_anew(context, config, part.pop("model"), part, data)[0] for part in parts)
        return pack_models(first, second, values["weight"]), time.perf_counter() - started
    train = matrix_of(data.user, data.item, data.users, data.items)
    if model == "popularity":
        return popularity_of(train), time.perf_counter() - started
    tensors = arrays_of(COUNTED_SCORERS[model](train, **values))
    return counted(model, tensors, **values), time.perf_counter() - started


def refit_model(
    context: AssetContext, config: RefitSettings, model: str, values: Mapping[str, Any], data: TrainSet
) -> tuple[SavedModel, float]:
    """A learned model after as many epochs as validation chose; one that was broken off goes on where it was."""
    recommender = RecommenderConfig.model_validate(values)
    training = TrainerConfig.model_validate({**values, "device": config.device})
    processes = config.processes if can_be_shared(recommender) else 1
    if processes > 1:
        training = on_processors(training)
    by_ray = processes > 1 and context.compute.on_ray
    kept = context.work_folder("checkpoints", shared=by_ray) / context.asset
    checkpoint = FileCheckpoint(kept / f"{model}-{context.fingerprint}.safetensors")
    given = (recommender, training, data, None, checkpoint, None)
    with context.progress(training.max_epochs, "epochs") as progress:
        if by_ray:
            saved, seconds = fit_by_ray(
                context, processes, recommender, training, checkpoint, model, on_everything=True
            )
            progress.advance(training.max_epochs)
        else:
            with start_processes(processes, train_model, *given) as group:
                saved, seconds = fit_one(model, *given, progress.advance, group)
    return saved, seconds


def forget_checkpoints(context: AssetContext) -> None:
    """Delete what a fit that has ended would have gone on from."""
    for shared in (False, True):
        shutil.rmtree(context.work_folder("checkpoints", shared) / context.asset, ignore_errors=True)


def difference(served: SavedModel, evaluated: SavedModel) -> float | None:
    """How far the items of the served model lie from those of the evaluated one: ‖A − B‖ / ‖B‖ of their vectors.

    None where a model has no vectors of items, or weights of items by items, of the same shape.
    """
    for name in ("item_vectors", "weights"):
        one, other = served.tensors.get(name), evaluated.tensors.get(name)
        if one is not None and other is not None and one.shape == other.shape:
            return float(np.linalg.norm(one - other)) / max(float(np.linalg.norm(other)), 1e-12)
    return None
