"""Why an item is recommended: the part that each item of the history, the pictures and the texts have in the score.

A score is the product of two final vectors, and both are sums: a user's of what the items of the history send along
their edges, an item's of what comes from pictures, from texts and from IDs. So the parts add up to the score exactly;
none of it is estimated.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from models.recommenders.recommender import Anatomy

MOST_REASONS = 3  # items of the history that are named


@dataclass(frozen=True)
class Reasons:
    """Parts of the scores of some pairs, in their unit.

    Attributes:
        because: int64 [users, k, most], the items of the history with the largest parts above 0, the largest first;
            -1 where there are no more.
        because_part: float32 [users, k, most], what each of them adds.
        visual, textual: float32 [users, k], what comes from pictures and from texts.
        score: float32 [users, k], the whole.
    """

    because: np.ndarray
    because_part: np.ndarray
    visual: np.ndarray
    textual: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Explainer:
    """Takes the scores of a recommender apart.

    Attributes:
        score: "dot" or "cosine", as the model scores.
        edges: float32 CSR [users, items], the weights of the user-item graph: the upper right of its adjacency.
    """

    anatomy: Anatomy
    score: str
    edges: sp.csr_matrix

    def reasons(self, users: np.ndarray, items: np.ndarray, most: int = MOST_REASONS) -> Reasons:
        """Why `items` int64 [n, k], -1 where there is none, are recommended to `users` int64 [n]."""
        found = _nothing_yet(items, most)
        for row, user in enumerate(users):
            chosen = np.flatnonzero(items[row] >= 0)
            if len(chosen):
                self._explain(int(user), items[row, chosen], row, chosen, found)
        return found

    def _explain(self, user: int, items: np.ndarray, row: int, columns: np.ndarray, found: Reasons) -> None:
        """Fill in the row of one user."""
        of = self.anatomy
        scale = 1 / self._lengths(user, items)  # [items]
        found.score[row, columns] = of.item[items] @ of.user[user] * scale
        found.visual[row, columns] = of.visual[items] @ of.user[user] * scale
        found.textual[row, columns] = of.textual[items] @ of.user[user] * scale
        history = self.edges[user]
        parts = (history.data[:, None] * of.sent[history.indices]) @ of.item[items].T * scale  # [history, items]
        _name_largest(found, row, columns, history.indices, parts)

    def _lengths(self, user: int, items: np.ndarray) -> np.ndarray:
        """What a score is divided by, float32 [items]."""
        if self.score == "dot":
            return np.ones(len(items), np.float32)
        lengths = np.linalg.norm(self.anatomy.item[items], axis=1) * np.linalg.norm(self.anatomy.user[user])
        return np.maximum(lengths, 1e-12)


@dataclass(frozen=True)
class ItemExplainer:
    """Takes the scores of a model of items by items apart: they are sums over the items of a history, and nothing else.

    Attributes:
        history: float32 CSR [users, items], 1 where a user has an item.
        weights: float [items, items], dense or sparse; the score of item i is the sum of column i over the history.
    """

    history: sp.csr_matrix
    weights: np.ndarray | sp.csr_matrix

    def reasons(self, users: np.ndarray, items: np.ndarray, most: int = MOST_REASONS) -> Reasons:
        """See `Explainer.reasons`; pictures and texts add nothing."""
        found = _nothing_yet(items, most)
        for row, user in enumerate(users):
            columns = np.flatnonzero(items[row] >= 0)
            owned = self.history[int(user)].indices
            if len(columns) and len(owned):
                parts = self.weights[owned][:, items[row, columns]]  # [history, items]
                parts = parts.toarray() if sp.issparse(parts) else parts
                found.score[row, columns] = parts.sum(axis=0)
                _name_largest(found, row, columns, owned, parts)
        return found


def _nothing_yet(items: np.ndarray, most: int) -> Reasons:
    """Reasons for `items` int64 [n, k] that name nothing."""
    shape = (*items.shape, most)
    none = (np.zeros(items.shape, np.float32) for _ in range(3))
    return Reasons(np.full(shape, -1), np.zeros(shape, np.float32), *none)


def _name_largest(found: Reasons, row: int, columns: np.ndarray, history: np.ndarray, parts: np.ndarray) -> None:
    """Fill in the items of a history with the largest parts above 0.

    Args:
        columns: int64 [c], the places in the row of the items that are explained.
        history: int [h], numbers of items; parts: float [h, c], what each adds.
    """
    best = np.argsort(-parts, axis=0, kind="stable")[: found.because.shape[2]]  # [most, c]
    part = np.take_along_axis(parts, best, axis=0)
    for place, (which, value) in enumerate(zip(best, part, strict=True)):
        there = value > 0
        found.because[row, columns[there], place] = history[which[there]]
        found.because_part[row, columns[there], place] = value[there]
