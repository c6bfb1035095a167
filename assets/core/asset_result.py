"""What an asset function returns, and what accompanies it on its way to disk."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from storage.artifacts.manifest import Origin


@dataclass(frozen=True)
class AssetResult:
    """What an asset function returns: its value, and what a person wants to know of it.

    `metadata` may be a function; it is called after the value was written, when a stream has been counted.
    `about` goes into the metadata of a Parquet file. `numbers` are versions of parts of it by which others may count
    alone. `published` is called when all is on disk, to tidy up.
    """

    value: Any
    metadata: dict[str, Any] | Callable[[], dict[str, Any]] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    published: Callable[[], object] | None = None


def markdown(text: str) -> dict[str, str]:
    """A fact that the UI shows as formatted text; a manifest keeps it as JSON."""
    return {"markdown": text}


def link(url: str) -> dict[str, str]:
    """A fact that the UI shows as a link."""
    return {"url": url}


@dataclass(frozen=True)
class Product:
    """A value on its way to disk, and the part of its manifest that is known already."""

    made: AssetResult
    origin: Origin
    starts_numbering: bool
    context: dg.AssetExecutionContext
    started: float  # time.perf_counter()
