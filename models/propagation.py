"""LightGCN's propagation: neighbours are averaged over the user-item graph, without weights or nonlinearity.

He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020.
"""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor


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


def torch_csr(matrix: sp.csr_matrix, device: torch.device) -> Tensor:
    """The same matrix as a torch CSR tensor with int32 indices."""
    rows, columns = (torch.from_numpy(part.astype(np.int32)) for part in (matrix.indptr, matrix.indices))
    values = torch.from_numpy(matrix.data)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(rows, columns, values, size=matrix.shape, device=device, check_invariants=True)


class SymmetricProduct(torch.autograd.Function):
    """A sparse product with a symmetric matrix: its gradient is the same product, so no transpose is ever made."""

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, dense: Tensor) -> Tensor:
        ctx.adjacency = adjacency
        return adjacency @ dense

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, ctx.adjacency @ grads[0]


def propagate(adjacency: Tensor, vectors: Tensor, layers: int) -> Tensor:
    """Mean of the vectors after 0, 1, … `layers` steps.

    Args:
        adjacency: CSR [nodes, nodes], symmetric.
        vectors: [nodes, dim].
    """
    total = layer = vectors
    for _ in range(layers):
        layer = SymmetricProduct.apply(adjacency, layer)
        total = total + layer
    return total / (layers + 1)
