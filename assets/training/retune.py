"""Whether the settings that a model's search has found are kept for a new dump, and what is kept of a search."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from assets.core.asset_context import AssetContext
from assets.core.asset_result import markdown
from assets.core.settings import PARTS, SearchSettings
from assets.interactions.splits import Parts
from assets.training.search import Study, studies_of
from storage.artifacts.saved_models import read_trials

DAY_MS = 86_400_000
MOST_DAYS = {"new_core": 90, "monthly": 30}
SIZES = ("interactions", "users", "items")
# Settings of a model that its search does not depend on.
AFTER_SEARCH = {"seeds"}


def found_now(context: AssetContext, parts: Parts) -> dict[str, Any]:
    """When, on how much, and under which settings the settings of a model are searched."""
    recipe = context.recipe
    assert recipe is not None
    upstream = [context.manifest(asset).recipe for asset in ("interactions", *sorted(recipe.inputs))]
    protocol = [(one.code_version, one.settings) for one in upstream]
    settings = {name: value for name, value in recipe.settings.items() if name not in AFTER_SEARCH}
    own = (recipe.code_version, settings, [name for name in recipe.fixed if name not in AFTER_SEARCH])
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


@dataclass(frozen=True)
class Kept:
    """What an earlier search has found, and is used again: its studies by loss, and the facts that said so then."""

    studies: dict[str, Study]
    found: dict[str, Any]
    reason: str


def kept_search(context: AssetContext, config: SearchSettings, now: Mapping[str, Any]) -> Kept | str:
    """What the version before of a model was trained with, if it is kept; else why settings are searched anew."""
    last = None if config.force else context.root.find_sound(context.asset, context.dataset.name)
    found: Any = last.facts.get("found") if last else None
    if reason := why_searched(found, now, config.retune):
        return reason
    assert last is not None
    rows = read_trials(context.root.artefact(last))
    days = (now["at"] - found["at"]) / DAY_MS
    reason = (
        f"settings found {days:.0f} days ago on {found['interactions']:,} interactions are kept "
        f"(retune: {config.retune})"
    )
    return Kept(studies_of(rows, cast(dict[str, list[float]], last.facts["trial_seconds"])), found, reason)


def describe_search(studies: Iterable[Study], found: Mapping[str, Any], kept: str = "") -> dict[str, Any]:
    """The facts of a search that are kept with its model: those that a later run asks for, and what a person sees.

    Args:
        found: see `found_now`; kept: why the settings of an earlier search are used, if they are.
    """
    every = list(studies)
    seconds = {study.loss: study.seconds for study in every}
    searched = 0 if kept else sum(map(len, seconds.values()))
    facts = {"found": dict(found), "trial_seconds": seconds, "trials_of_this_run": searched}
    facts["search_s"] = 0.0 if kept else sum(map(sum, seconds.values()))
    if every:
        facts["trials"] = markdown(trials_table(every))
    return facts | ({"kept": kept} if kept else {})


def trials_table(studies: Iterable[Study]) -> str:
    """All trials as a table in Markdown, those of a loss together, the best first."""
    lines = ["| loss | NDCG@20 on validation | epochs | seconds | ended | settings |", "|---|---|---|---|---|---|"]
    for study in studies:
        for trial in sorted(study.trials, key=lambda one: (one.ended == "failed", -one.value)):
            values = ", ".join(
                f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in trial.values.items()
            )
            ended = "chosen" if trial is study.best else trial.ended
            figures = f"{trial.value:.4f} | {trial.epochs} | {trial.seconds:.1f}"
            lines.append(f"| {study.loss} | {figures} | {ended} | {values} |")
    return "\n".join(lines)
