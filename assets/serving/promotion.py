"""Whether the model that was fitted last takes the place of the one that is served."""

import math
from collections.abc import Mapping

from assets.core.settings import PromotionSettings
from storage.artifacts.manifest import Manifest
from storage.artifacts.releases import Pointer, Release
from storage.errors import InputError


def candidate(dataset: str, model: str, validation: float, models: Mapping[str, Manifest]) -> Release:
    """The models that were fitted last, as a release.

    Args:
        model: the name of the chosen one, and its NDCG@20 on validation.

    Raises:
        InputError: the validation metric is no number.
    """
    if not math.isfinite(validation):
        raise InputError(f"{model} has no NDCG@20 on validation that is a number; train it again")
    return Release.of(dataset, validation, dict(models), model)


def chosen(
    new: Release, served: Release | None, pointer: Pointer | None, config: PromotionSettings, named: bool = False
) -> Release:
    """The release to serve: the new one, but for one that a person took back, which stays back unless `force` is set.

    Args:
        named: whether the settings say which models may be served: then another one than before may be worse.

    Raises:
        InputError: the new one's validation metric has collapsed against the one that is served.
    """
    if served is None or pointer is None or new.version == served.version or config.force:
        return new
    if new.version in pointer.withdrawn:
        return served
    if named and new.model != served.model:
        return new
    least = (1 - config.max_validation_drop) * served.validation
    if not new.validation >= least:
        raise InputError(
            f"{new.model} reaches {new.validation:.4f} NDCG@20 on validation, below max_validation_drop from the "
            f"{served.validation:.4f} of the promoted one, which stays; force promotes it all the same"
        )
    return new
