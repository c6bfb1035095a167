"""LightGCN's propagation: neighbours are averaged over the user-item graph, without weights or nonlinearity.

He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020. Two runs on a
CPU with the same number of threads give the same bits.
"""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

# A product with some rows costs what their edges cost, and as much again to cut them out and to turn them.
CHEAPER_BELOW = 0.5


def normalised_adjacency(user: np.ndarray, item: np.ndarray, users: int, items: int) -> sp.csr_matrix:
    """D^-1/2 A D^-1/2 of the bipartite graph; users are nodes 0 … users-1, items follow.

    Args:
        user, item: int [edges], each pair once.

    Returns:
        float32 CSR [users + items, users + items], int32 indices, symmetric; isolated nodes have empty rows.
    """
    nodes = users + items
    rows = np.concatenate([user, item + users])
    columns = np.concatenate([item + users, user])
    degree = np.bincount(rows, minlength=nodes)
    values = 1.0 / np.sqrt(degree[rows].astype(np.float64) * degree[columns])
    matrix = sp.csr_matrix((values.astype(np.float32), (rows, columns)), shape=(nodes, nodes))
    matrix.sort_indices()
    return matrix


def torch_csr(matrix: sp.csr_matrix, device: torch.device, check: bool = True) -> Tensor:
    """The same matrix as a torch CSR tensor with int32 indices."""
    rows, columns = (torch.from_numpy(part.astype(np.int32, copy=False)) for part in (matrix.indptr, matrix.indices))
    values = torch.from_numpy(matrix.data)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(rows, columns, values, size=matrix.shape, device=device, check_invariants=check)


class Propagation:
    """The mean of vectors after 0, 1, … `layers` steps, of all nodes or of a batch's alone.

    Every step writes into buffers that are made once: fresh memory of a table's size costs more than the product.

    Args:
        adjacency: CSR [users + items, users + items], symmetric; not looked at if `layers` is 0.
    """

    def __init__(
        self, adjacency: sp.csr_matrix | None, users: int, items: int, dim: int, layers: int, device: torch.device
    ):
        if layers and adjacency is None:
            raise ValueError("propagation needs a graph")
        self.layers, self.device = layers, device
        self.matrix = sp.csr_matrix((users + items,) * 2, dtype=np.float32) if adjacency is None else adjacency
        self.degree = np.diff(self.matrix.indptr)
        self.adjacency = torch_csr(self.matrix, device)
        self._buffers = [torch.zeros(users + items, dim, device=device) for _ in range(2)]
        # Held here, so that autograd copies a gradient out of its buffer and never takes the buffer itself.
        self._parts = [buffer.split([users, items]) for buffer in self._buffers]

    def everywhere(self, user: Tensor, item: Tensor) -> Tensor:
        """Vectors of all nodes, users first, [users + items, dim]; without a gradient."""
        layer, other = self._buffers
        total = torch.cat([user, item], out=layer).clone()
        for _ in range(self.layers):
            layer, other = self._step(layer, other), layer
            total += layer
        return total.div_(self.layers + 1)

    def at(self, nodes: Tensor, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of some nodes after propagation and before it, [len(nodes), dim] each; gradients reach all nodes.

        Args:
            nodes: int64, users first; repeats are allowed.
            user: [users, dim]; item: [items, dim].
        """
        distinct, place = torch.unique(nodes, return_inverse=True)
        after, before = _AtNodes.apply(self, distinct, user, item)
        # Not after[place]: on a CPU the gradient of indexing adds in no fixed order, and no two runs are equal.
        return after.index_select(0, place), before.index_select(0, place)

    def forward(self, nodes: Tensor, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor, sp.csr_matrix | None]:
        """The vectors of distinct `nodes` after and before propagation, and their rows of the matrix if cut out."""
        layer, other = self._buffers
        torch.cat([user, item], out=layer)
        before = layer.index_select(0, nodes)
        total = before.clone()
        rows = self._rows(nodes)
        for step in range(1, self.layers + 1):
            if step == self.layers and rows is not None:
                torch.addmm(total, torch_csr(rows, layer.device, check=False), layer, out=total)
            else:
                layer, other = self._step(layer, other), layer
                total += layer.index_select(0, nodes)
        return total.div_(self.layers + 1), before, rows

    def backward(
        self, nodes: Tensor, rows: sp.csr_matrix | None, after: Tensor, before: Tensor
    ) -> tuple[Tensor, Tensor]:
        """From gradients of `nodes` to those of all users and items: the steps are symmetric, so they are the same."""
        share = after / (self.layers + 1)
        gradient, other = self._buffers
        gradient.zero_().index_add_(0, nodes, share)
        for step in range(1, self.layers + 1):
            if step == 1 and rows is not None:
                turned = torch_csr(rows.T.tocsr(), other.device, check=False)
                torch.addmm(other, turned, share, beta=0, out=other)
            else:
                self._step(gradient, other)
            gradient, other = other, gradient
            gradient.index_add_(0, nodes, share)
        gradient.index_add_(0, nodes, before)
        return self._parts[self.layers % 2]

    def _step(self, vectors: Tensor, out: Tensor) -> Tensor:
        return torch.addmm(out, self.adjacency, vectors, beta=0, out=out)

    def _rows(self, nodes: Tensor) -> sp.csr_matrix | None:
        """The matrix's rows of `nodes`, if the last step is cheaper with them alone; on a GPU it never is."""
        if not self.layers or nodes.device.type != "cpu":
            return None
        wanted = nodes.numpy()
        if self.degree[wanted].sum() > CHEAPER_BELOW * self.matrix.nnz:
            return None
        return self.matrix[wanted]


class _AtNodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, propagation: Propagation, nodes: Tensor, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        after, before, ctx.rows = propagation.forward(nodes, user, item)
        ctx.propagation, ctx.nodes = propagation, nodes
        return after, before

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor, Tensor]:
        return None, None, *ctx.propagation.backward(ctx.nodes, ctx.rows, *grads)
