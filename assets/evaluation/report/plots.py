"""The report's pictures, as SVG that takes its colours from the page."""

from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#808890"  # readable on white and on black
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def loss_curves(configs: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Train loss by epoch of every learned model."""

    def draw(axes: Axes) -> None:
        for name, config in configs.items():
            axes.plot(range(1, len(config["loss_curve"]) + 1), config["loss_curve"], label=name)
        axes.set(xlabel="epoch", ylabel="train loss")
        axes.legend(frameon=False)

    return _svg(draw)


def validation_curves(configs: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Validation NDCG@20 by epoch of every learned model, with a dot where its weights were kept."""

    def draw(axes: Axes) -> None:
        for name, config in configs.items():
            epochs, values = zip(*config["validation_curve"], strict=True)
            (line,) = axes.plot(epochs, values, label=name)
            axes.plot(config["best_epoch"], config["validation_ndcg@20"], "o", color=line.get_color())
        axes.set(xlabel="epoch", ylabel="validation NDCG@20")

    return _svg(draw)


def share_histogram(share: np.ndarray) -> Markup:
    """How many items lean how far on their picture; `share` [items] is NaN where an item has no content."""

    def draw(axes: Axes) -> None:
        axes.hist(share[~np.isnan(share)], bins=np.linspace(0, 1, 41).tolist(), color="#4c8dd6")
        axes.set(xlabel="share of the picture (0: text alone, 1: picture alone)", ylabel="items")

    return _svg(draw)


def _svg(draw: Callable[[Axes], None]) -> Markup:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5, 3), layout="constrained")
        draw(figure.subplots())
        text = StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return Markup(svg[svg.index("<svg") :])
