"""The search for a model's hyper-parameters by successive halving: the same trials and epochs for every model.

Karnin, Koren and Somekh, "Almost Optimal Exploration in Multi-Armed Bandits", ICML 2013; Jamieson and Talwalkar, "Non-
stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016: all configurations are trained for a
few epochs, the better third for three times as many, and so on. What is tried is a scrambled Sobol sequence, which few
points cover a space with evenly.

No clock has a say, and a rung ends before the next one begins: so a search finds the same on a busy machine, and
however many of its trainings run side by side.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from models.errors import ModelError
from models.training.search_spaces import Between, OneOf, Space

REDUCTION = 3


@dataclass(frozen=True)
class Budget:
    """What one search may cost.

    Attributes:
        trials: configurations tried.
        first_epochs: epochs of every configuration at first; last_epochs: of the one or two that are left.
    """

    trials: int
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
        number: its place in the order of proposal.
        values: what was tried, by setting.
        value: the best validation metric that it showed.
        epochs: how far it was trained; seconds: what all of its trainings took.
        ended: whether it was among the last ones, was worse than others, or broke down.
        error: why it broke down.
    """

    number: int
    values: dict[str, Any]
    value: float = 0.0
    epochs: int = 0
    seconds: float = 0.0
    ended: Literal["complete", "worse", "failed"] = "complete"
    error: str = ""


@dataclass(frozen=True)
class Seen:
    """What came of training a trial as far as it was asked for, from its beginning on: the fields of `Trial`."""

    value: float = 0.0
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""


Rungs: TypeAlias = Generator[list[tuple[Trial, int]], Sequence[Seen], list[Trial]]


def search(space: Space, starts: Sequence[dict[str, Any]], budget: Budget, seed: int) -> Rungs:
    """Try configurations of `space`, the `starts` first.

    Yields the trials of every rung, each with the epochs that it is to be trained for, counted from its beginning: who
    trains it goes on where it was. What is sent back says what came of each.

    Args:
        starts: values of settings; those outside of `space` are ignored, those missing are drawn.

    Returns:
        All trials, in the order of their proposal.

    Raises:
        ModelError: every trial broke down.
    """
    if not space:
        budget = replace(budget, trials=1)
    trials = [Trial(n, values) for n, values in enumerate(proposals(space, starts, budget.trials, seed))]
    alive = list(trials)
    for count, epochs in budget.rungs():
        alive.sort(key=lambda trial: -trial.value)
        for trial in alive[count:]:
            trial.ended = "worse"
        alive = alive[:count]
        for trial, seen in zip(alive, (yield [(trial, epochs) for trial in alive]), strict=True):
            trial.value, trial.epochs, trial.seconds = seen.value, seen.epochs, seen.seconds
            if seen.error:
                trial.ended, trial.error = "failed", seen.error
        alive = [trial for trial in alive if trial.ended != "failed"]
        if not alive:
            break
    if all(trial.ended == "failed" for trial in trials):
        raise ModelError(f"no configuration that was tried came to a look at validation: {trials[0].error}")
    return trials


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the best validation metric, the earliest of equals; none that broke down."""
    return max((trial for trial in trials if trial.ended != "failed"), key=lambda trial: trial.value)


def proposals(space: Space, starts: Sequence[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """`count` configurations: the starts, filled up with drawn values, then points of a scrambled Sobol sequence."""
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    given = [{name: value for name, value in start.items() if name in space} for start in starts[:count]]
    filled = [_at(space, rng.random(len(space))) | start for start in given]
    wanted = count - len(filled)
    if not space or not wanted:
        return filled + [{} for _ in range(wanted)]
    points = qmc.Sobol(len(space), rng=rng).random_base2((wanted - 1).bit_length())
    return filled + [_at(space, point) for point in points[:wanted]]


def _at(space: Space, point: np.ndarray) -> dict[str, Any]:
    """The configuration at a point of the unit cube, float64 [settings]."""
    return {name: _scaled(options, float(share)) for (name, options), share in zip(space.items(), point, strict=True)}


def _scaled(options: Between | OneOf, share: float) -> Any:
    if isinstance(options, Between):
        return options.low * (options.high / options.low) ** share
    return options.values[int(share * len(options.values))]
