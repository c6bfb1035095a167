"""One training as a piece of work that any process can do, given what all trainings of its model share."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assets.training.fit_one import saved_model, train_model
from assets.training.held_out import HeldOut
from models.config import RecommenderConfig, TrainerConfig
from models.errors import ModelError
from models.training.build_and_fit import TrainSet
from models.training.single_process import SINGLE_PROCESS
from models.training.successive_halving import Seen
from models.training.warm_start import WarmStart
from storage.artifacts.saved_models import FileCheckpoint, SavedModel


@dataclass(frozen=True)
class Shared:
    """What all trainings of a model have in common, and read only.

    Attributes:
        validation: None where nothing is held out.
    """

    model: str
    data: TrainSet
    validation: HeldOut | None


@dataclass(frozen=True)
class Job:
    """One training, from its beginning or from where its checkpoint is.

    Attributes:
        is_trial: whether only what validation saw is wanted, and not the model.
    """

    recommender: RecommenderConfig
    training: TrainerConfig
    checkpoint: Path
    start: WarmStart | None = None
    is_trial: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a job; `warnings` are what was logged of it where it ran."""

    seen: Seen
    model: SavedModel | None = None
    warnings: tuple[str, ...] = ()


def run_job(shared: Shared, job: Job, on_epoch: Callable[[], None] = lambda: None) -> Outcome:
    """Train as a job says.

    Raises:
        ModelError: the training of a model broke down; of a trial the outcome says so.
    """
    given = (shared.data, shared.validation, FileCheckpoint(job.checkpoint), job.start, on_epoch)
    with gather_warnings() as warnings:
        try:
            model, history = train_model(SINGLE_PROCESS, job.recommender, job.training, *given)
        except ModelError as error:
            if not job.is_trial:
                raise
            return Outcome(Seen(error=str(error)), warnings=tuple(warnings))
    seen = Seen(max(history.best_value, 0.0), len(history.loss), history.seconds)
    if job.is_trial:
        return Outcome(seen, warnings=tuple(warnings))
    saved = saved_model(shared.model, job.recommender, job.training, shared.data, model, history)
    return Outcome(seen, saved, tuple(warnings))


@contextmanager
def gather_warnings() -> Iterator[list[str]]:
    """What this project warns of meanwhile, for whoever has begun this to log: nobody reads the log of a worker."""
    found: list[str] = []

    class Gather(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Gather(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("assets", "models", "storage")]
    before = [one.propagate for one in loggers]
    for one in loggers:
        one.addHandler(handler)
        one.propagate = False
    try:
        yield found
    finally:
        for one, propagates in zip(loggers, before, strict=True):
            one.removeHandler(handler)
            one.propagate = propagates
