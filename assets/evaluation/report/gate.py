"""What the gate does: for which items it leans on the picture, and whether it leaves a poor one aside.

The share of an item is that of the picture in its content vector, 0 for text alone and 1 for picture alone. Only items
with both views say something of the gate; for the others there is nothing to weigh.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

CATEGORIES = 12
FEWEST_IN_CATEGORY = 10
COMMON = 0.9  # a category that more items have tells nothing


@dataclass(frozen=True)
class Spread:
    """The quartiles of the share over a group of items."""

    name: str
    items: int
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, name: str, share: np.ndarray) -> "Spread":
        low, median, high = (float(value) for value in np.quantile(share, [0.25, 0.5, 0.75]))
        return cls(name, len(share), low, median, high)


def weigh_items(items: pd.DataFrame, share: np.ndarray) -> pd.DataFrame:
    """The items with both views, with a column `share`.

    Args:
        items: as `item_frame` makes it; share: float32 [m], of the first m items; NaN where there is no content.
    """
    known = items.iloc[: len(share)].assign(share=share)
    return known[known["has_picture"] & known["has_text"] & known["share"].notna()]


def categories_of(lists: Sequence[Sequence[str] | None]) -> list[str | None]:
    """The most specific category of each item that tells something: the last in its list that at least ten items have,
    and not more than nine tenths of them; None where there is no such one."""
    counts = Counter(name for names in lists if names is not None for name in set(names))
    telling = {name for name, count in counts.items() if FEWEST_IN_CATEGORY <= count <= COMMON * len(lists)}
    return [next((name for name in reversed(names or ()) if name in telling), None) for names in lists]


def by_category(found: pd.DataFrame) -> list[Spread]:
    """The share in the largest categories of items, the most visual first."""
    lists = [None if names is None else list(names) for names in found["categories"]]
    categories = pd.Series(categories_of(lists), index=found.index, dtype=object)
    groups = [Spread.of(str(name), share.to_numpy()) for name, share in found["share"].groupby(categories)]
    largest = sorted(groups, key=lambda group: (-group.items, group.name))[:CATEGORIES]
    return sorted(largest, key=lambda group: -group.median)


def extremes(found: pd.DataFrame, count: int) -> tuple[list[int], list[int]]:
    """The numbers of the most visual and of the most textual items, at most half of the items each."""
    order = found.index[np.argsort(-found["share"].to_numpy(), kind="stable")].tolist()
    count = min(count, len(order) // 2)
    return order[:count], order[::-1][:count]


@dataclass(frozen=True)
class PoorPictures:
    """What the gate does with poor pictures: those in the lowest tenth by their shorter side or by bytes a pixel.

    Attributes:
        side, detail: the largest shorter side in pixels, and the most bytes a pixel, that are poor; None: none is.
        groups: the share over items with small pictures, with pictures of little detail, and with all others.
        leaning: the chance that of two items, one with a poor picture and one without, the first leans less on it.
        p_value: of the Mann-Whitney test that it is one half.
        poorest: numbers of some items with poor pictures, those with the fewest bytes first.
    """

    side: float | None
    detail: float | None
    groups: list[Spread]
    leaning: float
    p_value: float
    poorest: list[int]


def poor_pictures(found: pd.DataFrame, shown: int) -> PoorPictures | None:
    """Compare items with poor pictures with the rest; None where either is missing.

    Args:
        found: items with both views and their share, as `weighed` gives them.
        shown: how many poor pictures to name.
    """
    sizes = found[["width", "height", "bytes"]].to_numpy(dtype=float)
    shorter, detail = sizes[:, :2].min(axis=1), sizes[:, 2] / sizes[:, 0] / sizes[:, 1]
    small, blank = lowest_tenth(shorter), lowest_tenth(detail)
    poor = small | blank
    if not poor.any() or poor.all():
        return None
    share = found["share"].to_numpy()
    named = {"small": small, "little detail": blank, "all others": ~poor}
    groups = [Spread.of(name, share[there]) for name, there in named.items() if there.any()]
    test = mannwhitneyu(share[poor], share[~poor])
    leaning = 1 - test.statistic / (poor.sum() * (~poor).sum())
    fewest = found.index[poor][np.argsort(sizes[poor, 2], kind="stable")]
    return PoorPictures(
        side=float(shorter[small].max()) if small.any() else None,
        detail=float(detail[blank].max()) if blank.any() else None,
        groups=groups,
        leaning=float(leaning),
        p_value=float(test.pvalue),
        poorest=fewest[:shown].tolist(),
    )


def lowest_tenth(values: np.ndarray) -> np.ndarray:
    """Which values are in the lowest tenth, bool [n].

    Those equal to the last of it are in it too, unless most values are: then nothing sets them apart from the rest.
    """
    if not len(values):
        return np.zeros(0, bool)
    limit = np.quantile(values, 0.1, method="lower")
    within = values <= limit
    return within if within.mean() <= 0.5 else values < limit
