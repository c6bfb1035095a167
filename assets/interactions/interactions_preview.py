"""How unevenly users and items are spread over interactions, as a picture for the UI."""

from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from assets.core.asset_result import markdown
from assets.core.inline import inline_figure

BINS = 40


def preview_degrees(user: np.ndarray, item: np.ndarray) -> dict[str, Any]:
    """Of every interaction's user and item number: the median and the most that one has, and histograms."""
    facts: dict[str, Any] = {}
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    for axes, (name, numbers) in zip(figure.subplots(1, 2), {"user": user, "item": item}.items(), strict=True):
        degrees = np.bincount(numbers)
        facts |= {f"median_per_{name}": float(np.median(degrees)), f"most_per_{name}": int(degrees.max())}
        axes.hist(degrees, bins=degree_bins(degrees).tolist(), color="#4c8dd6")
        axes.set(xscale="log", yscale="log", xlabel=f"interactions per {name}", ylabel=f"{name}s")
        for axis in (axes.xaxis, axes.yaxis):
            plain_log_ticks(axis)
    return facts | {"interactions_by_user_and_item": markdown(inline_figure(figure))}


def degree_bins(degrees: np.ndarray) -> np.ndarray:
    """Edges between whole numbers, no finer than one degree each, evenly spread over the logarithm."""
    edges = np.geomspace(max(int(degrees.min()), 1), int(degrees.max()) + 1, BINS + 1)
    return np.unique(np.floor(edges)) - 0.5


def plain_log_ticks(axis: Axis) -> None:
    """Numbers as they are written, not as powers of ten, and only as many as do not touch each other."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())
