"""Propagation over the user-item graph."""

import numpy as np
import torch
from torch import Tensor

from models.propagation import SymmetricProduct, normalised_adjacency, propagate, torch_csr

USER = np.array([0, 0, 1, 2])
ITEM = np.array([0, 1, 1, 0])
USERS, ITEMS = 4, 3  # user 3 and item 2 have no edges


def dense() -> np.ndarray:
    """The same matrix by its definition, one entry at a time."""
    nodes = USERS + ITEMS
    adjacency = np.zeros((nodes, nodes))
    for user, item in zip(USER, ITEM, strict=True):
        adjacency[user, USERS + item] = adjacency[USERS + item, user] = 1
    degree = adjacency.sum(axis=1)
    for row in range(nodes):
        for column in range(nodes):
            if adjacency[row, column]:
                adjacency[row, column] /= (degree[row] * degree[column]) ** 0.5
    return adjacency


def csr() -> Tensor:
    return torch_csr(normalised_adjacency(USER, ITEM, USERS, ITEMS), torch.device("cpu"))


def test_the_adjacency_is_symmetric_and_normalised() -> None:
    matrix = normalised_adjacency(USER, ITEM, USERS, ITEMS)
    np.testing.assert_allclose(matrix.toarray(), dense(), rtol=1e-6)
    assert matrix.dtype == np.float32
    assert csr().crow_indices().dtype == torch.int32


def test_layers_are_averaged() -> None:
    vectors = torch.randn(USERS + ITEMS, 5, generator=torch.Generator().manual_seed(0))
    a, e = dense(), vectors.numpy()
    np.testing.assert_allclose(propagate(csr(), vectors, 2), (e + a @ e + a @ a @ e) / 3, atol=1e-6)
    assert propagate(csr(), vectors, 0) is not None
    np.testing.assert_array_equal(propagate(csr(), vectors, 0), e)


def test_the_gradient_is_that_of_the_dense_product() -> None:
    vectors = torch.randn(USERS + ITEMS, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.randn(USERS + ITEMS, 5, generator=torch.Generator().manual_seed(1))
    (SymmetricProduct.apply(csr(), vectors) * weight).sum().backward()
    np.testing.assert_allclose(vectors.grad, dense().T @ weight.numpy(), atol=1e-6)
