"""The chart of a dataset over its runs, and the histograms of its interactions."""

import numpy as np

from assets.evaluation.report.history_plot import history_figure, history_picture, history_svg
from assets.interactions.interactions_preview import degree_bins, preview_degrees
from storage.artifacts.history import Run, with_run
from storage.schemas import SCHEMAS

EMPTY = SCHEMAS["history"].empty_table()
DAY = 86_400_000


def test_three_panels_show_every_run_in_order() -> None:
    history = EMPTY
    for number, recall in enumerate((0.2, None, 0.3)):
        run = Run(f"run{number}", 20_000 * DAY + number * DAY, 100 + number, 5, 10.0 - number, recall, "x")
        history = with_run(history, run)
    rows, seconds, recall = (axes.lines[0] for axes in history_figure(history).axes)
    assert list(rows.get_xdata()) == list(seconds.get_xdata()) == [1, 2, 3]
    assert list(rows.get_ydata()) == [100, 101, 102]
    assert list(seconds.get_ydata()) == [10, 9, 8]
    np.testing.assert_array_equal(recall.get_ydata(), [0.2, np.nan, 0.3])
    assert history_figure(history).axes[0].get_xlabel() == "run (2024-10-04 to 2024-10-06)"
    assert history_svg(history).startswith("<svg")
    assert history_picture(history)["over_time"]["markdown"].startswith("![](data:image/png;base64,")


def test_before_the_first_run_there_is_no_picture() -> None:
    assert history_picture(EMPTY) == {}


def test_degrees_are_counted_by_user_and_by_item() -> None:
    user, item = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 2, 0, 0, 0])
    found = preview_degrees(user, item)
    picture = found.pop("interactions_by_user_and_item")
    assert found == {"median_per_user": 2.0, "most_per_user": 3, "median_per_item": 1.0, "most_per_item": 4}
    assert picture["markdown"].startswith("![](data:image/png;base64,")


def test_bins_hold_every_degree_and_no_edge_touches_one() -> None:
    for degrees in (np.array([5]), np.array([1, 2, 3]), np.array([5, 70, 100_000])):
        edges = degree_bins(degrees)
        assert np.histogram(degrees, edges)[0].sum() == len(degrees)
        assert (edges % 1 == 0.5).all()
