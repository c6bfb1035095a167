"""A part of the data that train does not see: who is evaluated on it, and how well a model ranks it."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from assets.interactions.splits import TRAIN, VALIDATION, Parts
from models.distributed.distributed_ranking import rank_share, share_of
from models.distributed.process_group import ProcessGroup
from models.ranking.ranking import CUTOFFS, Scorer, Vectors, matrix_of, rank, ranking_metrics
from models.training.single_process import SINGLE_PROCESS, SingleProcess
from storage.errors import InputError

CHOSEN_BY = ("ndcg", 20)  # what stops training and chooses among configurations, on validation

ByUser = dict[tuple[str, int], np.ndarray]
Means = dict[tuple[str, int], float]


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

    def ndcg(self, scorer: Scorer, group: SingleProcess = SINGLE_PROCESS) -> float:
        """The mean NDCG@20 over users."""
        return self.means(scorer, (CHOSEN_BY[1],), group)[CHOSEN_BY]

    def means(self, scorer: Scorer, cutoffs: tuple[int, ...] = CUTOFFS, group: SingleProcess = SINGLE_PROCESS) -> Means:
        """The mean of every metric over users; of a group each rank ranks its share of them.

        Args:
            scorer: of a group, the rank's dimensions of vectors.
        """
        if not isinstance(group, ProcessGroup):
            return {name: float(found.mean()) for name, found in self.metrics(scorer, cutoffs).items()}
        assert isinstance(scorer, Vectors)
        ranking = rank_share(scorer, self.users, self.masked, max(cutoffs), group)
        found = ranking_metrics(ranking, share_of(self.users, group), self.wanted, cutoffs)
        sums = group.added("metrics", torch.tensor([values.sum() for values in found.values()], dtype=torch.float64))
        return dict(zip(found, (sums / len(self.users)).tolist(), strict=True))
