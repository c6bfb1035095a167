"""The four split rules, against the rule written out user by user."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.interactions.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    leave_one_out_split,
    random_split,
    ratio_811_split,
    temporal_split,
)

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def users(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


def parts(split: np.ndarray) -> list[int]:
    return np.bincount(split, minlength=3).tolist()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, [1, 0, 0]),
        (2, [2, 0, 0]),
        (3, [1, 1, 1]),
        (9, [7, 1, 1]),
        (10, [8, 1, 1]),
        (14, [12, 1, 1]),
        (15, [12, 2, 1]),  # three are held out: one for the test, the rest for validation
        (20, [16, 2, 2]),
        (29, [24, 3, 2]),
        (100, [80, 10, 10]),
    ],
)
def test_random_holds_out_by_the_number_of_a_users_interactions(size, expected):
    assert parts(random_split(users([size]), seed=3)) == expected


@given(sizes=sizes, seed=st.integers(0, 2**32))
def test_random_gives_every_user_the_parts_that_the_rule_says(sizes, seed):
    user = users(sizes)
    split = random_split(user, seed)
    for number, n in enumerate(sizes):
        held = 0 if n < 3 else 2 if n < 10 else n // 5
        assert parts(split[user == number]) == [n - held, held - held // 2, held // 2]
    assert np.array_equal(split, random_split(user, seed))


def test_every_row_of_a_user_can_be_held_out():
    splits = np.stack([random_split(users([5]), seed) for seed in range(200)])
    for part in (VALIDATION, TEST):
        assert ((splits == part).mean(axis=0) > 0.1).all()


@given(n=st.integers(0, 200), seed=st.integers(0, 2**32))
def test_ratio_811_cuts_tenths_whoever_they_belong_to(n, seed):
    split = ratio_811_split(np.zeros(n, dtype=np.int32), seed)
    assert parts(split) == [n - 2 * (n // 10), n // 10, n // 10]
    assert np.array_equal(split, ratio_811_split(np.zeros(n, dtype=np.int32), seed))


@given(sizes=sizes, data=st.data())
def test_leave_one_out_takes_the_last_two_in_time_and_the_later_row_of_equals(sizes, data):
    user = users(sizes)
    time = np.array(data.draw(st.lists(st.integers(0, 6), min_size=len(user), max_size=len(user))))
    expected = np.full(len(user), TRAIN)
    for number, n in enumerate(sizes):
        rows = sorted(np.flatnonzero(user == number).tolist(), key=lambda row: (time[row], row))
        if n >= 3:
            expected[rows[-2]], expected[rows[-1]] = VALIDATION, TEST
    assert leave_one_out_split(user, time).tolist() == expected.tolist()


@given(times=st.lists(st.integers(0, 100), min_size=1), points=st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_temporal_cuts_at_points_that_belong_to_what_follows(times, points):
    first, second = sorted(points)
    expected = [TRAIN if time < first else VALIDATION if time < second else TEST for time in times]
    assert temporal_split(np.array(times), [first, second]).tolist() == expected


def test_temporal_without_points_cuts_at_four_and_nine_tenths():
    assert temporal_split(np.arange(11), []).tolist() == [TRAIN] * 8 + [VALIDATION] + [TEST] * 2


def test_a_seed_means_the_same_on_every_machine():
    user = users([12, 2, 5, 10])
    time = np.arange(29) * 5 % 13
    assert "".join(map(str, random_split(user, 0))) == "00010000000200020010210000000"
    assert "".join(map(str, ratio_811_split(user, 0))) == "00000100000100200000000000020"
    assert "".join(map(str, leave_one_out_split(user, time))) == "00000200001000010020000200001"
    assert "".join(map(str, temporal_split(time, []))) == "00100200002000010020000200001"
