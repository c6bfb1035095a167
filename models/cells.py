"""Nearly the nearest of many vectors, looked for in the cells near to each: inverted lists.

After Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011, without the quantisation.
Work is n × PROBES × CELL_ITEMS products in large blocks, and n² / CELL_ITEMS to choose the cells. To walk a graph of
neighbours takes fewer products, but each waits for memory: beyond the caches that is slower, and grows faster than n.
"""

import hashlib

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

CELL_ITEMS, PROBES = 128, 64
ROUNDS, SAMPLE_A_CELL = 4, 64  # of k-means
SECTION_ROWS = 1 << 16
BLOCK_ENTRIES = 1 << 24  # similarities at a time: 64 MB


def neighbours_in_cells(vectors: Tensor, k: int) -> np.ndarray:
    """The k other rows of largest inner product among those of the PROBES nearest cells.

    Args:
        vectors: float32 [n, d], of length 1 or 0; k: at most n − 1.

    Returns:
        int64 [n, k], best first; -1 where the cells held fewer.
    """
    candidates = first_of_equals(vectors, k + 1)
    centres = cell_centres(vectors[candidates], max(len(candidates) // CELL_ITEMS, 1))
    cell = _nearest(vectors[candidates], centres, 1)[:, 0]
    members = candidates[cell.argsort(stable=True)]
    inside = vectors[members]
    ends = torch.bincount(cell, minlength=len(centres)).cumsum(0).tolist()
    place = torch.full((len(vectors),), -1)
    place[members] = torch.arange(len(members))
    sections = torch.arange(len(vectors)).split(SECTION_ROWS)
    return torch.cat(
        [_of_section(rows, vectors, k, centres, members, inside, ends, place) for rows in sections]
    ).numpy()


def first_of_equals(vectors: Tensor, most: int) -> Tensor:
    """The rows, ascending, without those that have `most` equal ones before them.

    Equal rows would crowd one cell, and no row needs more than its k nearest, which are the first of equal ones.
    """
    digests = [int.from_bytes(hashlib.blake2b(row, digest_size=8).digest()) for row in vectors.numpy()]
    order = np.argsort(np.array(digests, np.uint64), kind="stable")
    _, starts, counts = np.unique(np.array(digests, np.uint64)[order], return_index=True, return_counts=True)
    before = np.arange(len(order)) - np.repeat(starts, counts)
    return torch.from_numpy(np.sort(order[before < most]))


def cell_centres(vectors: Tensor, count: int) -> Tensor:
    """Centres of length 1 by spherical k-means on a seeded sample; float32 [count, d]."""
    chosen = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[: SAMPLE_A_CELL * count]
    sample = vectors[chosen]
    centres = sample[:count].clone()
    for _ in range(ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, _nearest(sample, centres, 1)[:, 0], sample)
        centres = torch.where(sums.any(dim=1, keepdim=True), F.normalize(sums), centres)
    return centres


def _nearest(vectors: Tensor, centres: Tensor, count: int) -> Tensor:
    """The `count` centres of largest inner product with each row, int64 [n, count]."""
    blocks = vectors.split(max(BLOCK_ENTRIES // len(centres), 1))
    return torch.cat([(block @ centres.T).topk(count).indices for block in blocks])


def _of_section(
    rows: Tensor,
    vectors: Tensor,
    k: int,
    centres: Tensor,
    members: Tensor,
    inside: Tensor,
    ends: list[int],
    place: Tensor,
) -> Tensor:
    """The nearest of some consecutive rows, int64 [rows, k].

    Args:
        members: the rows that may be found, by cell; inside: their vectors; ends: where each cell ends in both.
        place: where each row stands in `members`; -1 if it may not be found.
    """
    own = vectors[rows]
    asked = _nearest(own, centres, min(PROBES, len(centres))).int()
    asking = asked.flatten().argsort(stable=True) // asked.shape[1]
    counts = torch.bincount(asked.flatten(), minlength=len(centres)).tolist()
    best, nearest = torch.full((len(rows), k), -torch.inf), torch.full((len(rows), k), -1)
    for first, end, some in zip([0, *ends], ends, asking.split(counts), strict=False):
        for block in some.split(max(BLOCK_ENTRIES // max(end - first, 1), 1)) if end > first else ():
            similarity = own[block] @ inside[first:end].T
            itself = place[rows[block]] - first
            here = ((itself >= 0) & (itself < end - first)).nonzero()[:, 0]
            similarity[here, itself[here]] = -torch.inf
            found = similarity.topk(min(k, end - first), sorted=False)
            both = torch.cat([best[block], found.values], dim=1)
            numbers = torch.cat([nearest[block], members[first + found.indices]], dim=1)
            best[block], chosen = both.topk(k)
            nearest[block] = numbers.gather(1, chosen)
    return nearest.masked_fill_(torch.isinf(best), -1)
