"""Whether the models that were trained last take the place of those that are served."""

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from assets.settings import PromotionSettings
from models.zoo import BEST_MODEL
from storage.errors import InputError
from storage.layout import Manifest
from storage.releases import Pointer, Release

MEASURED = "validation_ndcg@20"


def validation_of(model: Manifest) -> float:
    """Validation NDCG@20 of a trained model under its better loss, the mean over its seeds."""
    values: dict[str, list[float]] = defaultdict(list)
    for fact, value in model.facts.items():
        measure, _, fit = fact.partition("/")
        if measure == MEASURED:
            values[fit.rpartition("-")[0]].append(float(str(value)))
    return max((float(np.mean(of_loss)) for of_loss in values.values()), default=0.0)


def candidate(dataset: str, models: Mapping[str, Manifest]) -> Release:
    """The models that were trained last, as a release.

    Raises:
        InputError: the best of them has no validation metric that is a number.
    """
    validation = validation_of(models[BEST_MODEL])
    if not math.isfinite(validation):
        raise InputError(f"{BEST_MODEL} has no NDCG@20 on validation that is a number; train it again")
    return Release.of(dataset, validation, dict(models))


def chosen(new: Release, served: Release | None, pointer: Pointer | None, config: PromotionSettings) -> Release:
    """The release to serve: the new one, but for one that a person took back, which stays back unless `force` is set.

    Raises:
        InputError: the new one's validation metric has collapsed against the one that is served.
    """
    if served is None or pointer is None or new.version == served.version or config.force:
        return new
    if new.version in pointer.withdrawn:
        return served
    least = (1 - config.max_validation_drop) * served.validation
    if not new.validation >= least:
        raise InputError(
            f"{BEST_MODEL} reaches {new.validation:.4f} NDCG@20 on validation, below max_validation_drop from the "
            f"{served.validation:.4f} of the promoted one, which stays; force promotes it all the same"
        )
    return new
