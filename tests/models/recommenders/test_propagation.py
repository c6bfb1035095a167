"""Propagation over the user-item graph."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.recommenders.propagation import Propagation, SparseMatrix, normalised_adjacency, symmetric_product

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


def test_the_adjacency_is_symmetric_and_normalised() -> None:
    matrix = normalised_adjacency(USER, ITEM, USERS, ITEMS)
    np.testing.assert_allclose(matrix.toarray(), dense(), rtol=1e-6)
    assert matrix.dtype == np.float32
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32


def test_a_symmetric_product_is_its_own_gradient() -> None:
    matrix = SparseMatrix(normalised_adjacency(USER, ITEM, USERS, ITEMS), torch.device("cpu"))
    x, weight = torch.randn(2, USERS + ITEMS, 3, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    found = symmetric_product(matrix, x)
    np.testing.assert_allclose(found.detach(), dense() @ x.detach().numpy(), atol=1e-6)
    (found * weight).sum().backward()
    np.testing.assert_allclose(x.grad, dense() @ weight.numpy(), atol=1e-6)


def test_a_matrix_without_entries_gives_zeros() -> None:
    nothing = SparseMatrix(normalised_adjacency(USER[:0], ITEM[:0], USERS, ITEMS), torch.device("cpu"))
    assert (nothing @ torch.ones(USERS + ITEMS, 2)).tolist() == [[0.0, 0.0]] * (USERS + ITEMS)


def propagation(layers: int) -> Propagation:
    graph = normalised_adjacency(USER, ITEM, USERS, ITEMS)
    return Propagation(graph, USERS + ITEMS, layers, torch.device("cpu"))


def vectors(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Vectors of users and of items, both with gradients."""
    generator = torch.Generator().manual_seed(seed)
    user, item = (torch.randn(n, 5, generator=generator, requires_grad=True) for n in (USERS, ITEMS))
    return user, item


def averaged(layers: int) -> np.ndarray:
    """The matrix that propagation multiplies by: the mean of the powers 0 … layers."""
    powers = [np.linalg.matrix_power(dense(), power) for power in range(layers + 1)]
    return np.mean(powers, axis=0)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_layers_are_averaged(layers: int) -> None:
    user, item = (part.detach() for part in vectors())
    expected = averaged(layers) @ torch.cat([user, item]).numpy()
    np.testing.assert_allclose(propagation(layers).everywhere(user, item), expected, atol=1e-6)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("cheaper_below", [0.0, 1.0])  # the whole last step, the rows of the batch alone
def test_a_batch_gets_its_rows_and_gradients_reach_all_nodes(
    layers: int, cheaper_below: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.recommenders.propagation.CHEAPER_BELOW", cheaper_below)
    user, item = vectors()
    nodes = torch.tensor([5, 0, 4, 0])
    weight_after, weight_before = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))
    made = propagation(layers)
    for _ in range(2):  # the second time onto gradients that the first has made
        after, before = made.at(nodes, user, item)
        (after * weight_after + before * weight_before).sum().backward()
    start = torch.cat([user, item]).detach().numpy()
    np.testing.assert_allclose(after.detach(), (averaged(layers) @ start)[nodes], atol=1e-6)
    np.testing.assert_array_equal(before.detach(), start[nodes])
    chosen = np.eye(USERS + ITEMS)[nodes]
    expected = averaged(layers).T @ chosen.T @ weight_after.numpy() + chosen.T @ weight_before.numpy()
    np.testing.assert_allclose(torch.cat([user.grad, item.grad]), 2 * expected, atol=1e-5)
