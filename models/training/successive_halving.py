"""The search for a model's hyper-parameters by successive halving: the same trials and seconds for every model.

Karnin, Koren and Somekh, "Almost Optimal Exploration in Multi-Armed Bandits", ICML 2013; Jamieson and Talwalkar, "Non-
stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016: all configurations are trained for a
few epochs, the better third for three times as many, and so on. What is tried comes from `optuna`: a scrambled Sobol
sequence, which few points cover a space with evenly.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from models.errors import ModelError
from models.training.search_spaces import Between, Space

Look = Callable[[int, float], None]
Run = Callable[[dict[str, Any], int, Look], None]
REDUCTION = 3


@dataclass(frozen=True)
class Budget:
    """What one search may cost.

    Attributes:
        trials: configurations tried.
        seconds: each rung of the ladder has an equal part of them, and what those before it left. When they are over no
            training of the rung is begun, and the one in progress ends at its next look at validation.
        first_epochs: epochs of every configuration at first; last_epochs: of the one or two that are left.
    """

    trials: int
    seconds: float
    first_epochs: int
    last_epochs: int

    def rungs(self) -> Iterator[tuple[int, int]]:
        """How many configurations are trained for how many epochs: a third for three times as many, step by step.

        The one or two that are left are trained for `last_epochs`.
        """
        trials, epochs = self.trials, min(self.first_epochs, self.last_epochs)
        while trials > 2 and epochs < self.last_epochs:
            yield trials, epochs
            trials, epochs = -(-trials // REDUCTION), min(epochs * REDUCTION, self.last_epochs)
        yield trials, self.last_epochs


@dataclass
class Trial:
    """One configuration that was tried.

    Attributes:
        values: what was tried, by setting.
        value: the best validation metric that it showed.
        epochs: how far it was trained.
        ended: whether it was among the last ones, was worse than others, was cut by the clock, or broke down.
        error: why it broke down.
    """

    values: dict[str, Any]
    value: float = 0.0
    epochs: int = 0
    seconds: float = 0.0
    ended: Literal["complete", "worse", "time", "failed"] = "time"
    error: str = ""


class _TimeIsUp(Exception):  # noqa: N818
    """A rung of the search has used its seconds."""


def search(space: Space, starts: Sequence[dict[str, Any]], budget: Budget, seed: int, run: Run) -> list[Trial]:
    """Try configurations of `space`, the `starts` first.

    Args:
        starts: values of settings; those outside of `space` are ignored, those missing are drawn.
        run: trains with some values for so many epochs, from the beginning, and calls back at every look with the
            epoch and the validation metric.

    Returns:
        All trials, in the order of their proposal.

    Raises:
        ModelError: no trial came to a look.
    """
    if not space:
        budget = replace(budget, trials=1)
    trials = [Trial(values) for values in proposals(space, starts, budget.trials, seed)]
    started, alive, rungs = time.perf_counter(), list(trials), list(budget.rungs())
    for rung, (count, epochs) in enumerate(rungs, start=1):
        alive.sort(key=lambda trial: -trial.value)
        for trial in alive[count:]:
            if trial.ended == "complete":
                trial.ended = "worse"
        alive = _trained(alive[:count], epochs, started + budget.seconds * rung / len(rungs), run)
    tried = [trial for trial in trials if trial.epochs or trial.ended == "failed"]
    if not any(trial.epochs and trial.ended != "failed" for trial in tried):
        why = next((f": {trial.error}" for trial in tried if trial.error), "; raise 'tuning_seconds'")
        raise ModelError(f"tuning came to no look at validation{why}")
    return tried


def _trained(trials: list[Trial], epochs: int, ends: float, run: Run) -> list[Trial]:
    """Train configurations one after the other until the clock shows `ends`; those that go on.

    What was not begun before is out, unless nothing was: then no time was left to tell them apart by.
    """
    begun = 0
    for trial in trials:
        trial.ended = "time"
    for trial in trials:
        if time.perf_counter() > ends:
            break
        _train(trial, epochs, ends, run)
        begun += 1
    return [trial for trial in trials[: begun or None] if trial.ended != "failed"]


def _train(trial: Trial, epochs: int, ends: float, run: Run) -> None:
    """Train one configuration for `epochs`, and note what came of it."""
    begun = time.perf_counter()

    def look(epoch: int, value: float) -> None:
        trial.value, trial.epochs = max(trial.value, value), max(trial.epochs, epoch)
        if epoch < epochs and time.perf_counter() > ends:
            raise _TimeIsUp

    try:
        run(trial.values, epochs, look)
        trial.ended = "complete"
    except _TimeIsUp:
        pass
    except ModelError as error:  # such as scores that are no numbers
        trial.ended, trial.error = "failed", str(error)
    finally:
        trial.seconds += time.perf_counter() - begun


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the best validation metric, the earliest of equals; none that broke down."""
    return max((trial for trial in trials if trial.ended != "failed"), key=lambda trial: trial.value)


def proposals(space: Space, starts: Sequence[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """`count` configurations: the starts, filled up with drawn values, then drawn ones."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    study = optuna.create_study(sampler=sampler)
    ranges: dict[str, Any] = {}
    for name, options in space.items():
        if isinstance(options, Between):
            ranges[name] = optuna.distributions.FloatDistribution(options.low, options.high, log=True)
        else:
            ranges[name] = optuna.distributions.CategoricalDistribution(options.values)
    for values in starts[:count]:
        study.enqueue_trial({name: value for name, value in values.items() if name in space})
    return [dict(study.ask(ranges).params) for _ in range(count)]
