"""The check of lists before they are sent, on lists of which each has one fault."""

import numpy as np
import pyarrow as pa
import pytest

from assets.serving.checks import Faults, faults_of, find_better_models

USERS, ITEMS = pa.array(["ann", "ben", "cy"]), pa.array(["a", "b", "c", "d", "new"])  # "new" is of no core
HAS = np.array([[0, 0], [0, 1], [1, 2], [2, 0], [2, 1], [2, 2], [2, 3]])  # cy has all
GOOD = [("ann", "c"), ("ann", "new"), ("ben", "a"), ("ben", "b")]


def found(rows: list[tuple[str, str]], gone: list[str] | None = None, cut: int = 3) -> Faults:
    """What is wrong with lists that come in batches of `cut` rows."""
    batches = [
        pa.record_batch([pa.array(side) for side in zip(*rows[at : at + cut], strict=True)], ["user_id", "item_id"])
        for at in range(0, len(rows), cut)
    ]
    return faults_of(batches, USERS, ITEMS, HAS, pa.array(gone or [], pa.string()))


def test_lists_without_a_fault_have_none() -> None:
    assert found(GOOD) == Faults(0, 0, 0, 0, 0)  # cy has everything, so that nothing is left for him


@pytest.mark.parametrize(
    ("rows", "gone", "expected"),
    [
        ([*GOOD, ("ann", "b")], [], Faults(1, 0, 0, 0, 0)),
        ([*GOOD, ("cy", "d"), ("cy", "a")], [], Faults(2, 0, 0, 0, 0)),
        (GOOD, ["c", "new"], Faults(0, 2, 0, 0, 0)),
        ([*GOOD, ("ben", "b")], [], Faults(0, 0, 1, 0, 0)),  # in another batch than the first
        ([*GOOD, ("dan", "b"), ("ann", "z")], [], Faults(0, 0, 0, 2, 0)),
        (GOOD[:2], [], Faults(0, 0, 0, 0, 1)),
        (GOOD[:2], ["a", "b", "d"], Faults(0, 0, 0, 0, 0)),  # all that ben could get is gone
    ],
)
def test_each_fault_is_counted(rows: list[tuple[str, str]], gone: list[str], expected: Faults) -> None:
    for cut in (1, 2, 3, 9):
        assert found(rows, gone, cut) == expected


def test_no_list_at_all_leaves_two_users_without_one() -> None:
    assert faults_of([], USERS, ITEMS, HAS, pa.array([], pa.string())) == Faults(0, 0, 0, 0, 2)


COMPARED = {"standing": "open", "model": "ease", "against": "popularity", "metric": "ndcg", "k": 20, "high": -0.01}


@pytest.mark.parametrize(
    ("changed", "beaten"),
    [
        ({}, True), ({"high": 0.01}, False), ({"high": 0.0}, False), ({"model": "blend"}, False), ({"k": 10}, False),
        ({"against": "lightgcn"}, False), ({"against": "item_knn"}, True), ({"metric": "recall"}, False),
        ({"standing": "bpr"}, False),
    ],
)  # fmt: skip
def test_a_plain_model_beats_the_served_one_where_the_whole_interval_says_so(
    changed: dict[str, object], beaten: bool
) -> None:
    assert bool(find_better_models("ease", [COMPARED | changed])) == beaten
