"""Makes one model that is counted rather than learned: finds its settings, and fits it once."""

import time
from collections.abc import Mapping
from typing import Any, cast

import pyarrow as pa

from assets.core.asset_context import AssetContext
from assets.core.asset_result import AssetResult
from assets.core.settings import EaseSettings, ItemKnnSettings
from assets.interactions.splits import VALIDATION, Parts
from assets.training.baselines import counted_fit, make_result
from assets.training.held_out import HeldOut
from assets.training.retune import earlier_search
from assets.training.search import grid
from storage.artifacts.saved_models import SavedModels


def fit_counted(context: AssetContext, config: EaseSettings | ItemKnnSettings, splits: pa.Table) -> AssetResult:
    """EASE or ItemKNN, with what the settings fix, else what a search finds or has found, else the defaults."""
    parts = Parts.of(splits)
    if isinstance(config, EaseSettings) and parts.items > config.max_items:
        return make_result(SavedModels((), f"{parts.items:,} items are over max_items ({config.max_items:,})"), 0.0)
    validation, earlier = HeldOut.of(parts, VALIDATION), earlier_search(context, config, parts)
    studies = list(earlier.studies.values())
    if not studies and config.tuning_trials:
        studies = [grid(config, context.asset, validation)]
    tuned: Mapping[str, Any] = studies[0].best.values if studies else {}
    free = {name: value for name, value in tuned.items() if name not in config.model_fields_set}
    started = time.perf_counter()
    fit = counted_fit(context.asset, validation, config.model_dump() | free)
    rows = tuple(row for study in studies for row in study.rows())
    made = make_result(SavedModels((fit,), trials=rows), time.perf_counter() - started)
    return AssetResult(made.value, cast(dict[str, Any], made.metadata) | earlier.describe(studies))
