"""The rules that divide interactions into train, validation and test.

Random rules take rows sorted by (user, item), so that a seed means the same split wherever the rows come from. Ties in
time are broken by the order of the rows, which in the table `interactions` is that of the dump.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

TRAIN, VALIDATION, TEST = 0, 1, 2
EVERY_PART = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class Parts:
    """The table `splits` as arrays.

    Attributes:
        user, item: int32 [n]; split: int8 [n].
        users, items: how many there are; numbers run from 0 without gaps.
    """

    user: np.ndarray
    item: np.ndarray
    split: np.ndarray
    users: int
    items: int

    @classmethod
    def of(cls, splits: pa.Table) -> "Parts":
        user, item, split = (splits[name].to_numpy() for name in ("user", "item", "split"))
        return cls(user, item, split, int(user.max()) + 1, int(item.max()) + 1)

    def pairs(self, *wanted: int) -> tuple[np.ndarray, np.ndarray]:
        """Users and items of one part or several together."""
        chosen = np.isin(self.split, wanted)
        return self.user[chosen], self.item[chosen]


def by_pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The order of different pairs by `first` and then by `second`; numpy.lexsort takes ten times as long for it.

    Args:
        first, second: int [n], not negative, whose maxima have a product below 2^63.
    """
    return np.argsort(first.astype(np.int64) * (int(second.max(initial=0)) + 1) + second)


def random_split(user: np.ndarray, seed: int) -> np.ndarray:
    """The rule of the published multimodal graphs (MMRec): about 80/10/10 of each user's interactions, at random.

    Of a user's n interactions, one goes to validation and one to test if n < 10; otherwise h = ⌊0.2·n⌋ are held out,
    ⌊h/2⌋ for test and the rest for validation. A user with fewer than three keeps them all in train.

    Args:
        user: int [n], sorted.

    Returns:
        int8 [n]: 0 train, 1 validation, 2 test.
    """
    count, place = _count_and_place(user, np.random.default_rng(seed).random(len(user)))
    held = np.where(count < 10, 2, count // 5)
    tests = held // 2
    return _hold_out(place, np.where(count < 3, 0, tests), np.where(count < 3, 0, held))


def ratio_811_split(user: np.ndarray, seed: int) -> np.ndarray:
    """80/10/10 of all interactions at random, whoever they belong to."""
    place = np.random.default_rng(seed).permutation(len(user))
    tenth = len(user) // 10
    return _hold_out(place, tenth, 2 * tenth)


def leave_one_out_split(user: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    """Each user's latest interaction is test, the one before it validation; users with fewer than three keep all.

    Args:
        user: int [n], sorted; timestamp: int64 [n].
    """
    count, place = _count_and_place(user, timestamp)
    from_end = count - 1 - place
    return _hold_out(from_end, np.where(count < 3, 0, 1), np.where(count < 3, 0, 2))


def temporal_split(timestamp: np.ndarray, points: list[int]) -> np.ndarray:
    """All interactions before the first point in time are train, from it on validation, from the second on test.

    Args:
        timestamp: int64 [n], ms since the epoch.
        points: start of validation and of test; without them, the 80 % and 90 % quantiles.
    """
    if not points:
        points = [int(point) for point in np.quantile(timestamp, [0.8, 0.9], method="higher")]
    return np.searchsorted(np.asarray(points), timestamp, side="right").astype(np.int8)


def _count_and_place(user: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row: how many rows its user has, and its place among them by `key`, from 0."""
    count = np.bincount(user)
    rank = np.empty(len(user), dtype=np.int64)
    rank[np.argsort(key, kind="stable")] = np.arange(len(user))
    order = by_pair(user, rank)
    place = np.empty(len(user), dtype=np.int64)
    place[order] = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    return count[user], place


def _hold_out(place: np.ndarray, tests: np.ndarray | int, held: np.ndarray | int) -> np.ndarray:
    """The first `tests` places are test, the others below `held` are validation."""
    return np.select([place < tests, place < held], [TEST, VALIDATION], TRAIN).astype(np.int8)
