"""De-duplication and the k-core, on integer codes."""

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
    order = np.lexsort((timestamp, pair))
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = pair[order[1:]] != pair[order[:-1]]
    return np.sort(order[is_first])


def k_core(user: np.ndarray, item: np.ndarray, user_core: int, item_core: int) -> np.ndarray:
    """Mask of the largest set of rows in which every user has `user_core` rows and every item `item_core`.

    Rounds of counting until nothing more falls: each round removes all rows of users, then of items, with too few.

    Args:
        user, item: int [n] codes from 0, each pair at most once.

    Returns:
        bool [n].
    """
    rows = np.arange(len(user))
    while len(rows):
        before = len(rows)
        for codes, least in ((user, user_core), (item, item_core)):
            counts = np.bincount(codes[rows])
            rows = rows[counts[codes[rows]] >= least]
            if not len(rows):
                break
        if len(rows) == before:
            break
    mask = np.zeros(len(user), dtype=bool)
    mask[rows] = True
    return mask


def numbered(ids: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Codes int32 [n] of string ids by their rank, and the distinct ids in that order."""
    encoded = ids.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))
