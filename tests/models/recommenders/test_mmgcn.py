"""MMGCN, against its equations written out node by node."""

import numpy as np
import pytest
import torch

from models.config import Loss, RecommenderConfig, TrainerConfig
from models.recommenders.fusion import Modality
from models.recommenders.mmgcn import Mmgcn
from models.recommenders.propagation import normalised_adjacency
from models.training.trainer import train

USER = np.array([0, 0, 1, 2])
ITEM = np.array([0, 1, 1, 0])
USERS, ITEMS, DIM = 4, 3, 3  # user 3 and item 2 have no edges
ISOLATED = [3, USERS + 2]
NEIGHBOURS = {0: [4, 5], 1: [5], 2: [4], 3: [], 4: [0, 2], 5: [0, 1], 6: []}

Weights = dict[str, np.ndarray]


def modalities() -> tuple[Modality, Modality]:
    """Two views of different widths; the last item has no text."""
    rng = np.random.default_rng(0)
    visual, textual = rng.normal(size=(ITEMS, 2)), rng.normal(size=(ITEMS, 5))
    return (
        Modality.of(visual.astype(np.float32), np.array([True, True, True])),
        Modality.of(textual.astype(np.float32), np.array([True, True, False])),
    )


def mmgcn(layers: int) -> Mmgcn:
    """With weights so large that every part of the equations is felt."""
    graph = normalised_adjacency(USER, ITEM, USERS, ITEMS)
    model = Mmgcn(RecommenderConfig(architecture="mmgcn", layers=layers, dim=DIM), USERS, ITEMS, graph, modalities())
    generator = torch.Generator().manual_seed(3)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, generator=generator)
    return model


def weights_of(model: Mmgcn) -> Weights:
    return {name: weight.detach().numpy().astype(np.float64) for name, weight in model.named_parameters()}


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.01 * x)


def by_equations(weights: Weights, layers: int) -> np.ndarray:
    """Vectors of all nodes, [USERS + ITEMS, DIM], in double precision."""
    of_views = []
    for view, modality in enumerate(modalities()):
        w = {name.removeprefix(f"views.{view}."): value for name, value in weights.items()}
        preference = list(w["preference.weight"])
        projected = [w["project.weight"] @ row + w["project.bias"] for row in modality.features.numpy()]
        x = [row / np.linalg.norm(row) for row in preference + projected]
        for layer in range(layers):
            after = []
            for node, neighbours in NEIGHBOURS.items():
                messages = [w[f"aggregate.{layer}.weight"] @ x[neighbour] for neighbour in neighbours]
                received = leaky(np.mean(messages, axis=0)) if messages else np.zeros(DIM)
                own = leaky(w[f"keep.{layer}.weight"] @ x[node] + w[f"keep.{layer}.bias"]) + weights["id.weight"][node]
                after.append(leaky(w[f"combine.{layer}.weight"] @ received + w[f"combine.{layer}.bias"] + own))
            x = after
        of_views.append(np.array(x))
    return (of_views[0] + of_views[1]) / 2


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_vectors_are_the_equations_node_by_node(layers: int) -> None:
    model = mmgcn(layers)
    user, item = model.vectors()
    assert (user.shape, item.shape, user.dtype, item.dtype) == ((USERS, DIM), (ITEMS, DIM), np.float32, np.float32)
    np.testing.assert_allclose(np.concatenate([user, item]), by_equations(weights_of(model), layers), atol=1e-5)


def test_nodes_without_neighbours_hear_nothing() -> None:
    model = mmgcn(layers=2)
    before = np.concatenate(model.vectors())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "aggregate" in name or ("combine" in name and "weight" in name):
                weight.mul_(2)
    after = np.concatenate(model.vectors())
    np.testing.assert_array_equal(after[ISOLATED], before[ISOLATED])
    joined = np.setdiff1d(np.arange(USERS + ITEMS), ISOLATED)
    assert (np.abs(after[joined] - before[joined]).max(axis=1) > 0.01).all()


def test_only_the_places_of_the_adjacency_count() -> None:
    graph = normalised_adjacency(USER, ITEM, USERS, ITEMS)
    config = RecommenderConfig(architecture="mmgcn", dim=DIM)
    torch.manual_seed(0)
    model = Mmgcn(config, USERS, ITEMS, graph, modalities())
    other = Mmgcn(config, USERS, ITEMS, graph * 7, modalities())
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(np.concatenate(other.vectors()), np.concatenate(model.vectors()))


def test_a_batch_gets_rows_of_the_vectors_and_of_the_ids() -> None:
    model = mmgcn(layers=2)
    user, item = model.vectors()
    ids = weights_of(model)["id.weight"]
    after, before = model.of_batch(torch.tensor([3, 0, 3]), torch.tensor([2, 1]))
    np.testing.assert_allclose(after.detach(), np.concatenate([user[[3, 0, 3]], item[[2, 1]]]), rtol=1e-6)
    np.testing.assert_allclose(before.detach(), ids[[3, 0, 3, USERS + 2, USERS + 1]], rtol=1e-6)


def slope(weights: Weights, name: str, place: tuple[int, ...], direction: np.ndarray, step: float = 1e-6) -> float:
    """How Σ direction · vectors of the equations changes with one number of a weight, by central differences."""
    values = []
    for sign in (1, -1):
        moved = weights[name].copy()
        moved[place] += sign * step
        values.append((by_equations(weights | {name: moved}, layers=2) * direction).sum())
    return (values[0] - values[1]) / (2 * step)


def test_gradients_of_all_weights_are_the_slopes_of_the_equations() -> None:
    model = mmgcn(layers=2)
    weights = weights_of(model)
    users, items = torch.tensor([1, 3, 1]), torch.tensor([0, 2])
    weight_after = torch.randn(5, DIM, generator=torch.Generator().manual_seed(1))
    direction = np.zeros((USERS + ITEMS, DIM))
    for node, row in zip([1, 3, 1, USERS, USERS + 2], weight_after.numpy(), strict=True):
        direction[node] += row
    (model.of_batch(users, items)[0] * weight_after).sum().backward()
    for name, weight in model.named_parameters():
        expected = np.array([slope(weights, name, place, direction) for place in np.ndindex(*weight.shape)])
        assert weight.grad is not None, name
        assert np.abs(expected).max() > 1e-3, name
        np.testing.assert_allclose(weight.grad.flatten(), expected, rtol=1e-3, atol=1e-4, err_msg=name)


def test_gradients_reach_as_many_steps_as_there_are_layers() -> None:
    model = mmgcn(layers=2)
    total = model.of_batch(torch.tensor([], dtype=torch.int64), torch.tensor([0]))[0].sum()
    names, weights = zip(*model.named_parameters(), strict=True)
    gradients = dict(zip(names, torch.autograd.grad(total, weights), strict=True))
    assert all(gradient.any() for gradient in gradients.values())
    # Item 0 hears users 0 and 2, who heard items 0 and 1; user 1 is three steps away.
    tables = ("id.weight", "views.0.preference.weight", "views.1.preference.weight")
    reached = [np.flatnonzero(gradients[name].any(dim=1)).tolist() for name in tables]
    assert reached == [[0, 2, USERS], [0, 2], [0, 2]]


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_it_learns_what_is_planted(loss: Loss) -> None:
    # Even users have even items, odd users odd ones; neither view tells them apart.
    users, items = 40, 30
    rng = np.random.default_rng(0)
    user, item = np.array([(u, i) for u in range(users) for i in range(u % 2, items, 2) if rng.random() < 0.5]).T
    views = [Modality.of(rng.normal(size=(items, 4)).astype(np.float32), np.ones(items, bool)) for _ in range(2)]
    torch.manual_seed(0)
    graph = normalised_adjacency(user, item, users, items)
    model = Mmgcn(RecommenderConfig(architecture="mmgcn", dim=8), users, items, graph, views)
    settings = TrainerConfig(loss=loss, learning_rate=0.02, batch_size=64, max_epochs=10, patience=100)

    def camps_told_apart(user_vectors: np.ndarray, item_vectors: np.ndarray) -> float:
        scores = user_vectors @ item_vectors.T
        own = np.arange(users)[:, None] % 2 == np.arange(items)[None, :] % 2
        wins = [(scores[u, own[u]][:, None] > scores[u, ~own[u]][None, :]).mean() for u in range(users)]
        return float(np.mean(wins))

    start = camps_told_apart(*model.vectors())
    history = train(model, user, item, settings, torch.device("cpu"), camps_told_apart, lambda: None)
    assert history.loss[-1] < history.loss[0]
    assert start < 0.7
    assert history.best_value > 0.95
    assert camps_told_apart(*model.vectors()) == history.best_value
