"""Makes one learned model of one dataset: finds its settings, and trains it under every loss with every seed."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from assets.core.asset_context import AssetContext
from assets.core.asset_result import AssetResult
from assets.core.ray_cluster import on_cluster
from assets.core.settings import ModelSettings
from assets.interactions.splits import VALIDATION
from assets.training.curves import search_picture, training_curves
from assets.training.fit_one import fit_one, on_processors, train_model
from assets.training.held_out import HeldOut
from assets.training.jobs import Job, Outcome, Shared
from assets.training.model_config import configure_model
from assets.training.retune import earlier_search
from assets.training.search import Study, count_trainings, plan_search
from assets.training.side_by_side import Plan, run_here, run_on_cluster, trainings_at_once
from assets.training.train_set import train_set
from assets.training.warm_start import Before, Known, facts_of_start, known_of, version_before, warm_start
from models.config import Loss, RecommenderConfig, TrainerConfig
from models.distributed.launching import start_processes
from models.distributed.sharding import can_be_shared
from models.model_spec import LEARNED
from models.training.successive_halving import Seen
from models.training.warm_start import WarmStart
from storage.artifacts.saved_models import FileCheckpoint, SavedModel, SavedModels, read_models

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """One training of a model that is kept: what is to be done, and what it began from, or why from nothing."""

    loss: Loss
    seed: int
    job: Job
    start: WarmStart | str


@dataclass(frozen=True)
class ModelPlan:
    """What the trainings of a model depend on, besides its data.

    Attributes:
        studies: by loss, those of an earlier search that are kept; other settings are searched now.
        before, known: see `assets.training.warm_start`.
        folder: for checkpoints; fingerprint: tells those apart that another training has left there.
    """

    model: str
    config: ModelSettings
    studies: Mapping[str, Study]
    before: Before
    known: Known
    folder: Path
    fingerprint: str

    def plan(self, loss: Loss, trains: bool) -> Plan[tuple[Study | None, list[Fit], list[Outcome]]]:
        """The search under a loss, if it is not kept, and the trainings of all seeds, if they are to be done here."""
        study, first = self.studies.get(loss), None
        if study is None and self.config.tuning_trials:
            folder = self.folder / f"search-{self.fingerprint}"
            study, first = yield from plan_search(self.config, self.model, loss, folder)
        fits = [self.fit(loss, seed, study, first) for seed in range(self.config.seeds)]
        return study, fits, (yield [fit.job for fit in fits]) if trains else []

    def fit(self, loss: Loss, seed: int, study: Study | None, first: Path | None) -> Fit:
        """One training; that of the first seed goes on from the checkpoint `first` of the best trial."""
        values = study.best.values if study else {}
        recommender, training = configure_model(self.model, loss, seed, self.config, values)
        start: WarmStart | str = "its settings were searched now"
        if first is None:
            start = warm_start(self.before, f"{loss}-{seed}", recommender, training, self.known)
        begun = "cold" if isinstance(start, str) else self.before.version  # what was broken off goes on as it was begun
        path = self.folder / f"{loss}-{seed}-{begun}-{self.fingerprint}.safetensors"
        given = None if isinstance(start, str) else start
        return Fit(loss, seed, Job(recommender, training, first if first and seed == 0 else path, given), start)


def fit_all(context: AssetContext, config: ModelSettings, splits: pa.Table, **inputs: Any) -> AssetResult:
    """Search the settings of the model that the asset is named after, unless they are kept, and train it.

    Training stops early on validation NDCG@20. A run that was broken off goes on where it was.

    Args:
        inputs: see `train_set`.
    """
    parts, data = train_set(splits, **inputs)
    shared = Shared(context.asset, data, HeldOut.of(parts, VALIDATION))
    known, earlier = known_of(context, parts), earlier_search(context, config, parts)
    processes = config.processes if can_be_shared(RecommenderConfig.model_validate(LEARNED[context.asset].fixed)) else 1
    folder = context.work_folder("checkpoints", shared=context.compute.on_ray) / context.asset
    before = version_before(context, config)
    plan = ModelPlan(context.asset, config, earlier.studies, before, known, folder, context.fingerprint)
    fits, seconds, searched = [], {}, []
    for study, planned, outcomes in run_side_by_side(context, shared, plan, trains=processes == 1).values():
        searched += [study] if study else []
        for place, fit in enumerate(planned):
            outcome = outcomes[place] if outcomes else train_shared(context, processes, shared, fit)
            assert outcome.model is not None
            took = outcome.seen.seconds
            how = f"begun from nothing: {fit.start}" if isinstance(fit.start, str) else "begun from the version before"
            logger.info(f"{context.asset} {outcome.model.name}: {outcome.seen.value:.4f} in {took:,.1f} s; {how}")
            fits.append(facts_of_start(outcome.model, fit.start, before, took, known))
            seconds[outcome.model.name] = took
    rows = tuple(row for study in searched for row in study.rows())
    facts = describe_fits(fits) | {"train_s": seconds, "train_rows": len(data.user)}
    facts |= earlier.describe(searched) | ({"search": search_picture(searched)} if searched else {})
    return AssetResult(
        SavedModels(tuple(fits), trials=rows),
        facts,
        published=lambda: shutil.rmtree(folder, ignore_errors=True),
    )


def make_plans(plan: ModelPlan, trains: bool) -> dict[str, Plan[Any]]:
    """The plan of every loss; a process makes them anew, for a plan that has begun cannot be sent."""
    return {loss: plan.plan(loss, trains) for loss in plan.config.losses}


def run_side_by_side(context: AssetContext, shared: Shared, plan: ModelPlan, trains: bool) -> dict[str, Any]:
    """What the plan of every loss comes to, on this machine or on a Ray cluster."""
    config, plans = plan.config, partial(make_plans, plan, trains)
    found: Iterator[Any]
    if context.compute.on_ray:
        found = on_cluster(context.compute, context.root, partial(run_on_cluster, plans, shared, config.threads))
    else:
        at_once = trainings_at_once(config.trainings_at_once, config.device, config.threads, config.dim, shared.data)
        found = run_here(plans, shared, at_once, context.work_folder("arrays"))
    total = sum(count_trainings(config, loss in plan.studies, trains) for loss in config.losses)
    results: dict[str, Any] = {}
    with context.progress(total, "trainings") as progress:
        for came_of_it in found:  # to its end, for workers are ended with what is broken off
            if came_of_it is None:
                progress.advance()
            else:
                results = came_of_it
    return results


def train_shared(context: AssetContext, processes: int, shared: Shared, fit: Fit) -> Outcome:
    """One training by several processes, of this machine or of a Ray cluster, that share its dimensions."""
    job = fit.job
    training = on_processors(job.training)
    if context.compute.on_ray:
        saved, took = fit_by_ray(context, processes, job.recommender, training, FileCheckpoint(job.checkpoint))
    else:
        given = (job.recommender, training, shared.data, shared.validation, FileCheckpoint(job.checkpoint), job.start)
        with (
            context.progress(training.max_epochs, f"epochs of {fit.loss}-{fit.seed}") as progress,
            start_processes(processes, train_model, *given) as group,
        ):
            saved, took = fit_one(shared.model, *given, progress.advance, group)
    return Outcome(Seen(saved.config["validation_ndcg@20"], len(saved.config["loss_curve"]), took), saved)


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
