"""Models of co-occurrence alone, which no descent has to find, and the blend of any two models.

Users are scored in blocks, [block, items] at a time: unlike models of vectors, these have no vector per item.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import torch
from scipy.linalg import lapack
from torch import Tensor

from models.errors import ModelError
from models.ranking.ranking import Scorer

BLOCK_ITEMS = 1024
BLOCK_ENTRIES = 2**22  # some 300 MB with all that sorting them takes
FLOAT32_ERROR = 1e-3


@dataclass(frozen=True)
class Ease:
    """Every item predicted from a user's other items by ridge regression.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: B minimises ‖X − XB‖² + λ‖B‖² with a zero
    diagonal, so with P = (XᵀX + λI)⁻¹, B = I − P / diag(P), each column by its own number.

    Attributes:
        train: float32 [users, items], the interactions.
        weights: float32 or float64 [items, items], B, C-contiguous.
    """

    train: sp.csr_matrix
    weights: np.ndarray

    @classmethod
    def fit(cls, train: sp.csr_matrix, regularisation: float) -> "Ease":
        """Fit to `train` [users, items]; one array of items × items is held, and nothing of that size beside it.

        Raises:
            ModelError: `regularisation` is too small for a solution.
        """
        weights = _inverse_gram(train, regularisation)
        weights /= -weights.diagonal()
        np.fill_diagonal(weights, 0)
        return cls(train, weights)

    @property
    def items(self) -> int:
        return self.train.shape[1]

    def write(self, users: np.ndarray, out: Tensor) -> None:
        """X B for some users; see `models.ranking.ranking.Scorer`."""
        out.copy_(torch.from_numpy(self.train[users] @ self.weights))


def _inverse_gram(train: sp.csr_matrix, regularisation: float) -> np.ndarray:
    """(XᵀX + λI)⁻¹ [items, items], symmetric and C-contiguous, worked out in place by Cholesky's factor."""
    items = train.shape[1]
    columns = train.tocsc()
    transposed = columns.T  # a view, in CSR
    # By Gershgorin no eigenvalue is over the largest row sum; none is below λ. Single precision is half the bytes and
    # time, and where few bits are lost it ranks the same.
    largest = float((transposed @ (train @ np.ones(items))).max(initial=0)) + regularisation
    single = largest * np.finfo(np.float32).eps < FLOAT32_ERROR * regularisation
    gram = np.empty((items, items), np.float32 if single else np.float64, order="F")
    for start in range(0, items, BLOCK_ITEMS):
        block = slice(start, start + BLOCK_ITEMS)
        gram[:, block] = (transposed @ columns[:, block]).toarray()
    gram[np.diag_indices(items)] += regularisation
    factorise, invert = (lapack.spotrf, lapack.spotri) if single else (lapack.dpotrf, lapack.dpotri)
    factor, failed = factorise(gram, lower=True, overwrite_a=True)
    if failed:
        raise ModelError(f"EASE has no solution with a regularisation of {regularisation:g}; a larger one helps")
    inverse, _ = invert(factor, lower=True, overwrite_c=True)
    return _mirror(inverse.T)


def _mirror(matrix: np.ndarray) -> np.ndarray:
    """A square C-contiguous matrix whose upper triangle has been copied to the lower one, in place."""
    for start in range(0, len(matrix), BLOCK_ITEMS):
        block, after = slice(start, start + BLOCK_ITEMS), slice(start + BLOCK_ITEMS, None)
        upper = np.triu(matrix[block, block])
        matrix[block, block] = upper + np.triu(upper, 1).T
        matrix[after, block] = matrix[block, after].T
    return matrix


@dataclass(frozen=True)
class ItemKnn:
    """Every item scored by its likeness to what the user has, counting its k nearest items alone.

    Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", TOIS 2004: the likeness of i and j is
    x_i·x_j / (‖x_i‖ ‖x_j‖ + h), with x the columns of X. The shrinkage h takes trust from likeness that rests on few
    users; this place for it is that of Ferrari Dacrema et al., RecSys 2019.

    Attributes:
        train: float32 [users, items], the interactions.
        weights: float32 CSR [items, candidates], as a rule all items; column j has the likeness of j to its at most k
            nearest items.
    """

    train: sp.csr_matrix
    weights: sp.csr_matrix

    @classmethod
    def fit(cls, train: sp.csr_matrix, neighbours: int, shrinkage: float) -> "ItemKnn":
        """Fit to `train` [users, items]; no array is dense, and equal likeness goes to the lower item number."""
        transposed = train.T.tocsr()
        norms = np.sqrt(np.asarray(transposed.multiply(transposed).sum(axis=1), dtype=np.float64).ravel())
        nearest = []
        for block in _blocks(np.minimum(transposed @ np.diff(train.indptr), train.shape[1])):
            likeness = (transposed[block] @ train).tocoo()
            row, column = likeness.row + block.start, likeness.col
            cosine = likeness.data / (norms[row] * norms[column] + shrinkage)
            cosine[row == column] = 0
            kept = sp.csr_matrix((cosine.astype(np.float32), (likeness.row, column)), shape=likeness.shape)
            kept.eliminate_zeros()
            nearest.append(_largest_of_rows(kept, neighbours))
        return cls(train, sp.vstack(nearest, format="csr").T.tocsr())

    @property
    def items(self) -> int:
        return self.weights.shape[1]

    def write(self, users: np.ndarray, out: Tensor) -> None:
        """Summed likeness for some users; see `models.ranking.ranking.Scorer`."""
        out.copy_(torch.from_numpy((self.train[users] @ self.weights).toarray()))


def _blocks(entries: np.ndarray) -> list[slice]:
    """Consecutive rows cut where their summed `entries` pass another BLOCK_ENTRIES."""
    number = np.cumsum(entries, dtype=np.int64) // BLOCK_ENTRIES
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(entries)]
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def _largest_of_rows(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """The k largest stored values of every row, equal ones from the left."""
    lengths = np.diff(matrix.indptr)
    row = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((matrix.indices, -matrix.data, row))
    place = np.arange(len(order)) - matrix.indptr[row]
    kept = order[place < k]
    pointers = np.concatenate([[0], np.cumsum(np.minimum(lengths, k))])
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], pointers), shape=matrix.shape)


@dataclass(frozen=True)
class ZScores:
    """What another scorer says, with mean 0 and deviation 1 over each user's items: so two can be added."""

    of: Scorer

    @property
    def items(self) -> int:
        return self.of.items

    def write(self, users: np.ndarray, out: Tensor) -> None:
        """The z-scores for some users; see `models.ranking.ranking.Scorer`."""
        self.of.write(users, out)
        out.copy_(z_scores(out))


@dataclass(frozen=True)
class Blend:
    """w·s₁ + (1 − w)·s₂; of `ZScores`, so that neither model's scale decides.

    Attributes:
        weight: w, 0 to 1, to be chosen on validation; both ends are one model alone.
    """

    first: Scorer
    second: Scorer
    weight: float

    @property
    def items(self) -> int:
        return self.first.items

    def write(self, users: np.ndarray, out: Tensor) -> None:
        """The blended scores for some users; see `models.ranking.ranking.Scorer`."""
        self.first.write(users, out)
        first = out * self.weight
        self.second.write(users, out)
        torch.add(first, out, alpha=1 - self.weight, out=out)


def z_scores(scores: Tensor) -> Tensor:
    """Every row of `scores` less its mean, over its standard deviation; zeros for a row of equal scores.

    Args:
        scores: float32 [users, items].
    """
    centred = scores - scores.mean(dim=1, keepdim=True)
    # Rounding leaves equal scores a deviation that is not quite 0.
    alike = scores.amax(dim=1, keepdim=True) == scores.amin(dim=1, keepdim=True)
    return centred.div_(centred.square().mean(dim=1, keepdim=True).sqrt_()).masked_fill_(alike, 0)
