"""From a model's name and a dataset to a model: what each is made of, and the graph of like items inside of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import LOSSES, Loss, RecommenderConfig, TrainerConfig
from models.errors import ModelError
from models.model_spec import LEARNED
from models.recommenders.fusion import Modality
from models.recommenders.mmgcn import Mmgcn
from models.recommenders.propagation import normalised_adjacency
from models.recommenders.recommender import Recommender, VectorModel
from models.training.build_and_fit import Content, TrainSet, fit, new_model
from models.training.objectives import objective_of

USER = np.array([0, 0, 1, 2, 2, 3])
ITEM = np.array([0, 1, 1, 0, 3, 2])
USERS, ITEMS, DIM = 5, 6, 8  # user 4 and the items 4 and 5 have no edges
VISUAL_DIM, TEXTUAL_DIM = 3, 7
# Who is near to whom, best first. Item 5 has no picture, item 4 no text.
NEAREST_VISUAL = np.array([[1, 2], [0, 3], [3, 0], [2, 1], [3, 2], [-1, -1]], np.int32)
NEAREST_TEXTUAL = np.array([[5, 1], [2, 5], [1, 3], [5, 0], [-1, -1], [3, 0]], np.int32)


def content() -> Content:
    rng = np.random.default_rng(0)
    visual, textual = (rng.normal(size=(ITEMS, dim)).astype(np.float32) for dim in (VISUAL_DIM, TEXTUAL_DIM))
    has_visual, has_textual = NEAREST_VISUAL[:, 0] >= 0, NEAREST_TEXTUAL[:, 0] >= 0
    views = Modality.of(visual, has_visual), Modality.of(textual, has_textual)
    return Content(*views, NEAREST_VISUAL, NEAREST_TEXTUAL)


CONTENT = content()
DATA = TrainSet(USER, ITEM, USERS, ITEMS, normalised_adjacency(USER, ITEM, USERS, ITEMS), CONTENT)


def configure_model(model: str, **settings: Any) -> RecommenderConfig:
    return RecommenderConfig(dim=DIM, **LEARNED[model].fixed, **settings)


def recommender(model: str, data: TrainSet = DATA, **settings: Any) -> Recommender:
    made = new_model(configure_model(model, **settings), data, seed=1)
    assert isinstance(made, Recommender)
    return made


Shapes = dict[str, tuple[int, ...]]
IDS: Shapes = {"user_id.weight": (USERS, DIM), "item_id.weight": (ITEMS, DIM)}
PICTURES: Shapes = {"fusion.project_visual.weight": (DIM, VISUAL_DIM)}
TEXTS: Shapes = {"fusion.project_textual.weight": (DIM, TEXTUAL_DIM)}
GATE: Shapes = {"fusion.gate.weight": (DIM, 2 * DIM), "fusion.gate.bias": (DIM,)}
WEIGHTS: dict[str, Shapes] = {
    "bpr_mf": IDS,
    "lightgcn": IDS,
    "vbpr": IDS | {"item_id.weight": (ITEMS, DIM // 2), "fusion.project_visual.weight": (DIM // 2, VISUAL_DIM)},
    "gated_lightgcn": IDS | PICTURES | TEXTS | GATE,
    "gated_lightgcn_plus": IDS | PICTURES | TEXTS | GATE,
    "ablation_visual_only": IDS | PICTURES,
    "ablation_text_only": IDS | TEXTS,
    "ablation_sum": IDS | PICTURES | TEXTS,
    "ablation_concat": IDS
    | {
        "fusion.project_visual.weight": (DIM // 2, VISUAL_DIM),
        "fusion.project_textual.weight": (DIM // 2, TEXTUAL_DIM),
    },
    "ablation_no_gate": IDS | PICTURES | TEXTS,
    "ablation_no_graph": IDS | PICTURES | TEXTS | GATE,
    "ablation_no_id": {"user_id.weight": (USERS, DIM)} | PICTURES | TEXTS | GATE,
}


@pytest.mark.parametrize("model", sorted(LEARNED.keys() - {"mmgcn"}))
def test_a_name_says_which_weights_there_are(model: str) -> None:
    found = {name: tuple(weight.shape) for name, weight in recommender(model).state_dict().items()}
    assert found == WEIGHTS[model]


def test_mmgcn_is_a_module_of_its_own_with_two_views_and_two_layers() -> None:
    model = new_model(configure_model("mmgcn"), DATA, seed=1)
    assert isinstance(model, Mmgcn)
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    for view, width in enumerate((VISUAL_DIM, TEXTUAL_DIM)):
        assert shapes[f"views.{view}.project.weight"] == (DIM, width)
        assert f"views.{view}.aggregate.1.weight" in shapes
        assert f"views.{view}.aggregate.2.weight" not in shapes
    assert "views.2.project.weight" not in shapes


@pytest.mark.parametrize("model", LEARNED)
def test_every_model_gives_finite_vectors_of_all_users_and_items(model: str) -> None:
    user, item = new_model(configure_model(model), DATA, seed=1).vectors()
    assert (user.shape, item.shape) == ((USERS, DIM), (ITEMS, DIM))
    assert user.dtype == item.dtype == np.float32
    assert np.isfinite(user).all()
    assert np.isfinite(item).all()
    assert (np.abs(user).max(axis=1) > 0).all()


def loss_of(model: VectorModel, loss: Loss) -> Tensor:
    """Of all pairs, always with the same negatives."""
    user, item = torch.from_numpy(USER), torch.from_numpy(ITEM)
    objective = objective_of(TrainerConfig(loss=loss, shared_negatives=4), user, item, USERS, ITEMS)
    return objective(model, user, item, torch.Generator().manual_seed(2))[0]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", LEARNED)
def test_a_step_down_the_gradient_lowers_the_loss_by_as_much_as_it_promises(model: str, loss: Loss) -> None:
    made = new_model(configure_model(model), DATA, seed=1)
    before = loss_of(made, loss)
    weights = list(made.parameters())
    gradients = torch.autograd.grad(before, weights)
    assert all(gradient.any() for gradient in gradients)
    # To the first order a step of the length s changes the loss by -s times the squared norm of the gradient.
    promised = 1e-3
    step = promised / sum(gradient.square().sum().item() for gradient in gradients)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(step * gradient)
    assert before.item() - loss_of(made, loss).item() == pytest.approx(promised, rel=0.1)


@pytest.mark.parametrize("model", LEARNED)
def test_the_seed_decides_the_first_weights(model: str) -> None:
    first, same, other = (new_model(configure_model(model), DATA, seed).vectors()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("model", LEARNED)
def test_id_vectors_are_drawn_as_wide_as_asked_and_nothing_else_is(model: str) -> None:
    narrow, wide = (
        new_model(configure_model(model, initial_std=std), DATA, seed=1).state_dict() for std in (0.02, 0.2)
    )
    drawn = {name for name in narrow if name.split(".")[-2] in ("user_id", "item_id", "id", "preference")}
    for name, weight in narrow.items():
        np.testing.assert_allclose(wide[name], (10 if name in drawn else 1) * weight, rtol=1e-6)
    numbers = torch.cat([narrow[name].flatten() for name in drawn])
    assert len(numbers) >= USERS * DIM
    assert numbers.std().item() == pytest.approx(0.02, rel=0.3)  # of 40 numbers it is known to a ninth of itself


def test_an_item_of_vbpr_is_half_id_and_half_picture() -> None:
    model = recommender("vbpr")
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    pictures = CONTENT.visual.features.numpy() @ weights["fusion.project_visual.weight"].T
    user, item = model.vectors()
    np.testing.assert_array_equal(user, weights["user_id.weight"])
    np.testing.assert_allclose(item, np.hstack([weights["item_id.weight"], pictures]), atol=1e-6)
    assert not item[5, DIM // 2 :].any()  # has no picture
    assert not any("text" in name for name, _ in (*model.named_parameters(), *model.named_buffers()))


def likeness(k: int, visual_weight: float) -> np.ndarray:
    """w·S_v + (1 − w)·S_t, one edge at a time."""
    total = np.zeros((ITEMS, ITEMS))
    for nearest, weight in ((NEAREST_VISUAL, visual_weight), (NEAREST_TEXTUAL, 1 - visual_weight)):
        edges = {frozenset((item, int(other))) for item in range(ITEMS) for other in nearest[item, :k] if other >= 0}
        degree = [sum(item in edge for edge in edges) for item in range(ITEMS)]
        for one, other in edges:
            total[one, other] += weight / (degree[one] * degree[other]) ** 0.5
            total[other, one] = total[one, other]
    return total


def propagation(layers: int) -> np.ndarray:
    """The mean of the powers 0 … layers of the adjacency of users and items, by its definition."""
    adjacency = np.zeros((USERS + ITEMS, USERS + ITEMS))
    degree = np.bincount(np.concatenate([USER, USERS + ITEM]))
    for user, item in zip(USER, ITEM, strict=True):
        value = (degree[user] * degree[USERS + item]) ** -0.5
        adjacency[user, USERS + item] = adjacency[USERS + item, user] = value
    return np.mean([np.linalg.matrix_power(adjacency, power) for power in range(layers + 1)], axis=0)


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize(("steps", "k", "visual_weight"), [(1, 1, 0.3), (2, 1, 1.0), (2, 2, 0.3)])
def test_like_items_add_their_vectors_before_propagation(layers: int, steps: int, k: int, visual_weight: float) -> None:
    model = recommender(
        "gated_lightgcn_plus", layers=layers, item_graph_layers=steps, knn_k=k, visual_weight=visual_weight
    )
    assert model.fusion is not None
    assert model.item_id is not None
    users = model.user_id.weight.detach().numpy()
    e = (model.item_id.weight + model.fusion()).detach().numpy()
    expected = propagation(layers) @ np.concatenate([users, e])
    expected[USERS:] += np.linalg.matrix_power(likeness(k, visual_weight), steps) @ e
    np.testing.assert_allclose(np.concatenate(model.vectors()), expected, atol=1e-6)


@pytest.mark.parametrize("layers", [0, 2])
def test_the_gradient_through_the_item_graph_is_that_of_dense_matrices(layers: int) -> None:
    model = recommender("gated_lightgcn_plus", layers=layers, item_graph_layers=2, knn_k=2, visual_weight=0.3)
    user, item = torch.tensor([4, 0, 0]), torch.tensor([5, 1, 4, 1])
    weight = torch.randn(len(user) + len(item), DIM, generator=torch.Generator().manual_seed(0))
    weights = dict(model.named_parameters())
    found = torch.autograd.grad((model.of_batch(user, item)[0] * weight).sum(), list(weights.values()))
    assert model.fusion is not None
    e = weights["item_id.weight"] + model.fusion()
    spread, alike = (torch.from_numpy(part).float() for part in (propagation(layers), likeness(2, 0.3)))
    everywhere = spread @ torch.cat([weights["user_id.weight"], e])
    batch = torch.cat([everywhere[user], everywhere[USERS + item] + (alike @ alike @ e)[item]])
    expected = torch.autograd.grad((batch * weight).sum(), list(weights.values()))
    for name, one, other in zip(weights, found, expected, strict=True):
        assert other.any(), name
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=name)


def test_a_batch_with_like_items_gets_rows_of_the_vectors() -> None:
    model = recommender("gated_lightgcn_plus", item_graph_layers=1, knn_k=2)
    user, item = model.vectors()
    after, before = model.of_batch(torch.tensor([2, 0]), torch.tensor([4, 1, 1]))
    np.testing.assert_allclose(after.detach(), np.concatenate([user[[2, 0]], item[[4, 1, 1]]]), atol=1e-6)
    assert before.shape == after.shape
    np.testing.assert_array_equal(before[:2].detach(), model.user_id.weight[[2, 0]].detach())


IDS_ALONE = replace(DATA, content=None)
NO_GRAPH = replace(DATA, adjacency=None)
NO_ITEM_GRAPH = replace(DATA, content=replace(CONTENT, nearest_visual=None, nearest_textual=None))
NEED_CONTENT = [model for model, kind in LEARNED.items() if kind.content and model != "mmgcn"]


@pytest.mark.parametrize("model", NEED_CONTENT)
def test_missing_content_is_told_by_the_setting_that_asks_for_it(model: str) -> None:
    with pytest.raises(ModelError, match=r"^item_encoder '\w+' needs content, and there is none$"):
        new_model(configure_model(model), IDS_ALONE, seed=0)


@pytest.mark.parametrize("data", [IDS_ALONE, NO_GRAPH])
def test_mmgcn_without_content_or_graph_is_told_by_its_setting(data: TrainSet) -> None:
    with pytest.raises(ModelError, match="architecture 'mmgcn' needs content and a graph"):
        new_model(configure_model("mmgcn"), data, seed=0)


@pytest.mark.parametrize("data", [IDS_ALONE, NO_ITEM_GRAPH])
def test_a_missing_item_graph_is_told_by_its_setting(data: TrainSet) -> None:
    with pytest.raises(ModelError, match="item_graph_layers asks for a graph of items"):
        new_model(RecommenderConfig(item_graph_layers=1), data, seed=0)


def test_what_is_not_asked_for_may_be_missing() -> None:
    nothing = replace(DATA, adjacency=None, content=None)
    assert np.isfinite(new_model(configure_model("bpr_mf"), nothing, seed=0).vectors()[0]).all()
    assert np.isfinite(new_model(configure_model("lightgcn"), IDS_ALONE, seed=0).vectors()[0]).all()
    assert np.isfinite(
        new_model(configure_model("vbpr"), replace(NO_ITEM_GRAPH, adjacency=None), seed=0).vectors()[0]
    ).all()


@pytest.mark.parametrize("model", ["lightgcn", "gated_lightgcn"])
def test_a_missing_graph_is_told_by_its_setting(model: str) -> None:
    with pytest.raises(ModelError, match="layers"):
        new_model(configure_model(model), NO_GRAPH, seed=0)


def test_fitting_gives_the_model_of_the_best_look() -> None:
    seen = []

    def validate(user: np.ndarray, item: np.ndarray) -> float:
        seen.append(item.copy())
        return (0.1, 0.3, 0.2)[len(seen) - 1]

    epochs = []
    trainer = TrainerConfig(max_epochs=6, evaluate_every=2, device="cpu", seed=3)
    config = configure_model("gated_lightgcn")
    model, history = fit(config, trainer, DATA, validate, lambda: epochs.append(len(epochs)))
    assert (history.best_epoch, history.best_value, len(history.loss), len(epochs)) == (4, 0.3, 6, 6)
    np.testing.assert_array_equal(model.vectors()[1], seen[1])


def test_fitting_starts_from_the_weights_of_its_seed() -> None:
    config = configure_model("gated_lightgcn")
    trainer = TrainerConfig(max_epochs=1, learning_rate=1e-9, device="cpu", seed=3)
    model, _ = fit(config, trainer, DATA, lambda user, item: 1.0)
    start = new_model(config, DATA, seed=3).state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, start[name], rtol=0, atol=1e-8, msg=name)
