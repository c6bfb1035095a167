"""The report's pictures, as SVG that takes its colours from the page."""

from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assets.evaluation.report.funnel import Step
from assets.evaluation.report.gate import Spread
from assets.evaluation.report.tables import Bars
from storage.text import shorten

# Each is drawn as it stands here where a page says nothing, and as the page's variable --plot-NAME where it does.
COLOURS = {"ink": "#808890", "line": "#c0c4c8", "1": "#2a78d6", "2": "#eb6834", "3": "#1baf7a", "4": "#4a3aa7"}
SERIES = [COLOURS[number] for number in "1234"]
DASHES = ("-", "--", ":", "-.")
INK = COLOURS["ink"]
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "text.parse_math": False,
}
LABEL_CHARACTERS = 28


def funnel_bars(steps: Sequence[Step]) -> Markup:
    """What each step has left."""

    def draw(axes: Axes) -> None:
        names, left = [step.name for step in steps], [step.left for step in steps]
        bars = axes.barh(names, left, color=SERIES[0], height=0.65)
        axes.bar_label(bars, [f"{value:,}" for value in left], padding=3)
        axes.invert_yaxis()
        axes.set_xlim(0, max(left) * 1.2)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)

    return _svg(draw, "What each step has left")


def long_tail(popularity: np.ndarray) -> Markup:
    """Train interactions of the items by their rank, both on logarithmic axes; `popularity` is int [items]."""

    def draw(axes: Axes) -> None:
        ordered = np.sort(popularity[popularity > 0])[::-1]
        # The first and the last item of each count are all that can be seen, however long the tail is.
        last = np.flatnonzero(np.diff(ordered))
        corners = np.unique(np.concatenate([[0], last, last + 1, [len(ordered) - 1]]))
        axes.plot(corners + 1, ordered[corners], color=SERIES[0])
        axes.set(xscale="log", yscale="log", xlabel="rank of the item", ylabel="train interactions")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_formatter("")
        axes.grid()

    return _svg(draw, "Items by popularity")


def stratum_bars(bars: Bars) -> Markup:
    """Recall@20 with its interval, the models side by side in every stratum."""

    def draw(axes: Axes) -> None:
        width = 0.8 / len(bars.cells)
        places = np.arange(len(bars.strata))
        for number, (model, cells) in enumerate(bars.cells.items()):
            value, low, high = np.array([cell or (np.nan,) * 3 for cell in cells]).T
            ends = np.maximum([value - low, high - value], 0)
            axes.bar(
                places + (number - (len(bars.cells) - 1) / 2) * width,
                value,
                width * 0.9,
                yerr=ends,
                label=model,
                color=SERIES[number],
                error_kw={"ecolor": INK, "elinewidth": 0.8},
            )
        axes.set_xticks(places, [_short_stratum(name) for name in bars.strata])
        axes.set(ylabel="recall@20", ylim=(0, None))
        if bars.strata[0].startswith("popularity_"):
            axes.set_xlabel("tenth of the items by train interactions, fewest first")
        axes.grid(axis="y")
        axes.legend(fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))

    return _svg(draw, f"Recall@20 in {', '.join(bars.strata)}")


def _short_stratum(name: str) -> str:
    return name.removeprefix("popularity_").lstrip("0").replace("_", "\n")


def loss_curves(configs: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Train loss by epoch of some fits."""

    def draw(axes: Axes) -> None:
        for name, config in configs.items():
            losses = config["loss_curve"]
            axes.plot(range(1, len(losses) + 1), losses, label=name, **_line(config, configs))
        axes.set(xlabel="epoch", ylabel="train loss")
        axes.legend(fontsize=8)

    return _svg(draw, "Train loss by epoch")


def validation_curves(configs: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Validation NDCG@20 by epoch of some fits, with a dot where the weights were kept."""

    def draw(axes: Axes) -> None:
        for name, config in configs.items():
            epochs, values = zip(*config["validation_curve"], strict=True)
            (line,) = axes.plot(epochs, values, label=name, **_line(config, configs))
            axes.plot(config["best_epoch"], config["validation_ndcg@20"], "o", color=line.get_color())
        axes.set(xlabel="epoch", ylabel="validation NDCG@20")
        axes.legend(fontsize=8)

    return _svg(draw, "Validation NDCG@20 by epoch")


def _line(config: Mapping[str, Any], configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A colour a model, a dash a loss."""
    models, losses = (list(dict.fromkeys(one[key] for one in configs.values())) for key in ("model", "loss"))
    colour, dash = models.index(config["model"]), losses.index(config["loss"])
    return {"color": SERIES[colour % len(SERIES)], "linestyle": DASHES[dash % len(DASHES)]}


def share_histogram(share: np.ndarray) -> Markup:
    """How many items lean how far on their picture; `share` [items] is NaN where an item has no content."""

    def draw(axes: Axes) -> None:
        axes.hist(share[~np.isnan(share)], bins=np.linspace(0, 1, 41).tolist(), color=SERIES[0])
        axes.set(xlabel="share of the picture (0: text alone, 1: picture alone)", ylabel="items", xlim=(0, 1))

    return _svg(draw, "How far items lean on their picture")


def spreads(groups: Sequence[Spread]) -> Markup:
    """The median share of the picture in each group as a dot, between its quartiles."""

    def draw(axes: Axes) -> None:
        names = [f"{shorten(group.name, LABEL_CHARACTERS)} ({group.items:,})" for group in groups]
        for place, group in enumerate(groups):
            axes.plot([group.low, group.high], [place, place], color=SERIES[0], linewidth=4, alpha=0.4)
            axes.plot(group.median, place, "o", color=SERIES[0])
        axes.set_yticks(range(len(groups)), names)
        axes.set(xlabel="share of the picture", xlim=(0, 1), ylim=(len(groups) - 0.4, -0.6))
        axes.grid(axis="x")

    return _svg(draw, "Share of the picture by group", height=1.0 + 0.26 * len(groups))


def _svg(draw: Callable[[Axes], None], label: str, height: float = 3) -> Markup:
    """Draw into an SVG; `height` in inches."""

    def drawn() -> Figure:
        figure = Figure(figsize=(5, height), layout="constrained")
        draw(figure.subplots())
        return figure

    return as_svg(drawn, label)


def as_svg(drawn: Callable[[], Figure], label: str) -> Markup:
    """A figure as SVG that takes its colours from the page, and says what it is to those who cannot see it."""
    with mpl.rc_context(STYLE):
        text = StringIO()
        drawn().savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--plot-{name}, {colour})")
    return Markup('<svg role="img" aria-label="{}"').format(label) + Markup(svg[svg.index("<svg") + len("<svg") :])
