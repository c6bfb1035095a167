"""reviews, items → interactions (k-core), item_index → splits."""

import hashlib
import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import dataset_asset
from assets.core.asset_result import AssetResult
from assets.core.effective_settings import require_possible, resolve_settings
from assets.core.reuse import CORE
from assets.core.settings import (
    PARTS,
    CoreSettings,
    IndexSettings,
    ModelSettings,
    SplitSettings,
)
from assets.interactions.build_core import core_interactions
from assets.interactions.splits import by_pair, leave_one_out_split, random_split, ratio_811_split, temporal_split
from models.model_spec import LEARNED
from storage.artifacts.tables import CodedReviews
from storage.errors import InputError

logger = logging.getLogger(__name__)


@dataset_asset(group="interactions", kinds={"numpy", "parquet"}, code_version="2", starts_numbering=True)
def interactions(context: AssetContext, config: CoreSettings, reviews: CodedReviews) -> AssetResult:
    """Who interacted with what: rating filter, one row a pair (the earliest), then the k-core; sorted by user."""
    from assets.interactions.interactions_preview import preview_degrees

    core = core_interactions(reviews, config)
    return AssetResult(core.stream(), core.funnel | preview_degrees(core.rows.user, core.rows.item))


@dataset_asset(group="interactions", kinds={"pyarrow", "parquet"}, code_version="2", starts_numbering=True)
def item_index(context: AssetContext, config: IndexSettings, interactions: pa.Table, items: pa.Table) -> AssetResult:
    """The number of every item: the core ordered by item_id; then, if asked for, items with metadata alone."""
    require_possible(context.dataset)
    core = pc.unique(interactions["item_id"]).sort()
    others = pa.array([], pa.string())
    if config.items == "all":
        described = items["item_id"].combine_chunks()
        others = described.filter(pc.invert(pc.is_in(described, value_set=core))).sort()
    ids = pa.concat_arrays([core, others])
    numbers = np.arange(len(ids), dtype=np.int32)
    table = pa.table({"item": numbers, "item_id": ids, "in_core": numbers < len(core)})
    without_metadata = len(core) - pc.sum(pc.is_in(core, value_set=items["item_id"].combine_chunks())).as_py()
    facts = {"core_items": len(core), "other_items": len(others), "without_metadata": without_metadata}
    facts |= outlook(context, interactions, items, ids)
    digest = hashlib.sha256("\n".join(core.to_pylist()).encode()).hexdigest()[:16]
    return AssetResult(table, facts, numbers={CORE: digest})


def outlook(context: AssetContext, interactions: pa.Table, items: pa.Table, ids: pa.Array) -> dict[str, Any]:
    """How much of the interactions the content covers, and what the run will take: said before any expensive work."""
    from assets.interactions.outlook import (
        FIT,
        IMAGE,
        PICTURE,
        SINGLE_FITS,
        TEXT,
        TRIAL,
        estimate_seconds,
        in_words,
        rates_here,
        shares,
    )

    config = resolve_settings(ModelSettings, context.dataset, {})[0]
    asked = [model for model in LEARNED if config.asks_for(model)]
    found, here, pairs = shares(interactions, items), rates_here(context.root), len(asked) * len(config.losses)
    there = items.filter(pc.is_in(items["item_id"], value_set=ids))
    pictures = pc.sum(pc.greater(pc.list_value_length(there["image_urls"]), 0)).as_py() or 0
    work = {PICTURE: pictures, IMAGE: pictures, TEXT: len(there)}
    fits = pairs * config.seeds + SINGLE_FITS
    searched = [model for model in asked if not search_is_kept(context, config, model, len(interactions))]
    trials = len(searched) * len(config.losses) * config.tuning_trials
    work |= {TRIAL: trials * len(interactions), FIT: fits * len(interactions)}
    seconds = estimate_seconds(work, here)
    words = in_words(found, seconds, here, len(interactions))
    logger.info(f"{context.dataset.name}: {words}")
    return {**found, "outlook": words}


def search_is_kept(context: AssetContext, config: ModelSettings, model: str, rows: int) -> bool:
    """Whether settings of a model will likely not be searched anew: other settings than before would change that."""
    last = context.root.find_manifest(model, context.dataset.name)
    found: Any = last.facts.get("found") if last else None
    if not found or config.retune == "always":
        return False
    return config.retune == "never" or abs(rows - found["interactions"]) * PARTS < found["interactions"]


@dataset_asset(group="interactions", kinds={"numpy", "parquet"}, code_version="2", core_alone=True)
def splits(context: AssetContext, config: SplitSettings, interactions: pa.Table, item_index: pa.Table) -> AssetResult:
    """Which interactions are for training, for validation and for the test, by the rule `split`."""
    core = item_index.filter(item_index["in_core"])["item_id"].combine_chunks()
    if not interactions["item_id"].combine_chunks().equals(core.take(interactions["item"].combine_chunks())):
        raise InputError("item_index was made from other interactions than there are now; materialize item_index again")
    user, item, timestamp = (interactions[name].to_numpy() for name in ("user", "item", "timestamp"))
    order = by_pair(user, item)
    split = np.empty(len(user), dtype=np.int8)
    match config.split:
        case "random":
            split[order] = random_split(user[order], config.split_seed)
        case "ratio_811":
            split[order] = ratio_811_split(user[order], config.split_seed)
        case "leave_one_out":
            split = leave_one_out_split(user, timestamp)
        case "temporal":
            split = temporal_split(timestamp, config.split_points)
    counts = np.bincount(split, minlength=3)
    if not counts.all():
        raise InputError(
            f"split {config.split!r} leaves train, validation and test with {counts.tolist()} interactions; "
            "none may be empty"
        )
    table = pa.table({"user": interactions["user"], "item": interactions["item"], "split": split})
    in_train = np.bincount(user[split == 0], minlength=user.max() + 1) > 0
    facts = dict(zip(("train", "validation", "test"), counts.tolist(), strict=True))
    return AssetResult(table, {**facts, "users_without_train_items": int((~in_train).sum())})
