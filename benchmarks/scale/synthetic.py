"""Seeded interactions as shops have them: few users and items are in many of them, and most are in few."""

import numpy as np

from assets.interactions.kcore import distinct

STEEPNESS = 2.2  # the k-th of n has about 1/2.2 · (k/n)^(1/2.2 − 1) times the mean: half is with the first fifth


def heavy_tailed(count: int, kinds: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ranks below `kinds`, int64 [count], whose frequency falls as a power law, with rank^(1/2.2 − 1)."""
    return (kinds * rng.random(count) ** STEEPNESS).astype(np.int64)


def power_law_pairs(count: int, users: int, items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Exactly `count` different pairs of a user and an item, in which each of them stands at least once.

    Args:
        count: at least users + items, and at most half of users × items.

    Returns:
        int32 [count] each, sorted by user and then by item; who has many of them has any number.
    """
    if not users + items <= count <= users * items // 2:
        raise ValueError(f"{count:,} pairs of {users:,} users and {items:,} items are too few or too many")
    rng = np.random.default_rng(seed)
    everybody = np.concatenate([np.arange(users), rng.integers(users, size=items)])
    everything = np.concatenate([rng.integers(items, size=users), np.arange(items)])
    # Keys of pairs: those that see to it that all stand somewhere, then as many others as are wanted.
    least = distinct(everybody * items + everything)
    wanted, others = count - len(least), np.zeros(0, np.int64)
    while len(others) < wanted:
        drawn = heavy_tailed(2 * (wanted - len(others)), users, rng) * items
        drawn += heavy_tailed(len(drawn), items, rng)
        drawn = distinct(np.concatenate([others, drawn]))
        others = drawn[np.isin(drawn, least, assume_unique=True, invert=True)]
    key = np.concatenate([least, rng.permutation(others)[:wanted]])
    # Numbers say nothing of popularity, as in the pipeline, where they follow the order of the ids.
    key = rng.permutation(users)[key // items] * items + rng.permutation(items)[key % items]
    key.sort()
    return (key // items).astype(np.int32), (key % items).astype(np.int32)
