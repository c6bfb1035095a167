"""Variants of a dataset: what runs with settings of their own have made, beside what is published.

data/ASSET/DATASET@VARIANT…            what a variant has made itself
data/variants/DATASET@VARIANT.json     the settings that it was made with
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pydantic

from storage.artifacts.data_root import DataRoot
from storage.errors import InputError

logger = logging.getLogger(__name__)

FOLDER = "variants"
RunSettings = Mapping[str, Mapping[str, Any]]  # by asset and name


class Variant(pydantic.BaseModel):
    """One variant of a dataset.

    Attributes:
        settings: those that its run was given, by asset and name.
        made_at: when its last run began, in ms since the epoch.
    """

    name: str = pydantic.Field(pattern=r"^[0-9a-f]{8}$")
    dataset: str
    settings: dict[str, dict[str, Any]]
    run: str
    made_at: int

    @property
    def key(self) -> str:
        return f"{self.dataset}@{self.name}"

    def in_words(self) -> str:
        """Its settings as a person writes them."""
        return ", ".join(
            f"{asset}.{name} {json.dumps(value)}"
            for asset, given in self.settings.items()
            for name, value in given.items()
        )


def variant_name(settings: RunSettings) -> str:
    """The name of the variant that some settings make: the same for the same settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:8]


def register(root: DataRoot, dataset: str, settings: RunSettings, run: str) -> Variant:
    """Write down what the variant of `root` is made with."""
    given = {asset: dict(values) for asset, values in settings.items()}
    variant = Variant(name=root.variant, dataset=dataset, settings=given, run=run, made_at=time.time_ns() // 1_000_000)
    root.publish_bytes(root.path(FOLDER, dataset, ".json"), variant.model_dump_json(indent=1).encode())
    return variant


def find_variants(root: DataRoot, dataset: str) -> list[Variant]:
    """The variants of a dataset, the last first; a file that cannot be read is left out, with a warning."""
    root.pull(dataset)
    found = []
    for path in (root.root / FOLDER).glob(f"{dataset}@*.json"):
        try:
            variant = Variant.model_validate_json(path.read_bytes())
            if f"{variant.key}.json" != path.name:
                raise ValueError("it is of another variant")
            found.append(variant)
        except (OSError, ValueError) as error:
            logger.warning(f"{root.shown(path)} cannot be read ({type(error).__name__}); it is left out")
    return sorted(found, key=lambda one: -one.made_at)


def keep_last(root: DataRoot, dataset: str, count: int) -> list[Variant]:
    """Delete all variants of a dataset but those made last; those that went."""
    gone = find_variants(root, dataset)[count:]
    for variant in gone:
        forget(root, variant)
    return gone


def forget(root: DataRoot, variant: Variant) -> None:
    """Delete everything that a variant has made; its settings go last, so that a break-off can be gone on from."""
    own = replace(root, variant=variant.name)
    name = own.name(variant.dataset)
    for path in sorted(root.root.glob(f"[!.]*/{name}*")):
        mine = path.name == name or path.name.startswith(f"{name}.")
        if mine and path.parent.name != FOLDER:
            root.remove(path)
    root.remove(own.path(FOLDER, variant.dataset, ".json"))


def select_variants(root: DataRoot, dataset: str, name: str | None) -> list[Variant]:
    """The variant of that name, or all of them.

    Raises:
        InputError: there is none.
    """
    found = find_variants(root, dataset)
    wanted = [one for one in found if name in (None, one.name)]
    if not wanted:
        there = ", ".join(one.name for one in found) or "none"
        raise InputError(f"there is no variant {name or ''} of it; there are: {there}".replace("  ", " "))
    return wanted


def figures(root: DataRoot, variant: Variant | None, dataset: str) -> dict[str, Any]:
    """What a variant came to, or what is published: its model, NDCG@20 on validation, Recall@20 on test, where made."""
    own = replace(root, variant=variant.name if variant else "")
    found: dict[str, Any] = {"served": None, "validation": None, "recall": None, "made": made_by(own, dataset)}
    release, board = (own.find_manifest(asset, dataset) for asset in ("current", "leaderboard"))
    if release and release.variant == own.variant and "serves" in release.facts:
        found |= {"served": release.facts["serves"], "validation": release.facts["validation_ndcg@20"]}
        if board and board.variant == own.variant:
            found["recall"] = board.facts.get(f"recall@20/{found['served']}")
    return found


def made_by(root: DataRoot, dataset: str) -> list[str]:
    """The assets that lie under the name of a dataset, or of its variant, by name."""
    name = f"{root.name(dataset)}.manifest.json"
    return sorted(path.parent.name for path in root.root.glob(f"[!.]*/{name}"))


def settings_given(ops: Mapping[str, Any], immaterial: Iterable[str]) -> RunSettings:
    """The settings of a run's config that change what is made, by asset; empty if it asks to be promoted."""
    given = {asset: dict((op or {}).get("config") or {}) for asset, op in ops.items()}
    if any(values.get("promote") for values in given.values()):
        return {}
    left_out = set(immaterial)
    material = {
        asset: {name: value for name, value in sorted(values.items()) if name not in left_out}
        for asset, values in sorted(given.items())
    }
    return {asset: values for asset, values in material.items() if values}
