"""What a run is worth and what it will take, said before pictures are fetched, encoders run and models are trained."""

import os
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.errors import InputError

# Seconds of one unit on one core, from docs/scale.md and a search of the sample, for a machine that has measured none.
PICTURE, IMAGE, TEXT, TRIAL, FIT = "fetching pictures", "encoding pictures", "encoding texts", "search", "training"
ELSEWHERE = {PICTURE: 1 / 227, IMAGE: 1 / 16.4, TEXT: 1 / 77, TRIAL: 8e-5, FIT: 2e-4}
ON_ALL_CORES = {IMAGE, TEXT}
SIDE_BY_SIDE = {TRIAL, FIT}  # each on one core, and as many as there are at a time
SINGLE_FITS = 4  # of the served model, of that which places new items, and of both without the items held out
LEAST = 100  # units, below which a rate says nothing
RATED = ("item_images", "image_embeddings", "text_embeddings", "lightgcn", "gated_lightgcn")


def shares(interactions: pa.Table, items: pa.Table) -> dict[str, float]:
    """Of all interactions, the share whose item the metadata know, name a picture of, and have a text of."""
    item_ids, wanted = interactions["item_id"].combine_chunks(), items["item_id"].combine_chunks()
    with_picture = wanted.filter(pc.greater(pc.list_value_length(items["image_urls"]), 0).combine_chunks())
    with_text = wanted.filter(pc.not_equal(items["text"], "").combine_chunks())
    sets = {"described": wanted, "with_picture": with_picture, "with_text": with_text}
    return {
        f"orders_{name}": float(np.mean(pc.is_in(item_ids, value_set=ids).to_numpy(zero_copy_only=False)))
        for name, ids in sets.items()
    }


def rates_here(root: DataRoot) -> dict[str, float]:
    """Seconds of one unit of each kind of work, by the median over what lies below this data root."""
    found: dict[str, list[float]] = {}
    root = DataRoot(root.root)  # what lies here: no other dataset is fetched for this
    for asset in RATED:
        for path in (root.root / asset).glob("*.manifest.json"):
            name = path.name.removesuffix(".manifest.json")
            try:
                manifest = root.find_manifest(asset, name)
            except InputError:  # whoever reads it for good says so
                continue
            for kind, rate in _rates_of(manifest) if manifest else ():
                found.setdefault(kind, []).append(rate)
    return {kind: median(rates) for kind, rates in found.items()}


def _rates_of(made: Manifest) -> Iterator[tuple[str, float]]:
    facts: Mapping[str, Any] = made.facts
    if made.asset == "item_images" and facts.get("asked", 0) >= LEAST:
        yield PICTURE, made.seconds / facts["asked"]
    if made.asset in ("image_embeddings", "text_embeddings") and facts.get("encoded", 0) >= LEAST:
        yield IMAGE if made.asset == "image_embeddings" else TEXT, made.seconds / facts["encoded"]
    if trials := [seconds for of_loss in facts.get("trial_seconds", {}).values() for seconds in of_loss]:
        yield TRIAL, sum(trials) / len(trials) / facts["found"]["interactions"]
    rows = facts.get("train_rows")
    if rows and facts.get("train_s"):
        yield FIT, median(facts["train_s"].values()) / rows


def estimate_seconds(work: Mapping[str, float], here: Mapping[str, float]) -> dict[str, float]:
    """Seconds by kind of work.

    Args:
        work: units by kind: pictures, texts, trials times interactions, fits times interactions.
        here: rates of this machine, see `rates_here`; another machine's stand in for those that are missing.
    """
    cores = os.cpu_count() or 1
    seconds = {}
    for kind, units in work.items():
        other = ELSEWHERE[kind] / (cores if kind in ON_ALL_CORES else 1)
        seconds[kind] = units * here.get(kind, other) / (cores if kind in SIDE_BY_SIDE else 1)
    return seconds


def in_words(found: Mapping[str, float], seconds: Mapping[str, float], here: Mapping[str, float], orders: int) -> str:
    """Both as one sentence."""
    parts = ", ".join(f"{kind} {_duration(value)}" for kind, value in seconds.items())
    whole = _duration(sum(seconds.values()))
    elsewhere = [kind for kind in seconds if kind not in here]
    by = "rates measured below this data root"
    if len(elsewhere) == len(seconds):
        by = "rates of another machine, for none were measured here yet"
    elif elsewhere:
        by = f"{by}; for {', '.join(elsewhere)} by those of another machine"
    return (
        f"{found['orders_described']:.1%} of the {orders:,} interactions are of items that the metadata know, "
        f"{found['orders_with_picture']:.1%} of items that name a picture, {found['orders_with_text']:.1%} of items "
        f"that have a text; what follows takes about {whole} ({parts}), by {by}; what "
        f"is there already costs nothing"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
