"""Where the page's numbers come from: effective settings, and versions of what computed them."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from assets.core.settings import ALL_SETTINGS
from assets.features.encoders import without_folder
from storage.artifacts.manifest import Manifest

PACKAGES = (
    "dagster",
    "torch",
    "open_clip_torch",
    "sentence-transformers",
    "transformers",
    "numpy",
    "scipy",
    "pyarrow",
    "duckdb",
)
UNTRAINED = "untrained"


@dataclass(frozen=True)
class Changed:
    """A setting that has another value than its default, and the assets that were made with it."""

    name: str
    value: object
    default: object
    assets: list[str]


@dataclass(frozen=True)
class WarmStarts:
    """How many trainings began from the version before, of how many, and about how many seconds that saved."""

    fits: int
    of: int
    saved_s: float


def warm_starts(lineage: Sequence[Manifest]) -> WarmStarts:
    """Of the learned models behind the report."""
    facts = [(name, value) for made in lineage for name, value in made.facts.items()]
    found: list[Any] = [value for name, value in facts if name.startswith("warm_start/")]
    fits = sum(name.startswith("best_epoch/") for name, _ in facts)
    return WarmStarts(len(found), fits, sum(one["about_saved_s"] for one in found))


def find_changed_settings(lineage: Sequence[Manifest]) -> list[Changed]:
    """The settings that are not at their default, by name."""
    defaults = {name: field.default for kind in ALL_SETTINGS for name, field in kind.model_fields.items()}
    found: dict[tuple[str, str], Changed] = {}
    for made in lineage:
        for name, value in made.recipe.settings.items():
            if name in defaults and value != defaults[name]:
                value = show_setting(value)
                changed = found.setdefault((name, str(value)), Changed(name, value, defaults[name], []))
                changed.assets.append(made.asset)
    return [found[key] for key in sorted(found)]


def all_settings(lineage: Sequence[Manifest]) -> Iterator[tuple[str, str]]:
    """The settings that each asset was made with, as one text an asset."""
    for made in lineage:
        if made.recipe.settings:
            yield (
                made.asset,
                ", ".join(f"{name} = {show_setting(value)}" for name, value in sorted(made.recipe.settings.items())),
            )


def show_setting(value: object) -> object:
    """A setting as a page tells it that may be sent to anybody: of a path, the last part."""
    return without_folder(value) if isinstance(value, str) else value


def package_versions() -> list[tuple[str, str]]:
    """Python and the packages that numbers depend on, as they are installed where the page is made."""
    found = [("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return found
