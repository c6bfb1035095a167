"""Bootstrap intervals."""

import numpy as np

from assets.evaluation.significance import bootstrap_intervals


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
