"""The full ranking by a group that shares the vectors by dimension: each rank ranks its share of the users.

For that it needs whole rows: of its users all at once, of the items a block at a time, so that no rank ever holds the
vectors of all items.
"""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from models.distributed.process_group import ProcessGroup
from models.errors import ModelError
from models.ranking.ranking import Ranking, Vectors, rank_block, tie_order

BLOCK_ITEMS = 2**14


def share_of(users: np.ndarray, group: ProcessGroup, rank: int | None = None) -> np.ndarray:
    """The users that a rank, by default this one, ranks: every P-th."""
    return users[group.rank if rank is None else rank :: group.size]


def rank_share(
    vectors: Vectors,
    users: np.ndarray,
    masked: sp.csr_matrix,
    k: int,
    group: ProcessGroup,
    tie_seed: int = 0,
    block_items: int = BLOCK_ITEMS,
) -> Ranking:
    """What `models.ranking.ranking.rank` gives, of this rank's share of `users`.

    Args:
        vectors: the rank's dimensions of all users and items.
        block_items: items whose whole vectors are held at a time.

    Raises:
        ModelError: on all ranks, if a score of any of them is not finite.
    """
    own = share_of(users, group)
    rows, numbers = _rows(vectors.user_vectors, users, group), np.arange(len(own))
    tie_rank, masked_rows = tie_order(vectors.items, tie_seed), masked[own].tocsc()
    best = Ranking(np.empty((len(own), 0), np.int64), np.empty((len(own), 0), np.float32))
    failure: ModelError | None = None
    for start in range(0, vectors.items, block_items):
        block = slice(start, min(start + block_items, vectors.items))
        whole = group.gathered("item_vectors", torch.from_numpy(vectors.item_vectors[block]), axis=1)
        if failure or whole is None or not len(own):
            continue  # the others still wait for what this rank has of the next block
        scorer, order = Vectors(rows, whole.numpy(), vectors.score), tie_rank[block].argsort().argsort()
        try:
            found = rank_block(scorer, numbers, masked_rows[:, block].tocsr(), k, order)
        except ModelError as error:
            failure = error
            continue
        best = _merge(best, found, start, tie_rank, min(k, vectors.items))
    if group.added("agreement", torch.tensor([float(failure is not None)])).item():
        raise failure or ModelError("another process met a score that is not finite; a lower learning_rate helps")
    return best


def _rows(columns: np.ndarray, users: np.ndarray, group: ProcessGroup) -> np.ndarray:
    """Whole vectors of this rank's share of `users`, float32 [share, dim]."""
    mine = np.empty((0, columns.shape[1] * group.size), np.float32)
    for rank in range(group.size):
        theirs = torch.from_numpy(columns[share_of(users, group, rank)])
        whole = group.gathered("user_vectors", theirs, axis=1, to=rank)
        mine = mine if whole is None else whole.numpy()
    return mine


def _merge(best: Ranking, found: Ranking, start: int, tie_rank: Tensor, k: int) -> Ranking:
    """The k best of both, `found` being of a block of items that begins with the item `start`."""
    there = found.items >= 0
    items = np.hstack([best.items, np.where(there, found.items + start, -1)])
    scores = np.hstack([best.scores, found.scores])
    ties = np.where(items < 0, len(tie_rank), tie_rank.numpy()[items])
    order = np.lexsort((ties, -scores), axis=1)[:, :k]
    return Ranking(np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1))
