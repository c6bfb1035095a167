"""The dataset in numbers: what each step from the dump to the graph has left, the long tail, and missing modalities."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assets.evaluation.report.findings import Findings
from storage.artifacts.manifest import Manifest
from storage.images.statuses import OK


@dataclass(frozen=True)
class Step:
    """What one step has left, and what it did."""

    name: str
    left: int
    about: str = ""


def funnel(reviews: Manifest, interactions: Manifest, splits: Manifest) -> list[Step]:
    """From the records of the dump to the edges of the graph; the rating filter stands there only where it is on."""
    sound, core, parts = (_counts(manifest) for manifest in (reviews, interactions, splits))
    settings = interactions.recipe.settings
    read = core["reviews"]
    rejected = sound["rejected_rows"] + sound["duplicate_rows"]
    steps = [Step("records in the dump", read + rejected), Step("valid reviews", read, f"{rejected:,} rejected")]
    if settings["min_rating"] is not None:
        steps.append(Step("rated well enough", core["after_rating_filter"], f"at least {settings['min_rating']}"))
    return [
        *steps,
        Step("duplicates removed", core["after_deduplication"], "the earliest is kept"),
        Step(
            "in the core",
            core["in_core"],
            f"at least {settings['user_core']} a user and {settings['item_core']} an item",
        ),
        Step(
            "train: edges of the graph",
            parts["train"],
            f"held out: {parts['validation']:,} for validation, {parts['test']:,} for the test",
        ),
    ]


def _counts(manifest: Manifest) -> dict[str, int]:
    return {name: value for name, value in manifest.facts.items() if isinstance(value, int)}


def counted_rows(lineage: Sequence[Manifest], fact: str) -> Iterator[tuple[str, str, int]]:
    """What each asset counts under `fact`, by asset, and of each the most frequent first."""
    for manifest in lineage:
        counts = manifest.facts.get(fact)
        if isinstance(counts, dict):
            for what, count in sorted(counts.items(), key=lambda found: -found[1]):
                yield manifest.asset, what, count


def placeholder_rows(lineage: Sequence[Manifest]) -> Iterator[tuple[str, str, int]]:
    """Pictures that likely stand for none: SHA-256, a URL, and how many items have it as their first."""
    for manifest in lineage:
        found = manifest.facts.get("likely_placeholders")
        if isinstance(found, dict):
            for sha256, about in found.items():
                yield sha256, about["url"], about["items"]


def undescribed(item_index: Manifest) -> str:
    """How many items of the core are in no metadata, as a sentence; "" where there is none."""
    facts = _counts(item_index)
    without, core = facts["without_metadata"], facts["core_items"]
    if not without:
        return ""
    return f"{without:,} of {core:,} items of the core are in no metadata, so these have neither text nor picture."


def dataset_numbers(findings: Findings) -> list[tuple[str, str]]:
    """The core in numbers, as (what, how many)."""
    parts = findings.parts
    popularity = np.bincount(parts.item, minlength=parts.items)
    unknown = findings.manifest("splits").facts["users_without_train_items"]
    return [
        ("users", f"{parts.users:,}"),
        ("items", f"{parts.items:,}"),
        ("interactions", f"{len(parts.user):,}"),
        ("sparsity", f"{1 - len(parts.user) / (parts.users * parts.items):.2%}"),
        ("interactions a user, median", f"{np.median(np.bincount(parts.user)):g}"),
        ("interactions an item, median", f"{np.median(popularity):g}"),
        ("share of the most popular tenth of the items", f"{share_of_top(popularity, 0.1):.0%}"),
        ("items that have half of all interactions", f"{items_with_half(popularity):,}"),
        ("users without anything in train", f"{unknown:,}"),
        ("items without anything in train", f"{(findings.popularity() == 0).sum():,}"),
    ]


def share_of_top(popularity: np.ndarray, part: float) -> float:
    """The share of all interactions that the most popular `part` of the items has, of at least one item."""
    most = np.sort(popularity)[::-1][: max(int(len(popularity) * part), 1)]
    return float(most.sum() / popularity.sum())


def items_with_half(popularity: np.ndarray) -> int:
    """How many of the most popular items together have half of all interactions."""
    covered = np.cumsum(np.sort(popularity)[::-1])
    return int(np.searchsorted(covered, popularity.sum() / 2) + 1)


def modality_rows(items: pd.DataFrame, popularity: np.ndarray) -> list[tuple[str, int, float, float]]:
    """What items have: (which views, items, their share of the items, their share of the train interactions).

    Args:
        items: as `item_frame` makes it, of the core alone; popularity: int [items].
    """
    picture, text = items["has_picture"].to_numpy(), items["has_text"].to_numpy()
    kinds = {
        "picture and text": picture & text,
        "picture alone": picture & ~text,
        "text alone": ~picture & text,
        "neither": ~picture & ~text,
    }
    total = max(int(popularity.sum()), 1)
    return [
        (name, int(there.sum()), float(there.mean()), float(popularity[there].sum() / total))
        for name, there in kinds.items()
    ]


def missing_pictures(items: pd.DataFrame) -> list[tuple[str, int]]:
    """Why items have no picture, and how many, the most frequent first."""
    lacking = items.loc[items["status"] != OK, "status"]
    return [(str(status), int(count)) for status, count in lacking.value_counts().items()]
