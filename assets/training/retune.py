"""Whether the settings that a search has found are kept for a new dump."""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from assets.core.asset_context import AssetContext
from assets.core.asset_result import AssetResult
from assets.core.settings import PARTS, TuningSettings
from assets.interactions.splits import Parts
from storage.artifacts.tables import read_table

DAY_MS = 86_400_000
MOST_DAYS = {"new_core": 90, "monthly": 30}
SIZES = ("interactions", "users", "items")
# What the search depends on besides the rows: where one of these was made with other settings, it is searched anew.
PROTOCOL = ("interactions", "splits", "image_embeddings", "text_embeddings", "item_graph")


def found_now(context: AssetContext, parts: Parts) -> dict[str, Any]:
    """When, on how much, and under which settings a search is made: facts of the table `tuning`."""
    recipe = context.recipe
    assert recipe is not None
    upstream = [context.manifest(asset).recipe for asset in PROTOCOL]
    protocol = [(one.code_version, one.settings) for one in upstream]
    own = (recipe.code_version, recipe.settings, recipe.fixed)
    digest = hashlib.sha256(json.dumps([protocol, own], sort_keys=True, default=str).encode()).hexdigest()[:16]
    sizes = dict(zip(SIZES, (len(parts.user), parts.users, parts.items), strict=True))
    return {"at": time.time_ns() // 1_000_000, "protocol": digest, **sizes}


def why_searched(found: Mapping[str, Any] | None, now: Mapping[str, Any], retune: str) -> str | None:
    """Why settings have to be searched anew; None where those that were found are kept.

    Args:
        found: the facts of the search before, now: those of one that would be made now; see `found_now`.
    """
    if not found:
        return "nothing was searched before"
    if found["protocol"] != now["protocol"]:
        return "it was searched under other settings"
    if retune == "always":
        return "retune is 'always'"
    if retune == "never":
        return None
    days = (now["at"] - found["at"]) / DAY_MS
    if days > MOST_DAYS[retune]:
        return f"the search before is {days:.0f} days old"
    for size in SIZES:
        change = now[size] - found[size]
        if abs(change) * PARTS >= found[size]:
            return f"the core has {change / found[size]:+.0%} {size} since the search before"
    return None


def keep_settings(context: AssetContext, config: TuningSettings, now: Mapping[str, Any]) -> AssetResult | str:
    """The table `tuning` as it was, if its settings are kept; else why they are searched anew."""
    last = None if config.force else context.root.find_sound("tuning", context.dataset.name)
    found: Any = last.facts.get("found") if last else None
    if reason := why_searched(found, now, config.retune):
        return reason
    assert last is not None
    days = (now["at"] - found["at"]) / DAY_MS
    rows = f"{found['interactions']:,} interactions"
    kept = f"settings found {days:.0f} days ago on {rows} are kept (retune: {config.retune})"
    return AssetResult(
        read_table(context.root.artefact(last)), {"found": found, "kept": kept, "trials": 0, "search_s": 0.0}
    )
