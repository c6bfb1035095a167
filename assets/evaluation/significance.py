"""How sure a mean over users is, and how sure a difference between two models."""

import numpy as np

RESAMPLES = 1000
BLOCK_RESAMPLES = 50  # as many rows at a time keep a product of matrices busy
CONFIDENCE = 0.95
FLIPS = 10_000
BLOCK_SIGNS = 2**22  # 32 MB of float64


def bootstrap_intervals(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of the means over users, by drawing users with replacement.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Every metric sees the same draws.

    Args:
        values: float [users, metrics].

    Returns:
        The lower and the upper ends, float64 [metrics] each.
    """
    users = len(values)
    means = np.empty((RESAMPLES, values.shape[1]))
    rng = np.random.default_rng(seed)
    for start in range(0, RESAMPLES, BLOCK_RESAMPLES):
        block = means[start : start + BLOCK_RESAMPLES]
        times_drawn = np.empty((len(block), users))
        for row in times_drawn:
            row[:] = np.bincount(rng.integers(users, size=users), minlength=users)
        np.matmul(times_drawn, values, out=block)
    means /= users
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def sign_flip_p_value(differences: np.ndarray, seed: int) -> float:
    """Two-sided p-value of a paired permutation test: were the two models alike, each user's sign would be a coin's.

    Smucker, Allan and Carterette, "A Comparison of Statistical Significance Tests for Information Retrieval
    Evaluation", CIKM 2007. (count + 1) / (FLIPS + 1) keeps the test exact in level, and p above 0, with drawn flips:
    Phipson and Smyth, 2010.

    Args:
        differences: float [users], the metric of one model minus that of the other, each a mean over seeds.
    """
    # A user for whom the models agree adds 0 under either sign; with short lists of hits these are most users.
    differing = differences[differences != 0].astype(np.float64)
    if not len(differing):
        return 1.0
    rng = np.random.default_rng(seed)
    total = differing.sum()
    # Flips that give the same sum but for rounding count as extreme: metrics take few values, so such ties are many.
    extreme = abs(total) - 1e-10 * np.abs(differing).sum()
    block = max(BLOCK_SIGNS // len(differing), 1)
    count = 0
    for start in range(0, FLIPS, block):
        bits = rng.integers(256, size=(min(block, FLIPS - start), -(-len(differing) // 8)), dtype=np.uint8)
        kept = np.unpackbits(bits, axis=1, count=len(differing))  # 0 or 1 [flips, users]
        flipped = 2 * (kept.astype(np.float64) @ differing) - total
        count += int((np.abs(flipped) >= extreme).sum())
    return (count + 1) / (FLIPS + 1)


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values adjusted so that the chance of any false finding among them is at most what each is compared with.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics, 1979: the
    i-th smallest of m is multiplied by m − i + 1, is never below the one before it, and never above 1.

    Args:
        p_values: float [m], in any order, which the result keeps.
    """
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted
