"""Searches the hyper-parameters of one model: the same number of trials and epochs for every model and loss."""

import itertools
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assets.core.settings import ModelSettings, SearchSettings
from assets.training.baselines import COUNTED_SCORERS
from assets.training.held_out import HeldOut
from assets.training.jobs import Job
from assets.training.model_config import configure_model, free_space
from assets.training.side_by_side import Plan
from models.config import Loss
from models.training.search_spaces import COUNTED_SPACES, STARTS, OneOf
from models.training.successive_halving import Budget, Trial, best_of, search

# After one look the quick to learn stand before the good: on TikTok the gated model had 0.023 by the cosine after three
# epochs, and was dropped; in the end it has 0.048, where the dot product stops at 0.042.
FIRST_LOOKS = 2


@dataclass(frozen=True)
class Study:
    """The search for one model under one loss ("none" for models that are counted rather than learned)."""

    model: str
    loss: str
    trials: list[Trial]

    @property
    def best(self) -> Trial:
        return best_of(self.trials)

    @property
    def seconds(self) -> list[float]:
        """What each trial took."""
        return [trial.seconds for trial in self.trials]

    def rows(self) -> Iterator[dict[str, Any]]:
        """As they are kept with the model: the columns of the table `tuning` but for the seconds."""
        for trial in self.trials:
            yield {
                "model": self.model,
                "loss": self.loss,
                "trial": trial.number,
                "values": json.dumps(trial.values, sort_keys=True),
                "validation_ndcg": trial.value,
                "epochs": trial.epochs,
                "ended": trial.ended,
                "chosen": trial is self.best,
            }


def studies_of(rows: Iterable[dict[str, Any]], seconds: dict[str, list[float]]) -> dict[str, Study]:
    """Studies by loss, from rows as `Study.rows` gives them and the seconds of the trials by loss."""
    found: dict[str, Study] = {}
    for row in rows:
        study = found.setdefault(row["loss"], Study(row["model"], row["loss"], []))
        number, values = row["trial"], json.loads(row["values"])
        took = seconds[row["loss"]][number]
        study.trials.append(Trial(number, values, row["validation_ndcg"], row["epochs"], took, row["ended"]))
    return found


def budget_of(config: ModelSettings) -> Budget:
    return Budget(config.tuning_trials, FIRST_LOOKS * config.evaluate_every, config.max_epochs)


def plan_search(config: ModelSettings, model: str, loss: Loss, folder: Path) -> Plan[tuple[Study, Path]]:
    """The search for a learned model under a loss; gives also the checkpoint of the best trial.

    A trial is a training with the seed 0, and goes on at each rung where it was at the one before.

    Args:
        folder: for the checkpoints of this search alone; those of trials that are out are deleted.
    """
    rungs = search(free_space(model, loss, config), STARTS[loss], budget_of(config), config.tuning_seed)
    alive: set[int] = set()

    def checkpoint(trial: Trial) -> Path:
        return folder / f"{loss}-trial-{trial.number}.safetensors"

    def job(trial: Trial, epochs: int) -> Job:
        recommender, training = configure_model(model, loss, 0, config, trial.values)
        training = training.model_copy(update={"max_epochs": epochs})
        return Job(recommender, training, checkpoint(trial), is_trial=True)

    asked = next(rungs)
    while True:
        wanted = {trial.number for trial, _ in asked}
        for number in alive - wanted:
            checkpoint(Trial(number, {})).unlink(missing_ok=True)
        alive = wanted
        outcomes = yield [job(trial, epochs) for trial, epochs in asked]
        try:
            asked = rungs.send([outcome.seen for outcome in outcomes])
        except StopIteration as end:
            study = Study(model, loss, end.value)
            return study, checkpoint(study.best)


def grid(config: SearchSettings, model: str, validation: HeldOut) -> Study:
    """Configurations of a model that is counted, in a seeded order: all of them, or as many as there are trials."""
    space = COUNTED_SPACES[model]
    choices = [options.values for options in space.values() if isinstance(options, OneOf)]
    every = list(itertools.product(*choices))
    order = np.random.default_rng(config.tuning_seed).permutation(len(every))[: config.tuning_trials]
    trials = []
    for number, place in enumerate(order):
        started = time.perf_counter()
        values = dict(zip(space, every[place], strict=True))
        value = validation.ndcg(COUNTED_SCORERS[model](validation.train, **values))
        trials.append(Trial(number, values, value, 1, time.perf_counter() - started))
    return Study(model, "none", trials)


def count_trainings(config: ModelSettings, is_kept: bool, trains: bool) -> int:
    """How many jobs the plan of one loss has, as long as no trial breaks down."""
    searched = 0 if is_kept or not config.tuning_trials else sum(trials for trials, _ in budget_of(config).rungs())
    return searched + (config.seeds if trains else 0)
