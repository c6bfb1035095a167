"""Bootstrap intervals, the paired sign-flip test and Holm's correction."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.evaluation.significance import FLIPS, bootstrap_intervals, holm, sign_flip_p_value


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(size=(2000, 2)) * [1, 3] + [10, 0]
    low, high = bootstrap_intervals(values, seed=1)
    half = 1.96 * values.std(axis=0) / np.sqrt(2000)
    np.testing.assert_allclose(low, values.mean(axis=0) - half, atol=0.1 * half.max())
    np.testing.assert_allclose(high, values.mean(axis=0) + half, atol=0.1 * half.max())


def test_users_who_agree_leave_no_doubt_and_a_seed_repeats_itself() -> None:
    low, high = bootstrap_intervals(np.full((7, 1), 0.25), seed=0)
    assert low[0] == high[0] == 0.25
    values = np.random.default_rng(0).random((50, 1))
    assert bootstrap_intervals(values, 3) == bootstrap_intervals(values, 3)
    assert bootstrap_intervals(values, 3) != bootstrap_intervals(values, 4)


def exhaustive_p_value(differences: list[int]) -> float:
    """The share of all 2^n sign vectors whose sum is at least as far from 0; integers, so that ties are exact."""
    flips = product((-1, 1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    return sum(found >= abs(sum(differences)) for found in sums) / len(sums)


@settings(max_examples=40, deadline=None)
@given(differences=st.lists(st.integers(-5, 5), min_size=1, max_size=9), seed=st.integers(0, 1000))
def test_drawn_flips_come_near_all_flips(differences: list[int], seed: int) -> None:
    exact = exhaustive_p_value(differences)
    # Thirds are no binary fractions: sums that tie exactly differ by rounding here.
    drawn = sign_flip_p_value(np.array(differences) / 3, seed)
    assert drawn == pytest.approx(exact, abs=5 * (exact * (1 - exact) / FLIPS) ** 0.5 + 2 / FLIPS)


def test_six_users_who_all_gain_the_same_are_two_in_sixty_four() -> None:
    assert exhaustive_p_value([1] * 6) == 2 / 64
    assert sign_flip_p_value(np.full(6, 0.1), seed=0) == pytest.approx(2 / 64, abs=0.009)


def test_the_smallest_p_value_is_one_in_the_flips_and_one_more() -> None:
    assert sign_flip_p_value(np.full(60, 0.1), seed=0) == 1 / (FLIPS + 1)
    assert sign_flip_p_value(np.zeros(60), seed=0) == 1.0


def test_neither_side_nor_users_who_agree_change_it() -> None:
    differences = np.random.default_rng(1).normal(0.1, 1, size=300)
    p_value = sign_flip_p_value(differences, seed=5)
    assert sign_flip_p_value(-differences, seed=5) == p_value
    assert sign_flip_p_value(np.insert(differences, 17, np.zeros(40)), seed=5) == p_value
    assert sign_flip_p_value(differences.astype(np.float32), seed=5) == pytest.approx(p_value, abs=0.002)


def test_many_users_are_flipped_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(2).normal(0.05, 1, size=1000)
    whole = sign_flip_p_value(differences, seed=0)
    assert 0.001 < whole < 0.9
    monkeypatch.setattr("assets.evaluation.significance.BLOCK_SIGNS", 7 * 1000)
    assert sign_flip_p_value(differences, seed=0) == pytest.approx(whole, abs=0.03)


def test_without_a_difference_p_values_are_as_often_small_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.evaluation.significance.FLIPS", 500)
    rng = np.random.default_rng(3)
    p_values = np.array([sign_flip_p_value(rng.normal(size=40), seed) for seed in range(600)])
    for level in (0.05, 0.2, 0.5):
        assert (p_values <= level).mean() == pytest.approx(level, abs=4 * (level * (1 - level) / 600) ** 0.5)


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, and 0.04, which may not be below 0.06.
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, 0.6])), [1, 1])
    assert holm(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_stands_between_the_p_value_and_bonferroni(p_values: list[float]) -> None:
    found, raw = holm(np.array(p_values)), np.array(p_values)
    assert (raw <= found).all()
    assert (found <= np.minimum(raw * len(raw), 1)).all()
    assert (np.diff(found[np.argsort(raw, kind="stable")]) >= 0).all()
