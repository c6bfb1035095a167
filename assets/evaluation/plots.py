"""The report's pictures, as SVG that takes its colours from the page."""

from collections.abc import Mapping
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


def training_curves(configs: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Loss by epoch, and validation NDCG@20 with the look that was kept, of every learned model."""

    def draw(loss: Axes, validation: Axes) -> None:
        for name, config in configs.items():
            loss.plot(range(1, len(config["loss_curve"]) + 1), config["loss_curve"], label=name)
            epochs, values = zip(*config["validation_curve"], strict=True)
            (line,) = validation.plot(epochs, values, label=name)
            validation.plot(config["best_epoch"], config["validation_ndcg@20"], "o", color=line.get_color())
        loss.set(xlabel="epoch", ylabel="train loss")
        validation.set(xlabel="epoch", ylabel="validation NDCG@20")
        validation.legend(frameon=False)

    return _svg(draw, 2)


def share_histogram(share: np.ndarray) -> Markup:
    """How many items lean how far on their picture; `share` [items] is NaN where an item has no content."""

    def draw(axes: Axes) -> None:
        axes.hist(share[~np.isnan(share)], bins=np.linspace(0, 1, 41).tolist(), color="#4c8dd6")
        axes.set(xlabel="share of the picture in an item's content (0 = text alone, 1 = picture alone)", ylabel="items")

    return _svg(draw, 1)


def _svg(draw: Any, panels: int) -> Markup:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * panels + 1, 3), layout="constrained")
        draw(*np.atleast_1d(figure.subplots(1, panels)))
        text = StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return Markup(svg[svg.index("<svg") :])
