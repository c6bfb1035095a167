"""Searches the hyper-parameters of every model under every loss, with the same number of trials and the same seconds.

What one search found is kept at once, so that a run that was broken off searches no model twice.
"""

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assets.core.settings import TuningSettings
from assets.training.baselines import COUNTED_SCORERS, DENSE
from assets.training.held_out import HeldOut
from assets.training.model_config import configure_model, free_space
from models.config import Loss
from models.model_spec import LEARNED
from models.ranking.ranking import Vectors
from models.training.build_and_fit import TrainSet, fit
from models.training.search_spaces import COUNTED_SPACES, STARTS, OneOf
from models.training.successive_halving import Budget, Look, Trial, best_of, search
from storage.files.atomic import publish_bytes
from storage.files.checksums import add_checksum, verify_checksum

logger = logging.getLogger(__name__)

# After one look the quick to learn stand before the good: on TikTok the gated model had 0.023 by the cosine after three
# epochs, and was dropped; in the end it has 0.048, where the dot product stops at 0.042.
FIRST_LOOKS = 2


@dataclass(frozen=True)
class Study:
    """The search for one model under one loss ("none" for models that are counted rather than learned)."""

    model: str
    loss: str
    trials: list[Trial]

    def rows(self) -> Iterator[dict[str, Any]]:
        """As the table `tuning` has them."""
        best = best_of(self.trials)
        for number, trial in enumerate(self.trials):
            yield {
                "model": self.model,
                "loss": self.loss,
                "trial": number,
                "values": json.dumps(trial.values, sort_keys=True),
                "validation_ndcg": trial.value,
                "epochs": trial.epochs,
                "seconds": trial.seconds,
                "ended": trial.ended,
                "chosen": trial is best,
            }


def studies(
    config: TuningSettings, data: TrainSet, validation: HeldOut, kept: Path, fingerprint: str, models: Iterable[str]
) -> Iterator[Study]:
    """The search for each of `models`, one after the other.

    Args:
        kept: a folder for what is found; a search that is there already, under the same `fingerprint`, is read.
    """
    for model, loss in pairs(config, models):
        key = hashlib.sha256(f"{fingerprint} {model} {loss}".encode()).hexdigest()[:16]
        path = kept / f"{model}-{loss}-{key}.json"
        if (found := _kept(path)) is not None:
            yield Study(model, loss, found)
            continue
        trials = study(config, model, loss, data, validation)
        if not trials:
            continue
        publish_bytes(path, add_checksum(json.dumps({"trials": [asdict(trial) for trial in trials]})))
        best = best_of(trials)
        logger.info(
            f"{model} {loss}: {len(trials)} trials in {sum(trial.seconds for trial in trials):,.0f} s, "
            f"validation NDCG@20 {best.value:.4f} with {json.dumps(best.values)}"
        )
        yield Study(model, loss, trials)


def _kept(path: Path) -> list[Trial] | None:
    """The trials of a search that was finished before; None where there was none, or it cannot be read."""
    if not path.exists():
        return None
    try:
        return [Trial(**trial) for trial in verify_checksum(path.read_bytes())["trials"]]
    except (OSError, ValueError, KeyError, TypeError):
        logger.warning(f"what was found by the search {path.stem} cannot be read; it is searched again")
        return None


def pairs(config: TuningSettings, models: Iterable[str]) -> list[tuple[str, str]]:
    """Every model with each of its losses."""
    return [(model, loss) for model in models for loss in (config.losses if model in LEARNED else ["none"])]


def study(config: TuningSettings, model: str, loss: str, data: TrainSet, validation: HeldOut) -> list[Trial]:
    """All trials of one model; none where it is not made for so many items, or no trials are asked for."""
    if not config.tuning_trials:
        return []
    if model in COUNTED_SPACES:
        too_large = model in DENSE and data.items > config.max_items
        return [] if too_large else grid(config, model, validation)
    assert loss in ("bpr", "softmax")
    return search_one(config, model, loss, data, validation)  # type: ignore[arg-type]


def search_one(config: TuningSettings, model: str, loss: Loss, data: TrainSet, validation: HeldOut) -> list[Trial]:
    """Trials of a learned model."""

    def run(values: Mapping[str, Any], epochs: int, look: Look) -> None:
        recommender, training = configure_model(model, loss, 0, config, values)
        looks = itertools.count(1)

        def validate(user_vectors: np.ndarray, item_vectors: np.ndarray) -> float:
            value = validation.ndcg(Vectors(user_vectors, item_vectors, recommender.score))
            look(min(next(looks) * training.evaluate_every, epochs), value)
            return value

        fit(recommender, training.model_copy(update={"max_epochs": epochs}), data, validate)

    first = FIRST_LOOKS * config.evaluate_every
    budget = Budget(config.tuning_trials, config.tuning_seconds, first, config.max_epochs)
    return search(free_space(model, loss, config), STARTS[loss], budget, config.tuning_seed, run)


def grid(config: TuningSettings, model: str, validation: HeldOut) -> list[Trial]:
    """Configurations of a model that is counted, in a seeded order: all of them, or as many as there are trials."""
    space = COUNTED_SPACES[model]
    choices = [options.values for options in space.values() if isinstance(options, OneOf)]
    every = list(itertools.product(*choices))
    order = np.random.default_rng(config.tuning_seed).permutation(len(every))
    trials: list[Trial] = []
    started = time.perf_counter()
    for chosen in (every[place] for place in order[: config.tuning_trials]):
        if trials and time.perf_counter() - started > config.tuning_seconds:
            break
        begun = time.perf_counter()
        values = dict(zip(space, chosen, strict=True))
        value = validation.ndcg(COUNTED_SCORERS[model](validation.train, **values))
        trials.append(Trial(values, value, 1, time.perf_counter() - begun, "complete"))
    return trials
