"""Whether the settings that a model's search has found are kept for a new dump, and what is kept of a search."""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from assets.core.asset_context import AssetContext
from assets.core.asset_result import markdown
from assets.core.settings import PARTS, SearchSettings
from assets.interactions.splits import Parts
from assets.training.search import Study, studies_of
from storage.artifacts.saved_models import read_trials

logger = logging.getLogger(__name__)

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
class EarlierSearch:
    """What is known of the settings of a model before it is made.

    Attributes:
        studies: by loss, those of an earlier search that are kept; none if settings are searched anew.
        found: see `found_now`; of the search that is kept, or of the one that is made now.
        kept: why settings are kept; "" if they are not.
    """

    studies: dict[str, Study]
    found: dict[str, Any]
    kept: str = ""

    def describe(self, studies: Sequence[Study]) -> dict[str, Any]:
        """The facts that are kept with the model: those that a later run asks for, and what a person sees.

        Args:
            studies: those that the model was made with, kept or new; none where nothing is searched.
        """
        if not studies:
            return {}
        seconds = {study.loss: study.seconds for study in studies}
        facts: dict[str, Any] = {"found": self.found, "trial_seconds": seconds}
        facts |= {"trials": markdown(trials_table(studies))}
        if self.kept:
            return facts | {"kept": self.kept, "trials_of_this_run": 0, "search_s": 0.0}
        return facts | {
            "trials_of_this_run": sum(map(len, seconds.values())), "search_s": sum(map(sum, seconds.values()))
        }  # fmt: skip


def earlier_search(context: AssetContext, config: SearchSettings, parts: Parts) -> EarlierSearch:
    """What an earlier search has found for a model, if it is kept as the setting `retune` says."""
    now = found_now(context, parts)
    last = None if config.force else context.root.find_sound(context.asset, context.dataset.name)
    found: Any = last.facts.get("found") if last else None
    if last is None or (reason := why_searched(found, now, config.retune)):
        reason = reason if last else "there is no model before, or force asks for it anew"
        logger.info(f"{context.asset} {context.dataset.name}: {reason}, so settings are searched")
        return EarlierSearch({}, now)
    studies = studies_of(read_trials(context.root.artefact(last)), cast(dict[str, Any], last.facts["trial_seconds"]))
    days, rows = (now["at"] - found["at"]) / DAY_MS, f"{found['interactions']:,} interactions"
    kept = f"settings found {days:.0f} days ago on {rows} are kept (retune: {config.retune})"
    logger.info(f"{context.asset} {context.dataset.name}: {kept}")
    return EarlierSearch(studies, found, kept)


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
