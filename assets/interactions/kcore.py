"""De-duplication, the k-core and the numbering of what is left, on integer codes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def first_of_pairs(user: np.ndarray, item: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    """Row numbers, ascending, that keep of each (user, item) the earliest row; ties go to the row that comes first.

    Args:
        user, item: int [n] codes from 0; timestamp: int64 [n].
    """
    if not len(user):
        return np.zeros(0, dtype=np.int64)
    pair = user.astype(np.int64) * (int(item.max()) + 1) + item
    order = np.argsort(pair)
    same_as_last = pair[order[1:]] == pair[order[:-1]]
    # Few pairs come twice; only their rows are sorted by time.
    repeated = np.sort(order[np.append(same_as_last, False) | np.append(False, same_as_last)])
    repeated = repeated[np.lexsort((timestamp[repeated], pair[repeated]))]
    is_later = pair[repeated[1:]] == pair[repeated[:-1]]
    keep = np.ones(len(user), dtype=bool)
    keep[repeated[1:][is_later]] = False
    return np.flatnonzero(keep)


def distinct(keys: np.ndarray) -> np.ndarray:
    """The different keys, ascending, as numpy.unique gives them; that hashes, which is slow where most are different.

    Args:
        keys: int [n].
    """
    ordered = np.sort(keys)
    return ordered[np.append(True, ordered[1:] > ordered[:-1])] if len(ordered) else ordered


def k_core(user: np.ndarray, item: np.ndarray, user_core: int, item_core: int) -> np.ndarray:
    """Mask of the largest set of rows in which every user has `user_core` rows and every item `item_core`.

    Rounds until nothing more falls: each removes all rows of the users, then of the items, that have too few, and
    counts down what the other side loses by it.

    Args:
        user, item: int [n] codes from 0, each pair at most once.

    Returns:
        bool [n].
    """
    codes, least = (user, item), (user_core, item_core)
    counts = [np.bincount(side) for side in codes]
    falling = True
    while falling:
        falling = False
        for side, other in ((0, 1), (1, 0)):
            weak = (counts[side] > 0) & (counts[side] < least[side])
            if weak.any():
                falling = True
                falls = weak[codes[side]]
                counts[side][weak] = 0
                counts[other] -= np.bincount(codes[other][falls], minlength=len(counts[other]))
                codes = (codes[0][~falls], codes[1][~falls])
    return (counts[0] > 0)[user] & (counts[1] > 0)[item]


def number_ids(codes: np.ndarray, ids: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Number int32 [n] those ids that occur, without gaps and in the order of the ids; and these ids in that order.

    Args:
        codes: int [n], places in `ids`.
    """
    present = np.flatnonzero(np.bincount(codes, minlength=len(ids)))
    names = ids.take(pa.array(present))
    order = pc.sort_indices(names).to_numpy()
    number = np.empty(len(ids), dtype=np.int32)
    number[present[order]] = np.arange(len(order), dtype=np.int32)
    return number[codes], names.take(pa.array(order))
