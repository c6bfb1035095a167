"""One dataset over its runs, which the UI cannot draw: how many rows, how many seconds, and how good."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from assets.core.asset_result import markdown
from assets.core.inline import inline_figure
from assets.evaluation.report.plots import SERIES, as_svg

PANELS = {"rows": "interactions", "seconds": "seconds of the run", "recall_at_20": "Recall@20 of\nthe chosen model"}


def history_figure(history: pa.Table) -> Figure:
    """Three panels over the runs of the table `history`, the oldest first."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    runs = range(1, len(history) + 1)
    for axes, (column, label) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        values = [float("nan") if value is None else value for value in history[column].to_pylist()]
        axes.plot(runs, values, "o-", color=SERIES[0], markersize=4)
        axes.set(title=label, xlabel=_span(history), xlim=(0.5, len(history) + 0.5))
        axes.title.set_fontsize(10)
        axes.margins(y=0.2)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.ticklabel_format(axis="y", useOffset=False)
    return figure


def history_picture(history: pa.Table) -> dict[str, Any]:
    """The panels as metadata; nothing where there was no run yet."""
    return {"over_time": markdown(inline_figure(history_figure(history)))} if len(history) else {}


def history_svg(history: pa.Table) -> Markup:
    """The panels as SVG that takes its colours from the page."""
    return as_svg(lambda: history_figure(history), "Rows, seconds and Recall@20 of every run.")


def _span(history: pa.Table) -> str:
    """The name of the axis of runs: between which days they were."""
    days = sorted(f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d}" for time in history["time"].to_pylist())
    return "run" if not days else f"run ({days[0]})" if days[0] == days[-1] else f"run ({days[0]} to {days[-1]})"
