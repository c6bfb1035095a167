"""A part of the data that train does not see: who is judged on it, and how well a model ranks it."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from assets.interactions.splits import TRAIN, VALIDATION, Parts
from models.ranking import CUTOFFS, Scorer, matrix_of, rank, ranking_metrics
from storage.errors import InputError

CHOSEN_BY = ("ndcg", 20)  # what stops training and chooses among configurations, on validation

ByUser = dict[tuple[str, int], np.ndarray]


@dataclass(frozen=True)
class HeldOut:
    """One part of the data, for users who also have something in train.

    Attributes:
        train, masked, wanted: 0/1 [users, items]: what models learned from, what is left out of a ranking, what it
            should find.
        users: int64, those with something both in train and in the part.
    """

    train: sp.csr_matrix
    masked: sp.csr_matrix
    wanted: sp.csr_matrix
    users: np.ndarray

    @classmethod
    def of(cls, parts: Parts, part: int, *masked: int) -> "HeldOut":
        """The `part` of the data; what train and the parts `masked` have is left out of rankings.

        Raises:
            InputError: nobody has items both in train and in the part.
        """
        train, wanted = (matrix_of(*parts.pairs(some), parts.users, parts.items) for some in (TRAIN, part))
        left_out = matrix_of(*parts.pairs(TRAIN, *masked), parts.users, parts.items) if masked else train
        users = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(wanted.indptr) > 0))
        if not len(users):
            name = "validation" if part == VALIDATION else "test"
            raise InputError(f"no user has items both in train and in {name}; choose another 'split' or 'split_points'")
        return cls(train, left_out, wanted, users)

    def metrics(self, scorer: Scorer, cutoffs: tuple[int, ...] = CUTOFFS, tie_seed: int = 0) -> ByUser:
        """Every metric of every user, float64 [len(users)] by (metric, cutoff), by a full ranking of all items."""
        ranking = rank(scorer, self.users, self.masked, max(cutoffs), tie_seed)
        return ranking_metrics(ranking, self.users, self.wanted, cutoffs)

    def ndcg(self, scorer: Scorer) -> float:
        """The mean NDCG@20 over users."""
        return float(self.metrics(scorer, (CHOSEN_BY[1],))[CHOSEN_BY].mean())
