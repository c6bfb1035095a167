"""What the report says of the gate."""

import numpy as np
import pandas as pd
import pytest

from assets.evaluation.report.gate import (
    Spread,
    by_category,
    categories_of,
    extremes,
    lowest_tenth,
    poor_pictures,
    weigh_items,
)


def test_a_spread_is_the_quartiles() -> None:
    assert Spread.of("a", np.array([0.0, 0.1, 0.2, 0.3, 0.4])) == Spread("a", 5, 0.1, 0.2, pytest.approx(0.3))


def test_only_items_with_both_views_are_weighed() -> None:
    items = pd.DataFrame({"has_picture": [True, True, False, True, True], "has_text": [True, False, True, True, True]})
    found = weigh_items(items, np.array([0.25, 1.0, 0.0, np.nan]))  # the fifth item is not in the core
    assert found.index.tolist() == [0]
    assert found["share"].tolist() == [0.25]


def test_a_category_tells_something_if_ten_items_have_it_and_not_nearly_all() -> None:
    lists = [
        *[["Shop", "Baby", "Toys"]] * 10,
        *[["Shop", "Baby", "Beds", "Rare"]] * 5,
        *[["Shop", "Other"]] * 9,
        *[None] * 2,
        ["Shop"],
    ]
    assert categories_of(lists) == [*["Toys"] * 10, *["Baby"] * 5, *[None] * 12]


def test_the_most_visual_category_comes_first() -> None:
    found = pd.DataFrame(
        {
            "categories": [np.array(["low"], object)] * 10 + [np.array(["high"], object)] * 10 + [None],
            "share": [0.1] * 10 + [0.7] * 5 + [0.9] * 5 + [0.5],
        }
    )
    high, low = by_category(found)
    assert (high.name, high.items, high.median) == ("high", 10, pytest.approx(0.8))
    assert low == Spread("low", 10, pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))
    assert by_category(found.assign(categories=None)) == []


def test_extremes_are_numbers_of_items_and_never_the_same_ones() -> None:
    found = pd.DataFrame({"share": [0.5, 0.9, 0.1, 0.7, 0.3]}, index=[3, 5, 7, 9, 11])
    assert extremes(found, 2) == ([5, 9], [7, 11])
    assert extremes(found, 8) == ([5, 9], [7, 11])
    assert extremes(found.iloc[:1], 8) == ([], [])


def test_the_lowest_tenth_takes_ties_along_unless_nothing_is_set_apart() -> None:
    assert np.flatnonzero(lowest_tenth(np.arange(20.0))).tolist() == [0, 1]
    assert lowest_tenth(np.array([1.0] * 4 + [5.0] * 6)).sum() == 4
    assert lowest_tenth(np.full(10, 128.0)).sum() == 0
    assert lowest_tenth(np.array([64.0] + [128.0] * 19)).sum() == 1
    assert lowest_tenth(np.array([])).tolist() == []


def pictures(sides: list[int], sizes: list[int], share: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"width": sides, "height": 1000, "bytes": sizes, "share": share})


def test_poor_pictures_are_small_or_empty_and_stand_beside_the_rest() -> None:
    sides = [50] + [500] * 19
    sizes = [50 * 1000] * 2 + [5_000] + [500_000] * 17  # 1 byte a pixel, 0.1, 0.01, then 1
    share = [0.2, 0.4, 0.1] + [0.5] * 17
    found = poor_pictures(pictures(sides, sizes, share), shown=2)
    assert found is not None
    assert found.side == 50
    assert found.detail == pytest.approx(0.1)
    assert [(group.name, group.items, group.median) for group in found.groups] == [
        ("small", 1, 0.2),
        ("little detail", 2, 0.25),
        ("all others", 17, 0.5),
    ]
    assert found.leaning == 1.0  # each of the three leans less on its picture than each of the others
    assert found.p_value < 0.01
    assert found.poorest == [2, 0]


def test_a_gate_that_does_not_care_leans_less_in_half_of_all_pairs() -> None:
    sides = [50, 50] + [500] * 18
    found = poor_pictures(pictures(sides, [side * 1000 for side in sides], [0.4, 0.6] + [0.5] * 18), shown=1)
    assert found is not None
    assert found.leaning == 0.5
    assert found.detail is None


def test_without_poor_pictures_there_is_nothing_to_compare() -> None:
    assert poor_pictures(pictures([500] * 5, [1000] * 5, [0.5] * 5), shown=3) is None
    assert poor_pictures(pictures([], [], []), shown=3) is None
