"""How sure a mean over users is."""

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95


def bootstrap_intervals(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of the means over users, by drawing users with replacement.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Every metric sees the same draws.

    Args:
        values: float [users, metrics].

    Returns:
        The lower and the upper ends, float64 [metrics] each.
    """
    rng = np.random.default_rng(seed)
    users = len(values)
    means = np.empty((RESAMPLES, values.shape[1]))
    for resample in range(RESAMPLES):
        times_drawn = np.bincount(rng.integers(users, size=users), minlength=users)
        means[resample] = times_drawn @ values / users
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high
