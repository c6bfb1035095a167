"""How sure a mean over users is."""

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95


def bootstrap_interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean over users, by drawing users with replacement.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        values: float [users].
    """
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=RESAMPLES)
    means = counts @ values / len(values)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
