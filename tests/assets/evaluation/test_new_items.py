"""Items held out of training are gone from it wholly, and ranked by what is left."""

import numpy as np
import pytest
import torch

from assets.evaluation.new_item_mixing import MIXED_METRICS, SHARES, mixed_rows
from assets.evaluation.new_items import Cold, Views, recall_rows, scorers, train_without, warm_data
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from models.model_spec import LEARNED, PLACING_MODEL
from models.ranking.ranking import Vectors
from storage.artifacts.arrays import NearestItems
from storage.artifacts.saved_models import SavedModel
from storage.artifacts.tables import Embeddings
from storage.errors import InputError

RNG = np.random.default_rng(0)
PAIRS = np.unique(RNG.integers(0, (40, 30), (400, 2)), axis=0)
PARTS = Parts(PAIRS[:, 0], PAIRS[:, 1], RNG.choice([TRAIN, TRAIN, VALIDATION, TEST], len(PAIRS)), 40, 30)


def test_nothing_of_a_cold_item_is_left_and_nothing_else_is_gone() -> None:
    cold = Cold.of(PARTS, 0.2, seed=1)
    assert len(cold.items) == 6
    assert set(cold.kept) | set(cold.items) == set(range(30))
    left = {(u, i) for u, i in PAIRS.tolist() if i not in set(cold.items.tolist())}
    assert set(zip(cold.warm.user.tolist(), cold.kept[cold.warm.item].tolist(), strict=True)) == left
    wanted = {(u, int(cold.items[c])) for u, c in zip(*cold.wanted.nonzero(), strict=True)}
    assert wanted == {(u, i) for u, i in PAIRS.tolist()} - left
    assert (cold.warm.users, cold.warm.items) == (40, 24)


def test_users_have_something_cold_and_something_warm_in_train() -> None:
    cold = Cold.of(PARTS, 0.2, seed=1)
    warm = set(cold.warm.pairs(TRAIN)[0].tolist())
    having = set(PAIRS[np.isin(PAIRS[:, 1], cold.items), 0].tolist())
    assert set(cold.users.tolist()) == warm & having


def test_the_draw_is_seeded() -> None:
    assert Cold.of(PARTS, 0.2, 1).items.tolist() == Cold.of(PARTS, 0.2, 1).items.tolist()
    assert Cold.of(PARTS, 0.2, 1).items.tolist() != Cold.of(PARTS, 0.2, 2).items.tolist()


def test_too_little_to_hold_out_is_one_sentence() -> None:
    alone = Parts(np.array([0, 1]), np.array([0, 1]), np.array([TRAIN, TRAIN]), 2, 2)
    with pytest.raises(InputError, match="nobody has both one of the 1 items held out"):
        Cold.of(alone, 0.99, 0)
    with pytest.raises(InputError, match="of a single item"):
        Cold.of(Parts(np.array([0]), np.array([0]), np.array([TRAIN]), 1, 1), 0.5, 0)


def views_of(rng: np.random.Generator) -> Views:
    """Embeddings of 30 items: pictures of all, texts of most."""
    has_text = np.arange(30) % 4 != 0
    texts = rng.normal(size=(30, 5)).astype(np.float32) * has_text[:, None]
    pictures = rng.normal(size=(30, 6)).astype(np.float32)
    return Views(Embeddings(pictures, np.ones(30, bool), {}), Embeddings(texts, has_text, {}))


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_training_never_hears_of_an_item_held_out(loss: str) -> None:
    """Whatever their pictures and texts are, the model is the same; and it ranks them by these."""
    cold = Cold.of(PARTS, 0.2, seed=1)
    recommender = {"dim": 4, **LEARNED[PLACING_MODEL].fixed, "loss": loss, "max_epochs": 2, "shared_negatives": 8}
    like = SavedModel({}, {"model": PLACING_MODEL, "seed": 0, "score": "dot", "kind": "vectors", **recommender})
    views = views_of(np.random.default_rng(1))
    model = train_without(cold, like, views, "cpu")
    others = views_of(np.random.default_rng(1))
    others.visual.matrix[cold.items] = 7
    others.textual.matrix[cold.items] = -7
    again = train_without(cold, like, others, "cpu")
    for name, value in model.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], value)
    assert len(model.tensors["item_vectors"]) == 24
    found = scorers(cold, model, views)
    assert {name: scorer.items for name, scorer in found.items()} == dict.fromkeys(found, 6)
    # By likeness: the cosine of an item with those of a history, both centred over the items that are not held out.
    user = int(cold.users[0])
    scores = torch.empty(1, 6)
    found["content_neighbours"].write(np.array([user]), scores)
    history = cold.kept[cold.warm.item[(cold.warm.user == user) & (cold.warm.split == TRAIN)]]
    train_items = np.unique(cold.kept[cold.warm.pairs(TRAIN)[1]])
    wanted = np.zeros(6)
    for view in (views.visual, views.textual):
        there = cold.kept[view.has_value[cold.kept]]
        moved = (view.matrix - view.matrix[there].mean(axis=0)) * view.has_value[:, None]
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        for column, item in enumerate(cold.items):
            nearest = train_items[np.argsort(-(moved[train_items] @ moved[item]), kind="stable")[:20]]
            wanted[column] += sum(max(moved[one] @ moved[item], 0) for one in set(nearest) & set(history))
    np.testing.assert_allclose(scores[0].numpy(), wanted, atol=1e-5)


def test_rows_have_the_recall_that_a_perfect_and_a_blind_order_have() -> None:
    cold = Cold.of(PARTS, 0.9, seed=0)
    items = np.eye(len(cold.items), dtype=np.float32)
    perfect = Vectors(cold.wanted.toarray(), items)
    worst = Vectors(-cold.wanted.toarray(), items)
    found = {
        (row["method"], row["metric"], row["k"]): row for row in recall_rows(cold, {"best": perfect, "worst": worst}, 0)
    }
    counts = np.diff(cold.wanted.indptr)[cold.users]
    assert found["best", "recall", 10]["value"] == pytest.approx(np.minimum(10 / counts, 1).mean())
    assert found["best", "ndcg", 20]["value"] == pytest.approx(1)
    assert found["worst", "recall", 10]["value"] < 0.5
    assert found["best", "recall", 10]["n_items"] == 27
    assert found["best", "recall", 10]["n_users"] == len(cold.users)


def test_the_nearest_items_held_out_are_no_neighbours_and_the_others_move_up() -> None:
    cold = Cold.of(PARTS, 0.2, seed=1)
    out = set(cold.items.tolist())
    nearest = np.tile(np.arange(30, dtype=np.int32), (30, 1))
    nearest[0, 25:] = -1
    data = warm_data(cold, views_of(np.random.default_rng(3)), NearestItems(nearest, nearest))
    assert data.content is not None
    found = data.content.nearest_visual
    assert found is not None
    for new, old in enumerate(cold.kept.tolist()):
        wanted = [cold.kept.tolist().index(n) for n in nearest[old].tolist() if n >= 0 and n not in out]
        assert found[new].tolist() == wanted + [-1] * (30 - len(wanted))


def test_mixed_lists_find_new_items_and_what_it_costs_is_counted() -> None:
    """30 items, of which 6 are held out; a list of 20 of the 24 others less those in train."""
    rng = np.random.default_rng(5)
    cold, views = Cold.of(PARTS, 0.2, seed=1), views_of(rng)
    config = {"dim": 4, **LEARNED[PLACING_MODEL].fixed, "loss": "bpr", "max_epochs": 1, "shared_negatives": 8}
    like = SavedModel({}, {"model": PLACING_MODEL, "seed": 0, "score": "dot", "kind": "vectors", **config})
    placing = train_without(cold, like, views, "cpu")
    scores = rng.normal(size=(40, 24)).astype(np.float32)
    chosen = Vectors(scores, np.eye(24, dtype=np.float32))
    rows = {(row["method"], row["metric"]): row for row in mixed_rows(cold, chosen, placing, views, 0)}
    train = {(int(u), int(i)) for u, i in zip(*cold.warm.pairs(TRAIN), strict=True)}
    test = {(int(u), int(i)) for u, i in zip(*cold.warm.pairs(TEST), strict=True)}
    recalls = []
    for user in range(40):
        mine = {i for u, i in test if u == user}
        if mine and any(u == user for u, _ in train):
            best = [i for i in np.argsort(-scores[user]) if (user, int(i)) not in train][:20]
            recalls.append(len(mine & {int(i) for i in best}) / len(mine))
    assert rows["share 0", "recall_of_others"]["value"] == pytest.approx(np.mean(recalls))
    assert rows["share 0", "recall_of_new"]["value"] == 0
    new, others = ([rows[f"share {s:g}", metric]["value"] for s in SHARES] for metric in MIXED_METRICS)
    assert new == sorted(new)
    assert new[-1] > 0
    assert others == sorted(others, reverse=True)
    assert rows["share 0.5", "recall_of_new"]["n_items"] == 6
