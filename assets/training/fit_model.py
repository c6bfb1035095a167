"""Trains one learned model of one dataset, under every loss with every seed, and says how it went."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from assets.core.asset_context import AssetContext
from assets.core.asset_result import AssetResult
from assets.core.settings import ModelSettings
from assets.interactions.splits import VALIDATION
from assets.training.curves import training_curves
from assets.training.fit_one import fit_one, on_processors, train_model
from assets.training.held_out import HeldOut
from assets.training.model_config import configure_model, read_tuned_values
from assets.training.train_set import train_set
from assets.training.warm_start import facts_of_start, known_of, version_before, warm_start
from models.config import RecommenderConfig, TrainerConfig
from models.distributed.launching import start_processes
from models.distributed.sharding import can_be_shared
from storage.artifacts.saved_models import FileCheckpoint, SavedModel, SavedModels, read_models

logger = logging.getLogger(__name__)


def fit_all(
    context: AssetContext, config: ModelSettings, splits: pa.Table, tuning: pa.Table, **inputs: Any
) -> AssetResult:
    """Train the model that the asset is named after, stopping early on validation NDCG@20.

    A run that was broken off goes on with the fit, and the epoch, where it was.

    Args:
        inputs: see `train_set`.
    """
    parts, data = train_set(splits, **inputs)
    validation, known = HeldOut.of(parts, VALIDATION), known_of(context, parts)
    before = version_before(context, config)
    by_ray = config.processes > 1 and context.compute.on_ray
    checkpoints = context.work_folder("checkpoints", shared=by_ray) / context.asset
    fits, seconds = [], {}
    plan = [(loss, seed) for loss in config.losses for seed in range(config.seeds)]
    for number, (loss, seed) in enumerate(plan, start=1):
        recommender, training = configure_model(
            context.asset, loss, seed, config, read_tuned_values(tuning, context.asset, loss)
        )
        processes = config.processes if can_be_shared(recommender) else 1
        if processes > 1:
            training = on_processors(training)
        start = warm_start(before, f"{loss}-{seed}", recommender, training, known)
        if by_ray and processes > 1:
            start = "its workers begin from nothing"
        how = f"begun from nothing: {start}" if isinstance(start, str) else "begun from the version before"
        logger.info(f"{context.asset} {loss}-{seed}: {how}")
        begun = "cold" if isinstance(start, str) else before.version  # what was broken off goes on as it was begun
        checkpoint = FileCheckpoint(checkpoints / f"{loss}-{seed}-{begun}-{context.fingerprint}.safetensors")
        given = (recommender, training, data, validation, checkpoint, None if isinstance(start, str) else start)
        with context.progress(training.max_epochs, f"epochs of fit {number}/{len(plan)}") as progress:
            if by_ray and processes > 1:
                saved, took = fit_by_ray(context, processes, recommender, training, checkpoint)
                progress.advance(len(saved.config["loss_curve"]))
            else:
                with start_processes(processes, train_model, *given) as group:
                    saved, took = fit_one(context.asset, *given, progress.advance, group)
        fits.append(facts_of_start(saved, start, before, took, known))
        seconds[saved.name] = took
    return AssetResult(
        SavedModels(tuple(fits)),
        describe_fits(fits) | {"train_s": seconds, "train_rows": len(data.user)},
        published=lambda: shutil.rmtree(checkpoints, ignore_errors=True),
    )


def fit_by_ray(
    context: AssetContext,
    processes: int,
    recommender: RecommenderConfig,
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
    from assets.training.distributed import Task, by_ray

    out = checkpoint.path.with_suffix("")
    task = Task(
        root=context.root.root,
        dataset=context.dataset.name,
        model=model or context.asset,
        recommender=recommender,
        training=training,
        out=out,
        checkpoint=checkpoint.path,
        on_everything=on_everything,
        variant=context.root.variant,
    )
    facts = by_ray(task, processes, context.compute)
    return read_models(Path(facts["path"])).main, facts["seconds"]


def describe_fits(fits: list[SavedModel]) -> dict[str, Any]:
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
