"""Full ranking over all items, and the metrics of it.

Definitions follow the field's use (Jarvelin and Kekalainen, TOIS 2002, for NDCG): every item that is not masked is
ranked, never a sample; equal scores are ordered by a seeded permutation of the items, so that no model gains by ties.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from models.errors import ModelError

BLOCK_USERS, LEAST_USERS, BLOCK_SCORES = 64, 16, 1 << 19  # see `block_users`
CUTOFFS = (5, 10, 20, 50)
METRICS = ("recall", "ndcg", "precision", "map", "hit_rate")


class Scorer(Protocol):
    """What scores every item for some users."""

    @property
    def items(self) -> int:
        """How many items there are."""
        ...

    def write(self, users: np.ndarray, out: Tensor) -> None:
        """Write the scores of all items for `users` into `out`, float32 [len(users), items]."""
        ...


@dataclass(frozen=True)
class Vectors:
    """Scores by the dot product or the cosine of the vectors of a user and an item.

    Attributes:
        user_vectors: float32 [users, d].
        item_vectors: float32 [items, d].
        score: "dot" or "cosine".
    """

    user_vectors: np.ndarray
    item_vectors: np.ndarray
    score: str = "dot"

    @property
    def items(self) -> int:
        return len(self.item_vectors)

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor]:
        vectors = torch.from_numpy(self.user_vectors), torch.from_numpy(self.item_vectors)
        if self.score == "cosine":
            return torch.nn.functional.normalize(vectors[0]), torch.nn.functional.normalize(vectors[1])
        return vectors

    def write(self, users: np.ndarray, out: Tensor) -> None:
        user_vectors, item_vectors = self._tensors
        torch.mm(user_vectors[torch.from_numpy(users)], item_vectors.T, out=out)


@dataclass(frozen=True)
class Ranking:
    """The best items of some users.

    Attributes:
        items: int64 [len(users), k], best first; -1 where a user has fewer than k items that are not masked.
        scores: float32 [len(users), k].
    """

    items: np.ndarray
    scores: np.ndarray


def matrix_of(user: np.ndarray, item: np.ndarray, users: int, items: int) -> sp.csr_matrix:
    """Pairs as a sparse 0/1 matrix [users, items] with sorted indices."""
    matrix = sp.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(users, items))
    matrix.sort_indices()
    return matrix


def rank(scorer: Scorer, users: np.ndarray, masked: sp.csr_matrix, k: int, tie_seed: int = 0) -> Ranking:
    """Rank all items for `users` in blocks; what `masked` [users, items] holds for a user is left out.

    Raises:
        ModelError: a score is no number, or infinite; of −∞ alone an item is left out.
    """
    return rank_block(scorer, users, masked, k, tie_order(scorer.items, tie_seed))


def tie_order(items: int, seed: int) -> Tensor:
    """Places of the items, int64 [items], by which equal scores are ordered."""
    return torch.from_numpy(np.random.default_rng(seed).permutation(items))


def rank_block(scorer: Scorer, users: np.ndarray, masked: sp.csr_matrix, k: int, tie_rank: Tensor) -> Ranking:
    """As `rank`, with the order of equal scores given: `tie_rank`, a permutation of the items, int64 [items]."""
    items, k = scorer.items, min(k, scorer.items)
    width = max(1, round((items / k) ** 0.5))
    filled = items + -items % width  # whole groups of `width`; the columns that fill up are masked like what is seen
    tie_rank = torch.cat([tie_rank, torch.arange(items, filled)])
    ranking = Ranking(np.empty((len(users), k), np.int64), np.empty((len(users), k), np.float32))
    size = block_users(items)

    def work(starts: Iterator[int]) -> None:
        """Rank one block after the other, as long as there are any."""
        buffer = torch.full((min(size, len(users)), filled), -torch.inf)
        for start in starts:
            block = users[start : start + size]
            scores = buffer[: len(block)]
            scorer.write(block, scores[:, :items])
            seen = masked[block]
            rows = np.repeat(np.arange(len(block)), np.diff(seen.indptr))
            scores[torch.from_numpy(rows), torch.from_numpy(seen.indices.astype(np.int64))] = -torch.inf
            best, columns = top_k(scores, k, tie_rank, width)
            if not (best[:, 0] < torch.inf).all():  # NaN comes first, too
                raise ModelError("a model gave a score that is not finite; a lower learning_rate helps")
            columns[torch.isinf(best)] = -1
            ranking.items[start : start + len(block)] = columns.numpy()
            ranking.scores[start : start + len(block)] = best.numpy()

    in_threads(work, range(0, len(users), size))
    return ranking


def block_users(items: int) -> int:
    """Users of a block: as many as have their scores in the cache of one core."""
    return min(BLOCK_USERS, max(LEAST_USERS, BLOCK_SCORES // max(1, items)))


def in_threads(work: Callable[[Iterator[int]], None], starts: range) -> None:
    """Let every thread that torch may use take from `starts` as long as there are any; torch itself uses one in each.

    So many small steps side by side are faster than one step after the other in many threads.
    """
    threads, left = torch.get_num_threads(), iter(starts)
    if min(threads, len(starts)) <= 1:
        work(left)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(threads, len(starts))) as pool:
            for done in [pool.submit(work, left) for _ in range(min(threads, len(starts)))]:
                done.result()
    finally:
        torch.set_num_threads(threads)


def top_k(scores: Tensor, k: int, tie_rank: Tensor, width: int = 1) -> tuple[Tensor, Tensor]:
    """The k best of each row, best first; equal scores in the order of `tie_rank`.

    The k best lie in the k groups with the best maxima, so only those are looked through; √(n / k) columns a group make
    that cheapest.

    Args:
        scores: float32 [rows, n]; tie_rank: int64 [n], a permutation.
        width: columns of a group, a divisor of n; with 1 all columns are looked through.

    Returns:
        Their scores float32 [rows, k] and their columns int64 [rows, k].
    """
    rows, n = scores.shape
    groups = n // width
    peaks = scores.view(rows, width, groups).amax(dim=1)  # group g is the columns g, g + groups, g + 2·groups, …
    chosen = peaks.topk(min(k, groups), dim=1, sorted=False).indices
    candidates = (torch.arange(width)[:, None] * groups + chosen[:, None, :]).view(rows, -1)
    near = scores.gather(1, candidates)
    values, places = near.topk(k, dim=1)
    columns = candidates.gather(1, places)
    # Rows whose k-th score is also that of a column left out, here or in another group: there the choice is a tie.
    last = values[:, -1:]
    tied = ((near >= last).sum(dim=1) > k) | ((peaks >= last).sum(dim=1) > k)
    open_rows = tied.nonzero()[:, 0]
    if len(open_rows):
        keys = _ordered_keys(scores[open_rows], tie_rank)
        columns[open_rows] = keys.topk(k, dim=1).indices
        values[open_rows] = scores[open_rows].gather(1, columns[open_rows])
    if (values[:, 1:] == values[:, :-1]).any():
        by_tie = tie_rank[columns].argsort(dim=1)
        values, columns = values.gather(1, by_tie), columns.gather(1, by_tie)
        by_score = values.sort(dim=1, descending=True, stable=True).indices
        values, columns = values.gather(1, by_score), columns.gather(1, by_score)
    return values, columns


def _ordered_keys(scores: Tensor, tie_rank: Tensor) -> Tensor:
    """int64 keys, all different in a row, that order as (score, then the lower tie rank)."""
    bits = (scores + 0.0).view(torch.int32).to(torch.int64)  # adding 0 makes -0.0 and 0.0 the same
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return ordered * (len(tie_rank) + 1) - tie_rank


def ranking_metrics(
    ranking: Ranking, users: np.ndarray, relevant: sp.csr_matrix, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[tuple[str, int], np.ndarray]:
    """Metrics of every user at every cutoff.

    With m relevant items, h_r ∈ {0, 1} whether rank r hits, and P_r the precision at r:
    recall = Σh/m, precision = Σh/K, hit_rate = [Σh > 0], map = Σ h_r·P_r / min(m, K),
    ndcg = Σ h_r/log2(r+1) / Σ_{r ≤ min(m, K)} 1/log2(r+1).

    Args:
        users: the users of the ranking's rows; each has at least one relevant item.
        relevant: 0/1 [users, items].

    Returns:
        float64 [len(users)] by (metric, K); a cutoff beyond the ranking's width counts what is there.
    """
    truth = relevant[users]
    m = np.diff(truth.indptr)
    items = relevant.shape[1]
    known = np.repeat(np.arange(len(users)), m) * items + truth.indices
    asked = np.arange(len(users))[:, None] * items + ranking.items
    hits = np.isin(asked, known) & (ranking.items >= 0)  # [users, k]
    gain = 1 / np.log2(np.arange(2, max(*cutoffs, hits.shape[1]) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gain)])
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    results = {}
    for cutoff in cutoffs:
        top = hits[:, :cutoff]
        found, width = top.sum(axis=1), top.shape[1]
        best = np.minimum(m, cutoff)
        results["recall", cutoff] = found / m
        results["ndcg", cutoff] = (top * gain[:width]).sum(axis=1) / ideal[best]
        results["precision", cutoff] = found / cutoff
        results["map", cutoff] = (top * precision[:, :width]).sum(axis=1) / best
        results["hit_rate", cutoff] = (found > 0).astype(np.float64)
    return results
