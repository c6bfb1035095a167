"""Arrays that belong together, in one `.npz` without pickle."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.files.atomic import publishing
from storage.files.mirror import Mirror


@dataclass(frozen=True)
class NearestItems:
    """The items nearest to each in embedding space, by each view.

    Attributes:
        visual, textual: int32 [items, k], item numbers, best first; -1 where there is none.
    """

    visual: np.ndarray
    textual: np.ndarray


def write_nearest(path: Path, nearest: NearestItems, mirror: Mirror | None = None) -> None:
    """Publish both arrays at `path`."""
    with publishing(path, mirror) as partial, partial.open("wb") as file:
        np.savez(file, visual=nearest.visual, textual=nearest.textual)


def read_nearest(path: Path) -> NearestItems:
    with np.load(path, allow_pickle=False) as arrays:
        return NearestItems(arrays["visual"], arrays["textual"])
