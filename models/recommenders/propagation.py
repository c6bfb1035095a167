"""LightGCN's propagation: neighbours are averaged over the user-item graph, without weights or nonlinearity.

He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020. Two runs on a
CPU with the same number of threads give the same bits.
"""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# A product with some rows costs what their edges cost, and something to cut them out.
CHEAPER_BELOW = 0.7


def is_cheaper(nodes: Tensor, degree: np.ndarray, edges: int) -> bool:
    """Whether a product with the rows of some nodes is cheaper than one with all; on a GPU it never is."""
    return nodes.device.type == "cpu" and degree[nodes.numpy()].sum() <= CHEAPER_BELOW * edges


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


class SparseMatrix:
    """A constant sparse matrix on a device, to be multiplied with dense ones.

    On a CPU this is a sum of weighed rows, by `embedding_bag`: less than half of the time of a CSR product there.

    Args:
        matrix: float32 CSR [n, m].
    """

    def __init__(self, matrix: sp.csr_matrix, device: torch.device):
        self.device = device
        rows, columns = (
            torch.from_numpy(part.astype(np.int32, copy=False)) for part in (matrix.indptr, matrix.indices)
        )
        parts = rows.to(device), columns.to(device), torch.from_numpy(matrix.data).to(device)
        if device.type == "cpu":
            self._starts, self._columns, self._values = parts[0][:-1], *parts[1:]
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
                self._csr = torch.sparse_csr_tensor(*parts, size=matrix.shape)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """The product with [m, dim], [n, dim]; without a gradient."""
        if self.device.type == "cpu":
            return F.embedding_bag(self._columns, dense, self._starts, mode="sum", per_sample_weights=self._values)
        return self._csr @ dense


class Propagation:
    """The mean of vectors after 0, 1, … `layers` steps, of all nodes or of a batch's alone.

    Args:
        adjacency: CSR [users + items, users + items], symmetric; not looked at if `layers` is 0.
    """

    def __init__(self, adjacency: sp.csr_matrix | None, nodes: int, layers: int, device: torch.device):
        if layers and adjacency is None:
            raise ValueError("propagation needs a graph")
        self.layers, self.device = layers, device
        self.matrix = sp.csr_matrix((nodes, nodes), dtype=np.float32) if adjacency is None else adjacency
        self.degree = np.diff(self.matrix.indptr)
        self.adjacency = SparseMatrix(self.matrix, device)

    def everywhere(self, user: Tensor, item: Tensor) -> Tensor:
        """Vectors of all nodes, users first, [users + items, dim]; without a gradient."""
        layer = torch.cat([user, item])
        total = layer.clone()
        for _ in range(self.layers):
            layer = self.adjacency @ layer
            total += layer
        return total.div_(self.layers + 1)

    def sent(self, user: Tensor, item: Tensor) -> Tensor:
        """What every node adds to the final vectors of its neighbours, times the weight of the edge; no gradient.

        A final vector is its node's own before propagation, over layers + 1, and what the neighbours send.

        Returns:
            [users + items, dim].
        """
        layer = torch.cat([user, item])
        total = torch.zeros_like(layer)
        for _ in range(self.layers):
            total += layer
            layer = self.adjacency @ layer
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
        layer = torch.cat([user, item])
        before = layer.index_select(0, nodes)
        total = before.clone()
        rows = self._rows(nodes)
        for step in range(1, self.layers + 1):
            if step == self.layers and rows is not None:
                total += SparseMatrix(rows, layer.device) @ layer
            else:
                layer = self.adjacency @ layer
                total += layer.index_select(0, nodes)
        return total.div_(self.layers + 1), before, rows

    def backward(self, nodes: Tensor, rows: sp.csr_matrix | None, after: Tensor, before: Tensor) -> Tensor:
        """From gradients of `nodes` to those of all nodes: the steps are symmetric, so they are the same."""
        share = after / (self.layers + 1)
        gradient = share.new_zeros(len(self.degree), share.shape[1])
        if self.layers == 0:
            return gradient.index_add_(0, nodes, share + before)
        if rows is None:
            gradient = self.adjacency @ gradient.index_add_(0, nodes, share)
        else:
            gradient = SparseMatrix(rows.T.tocsr(), share.device) @ share
        for _ in range(self.layers - 1):
            gradient = self.adjacency @ gradient.index_add_(0, nodes, share)
        return gradient.index_add_(0, nodes, share + before)

    def _rows(self, nodes: Tensor) -> sp.csr_matrix | None:
        """The matrix's rows of `nodes`, if the last step is cheaper with them alone."""
        return self.matrix[nodes.numpy()] if self.layers and is_cheaper(nodes, self.degree, self.matrix.nnz) else None


class _AtNodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, propagation: Propagation, nodes: Tensor, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        after, before, ctx.rows = propagation.forward(nodes, user, item)
        ctx.propagation, ctx.nodes, ctx.sizes = propagation, nodes, (len(user), len(item))
        return after, before

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor, Tensor]:
        user, item = ctx.propagation.backward(ctx.nodes, ctx.rows, *grads).split(ctx.sizes)
        return None, None, user, item


class SomeRows:
    """Some rows of a constant symmetric matrix, to be multiplied with dense ones; gradients reach all rows of these.

    Args:
        matrix: float32 CSR [n, n]; rows: int64, distinct.
    """

    def __init__(self, matrix: sp.csr_matrix, rows: Tensor):
        chosen = matrix[rows.cpu().numpy()]
        self.forth, self.back = SparseMatrix(chosen, rows.device), SparseMatrix(chosen.T.tocsr(), rows.device)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """The product with [n, dim], [len(rows), dim]."""
        return _RowsProduct.apply(self, dense)


class _RowsProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: SomeRows, dense: Tensor) -> Tensor:
        ctx.rows = rows
        return rows.forth @ dense

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, ctx.rows.back @ grads[0].contiguous()


def symmetric_product(matrix: SparseMatrix, vectors: Tensor) -> Tensor:
    """S x for a constant symmetric S [n, n] and x [n, dim]; its gradient is the same product."""
    return _SymmetricProduct.apply(matrix, vectors)


class _SymmetricProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: SparseMatrix, vectors: Tensor) -> Tensor:
        ctx.matrix = matrix
        return matrix @ vectors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, ctx.matrix @ grads[0].contiguous()
