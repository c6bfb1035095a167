"""A score taken apart adds up to the score, and what has no part in it is named nowhere."""

import numpy as np
import pytest
import torch

from models.config import RecommenderConfig
from models.model_spec import LEARNED
from models.ranking.ranking import Vectors
from models.recommenders.explanations import Explainer, Reasons
from models.recommenders.fusion import Modality
from models.recommenders.item_graph import nearest_items
from models.recommenders.propagation import normalised_adjacency
from models.recommenders.recommender import Recommender
from models.training.build_and_fit import Content, TrainSet, new_model

USERS, ITEMS = 30, 20
RNG = np.random.default_rng(3)
PAIRS = np.unique(RNG.integers(0, (USERS - 1, ITEMS), (200, 2)), axis=0).T  # the last user has nothing
ADJACENCY = normalised_adjacency(PAIRS[0], PAIRS[1], USERS, ITEMS)
HAS_PICTURE, HAS_TEXT = np.arange(ITEMS) % 4 != 0, np.arange(ITEMS) % 5 != 0


def data() -> TrainSet:
    visual, textual = (RNG.normal(size=(ITEMS, width)).astype(np.float32) for width in (7, 5))
    content = Content(
        Modality.of(visual, HAS_PICTURE),
        Modality.of(textual, HAS_TEXT),
        nearest_items(visual, HAS_PICTURE, 5),
        nearest_items(textual, HAS_TEXT, 5),
    )
    return TrainSet(PAIRS[0], PAIRS[1], USERS, ITEMS, ADJACENCY, content)


def model_of(name: str, layers: int = 2, item_graph_layers: int = 0) -> Recommender:
    free = {"dim": 8, "layers": layers, "item_graph_layers": item_graph_layers, "knn_k": 3}
    model = new_model(RecommenderConfig.model_validate(free | LEARNED[name].fixed), data(), seed=1)
    assert isinstance(model, Recommender)
    return model


def explained(model: Recommender, score: str = "dot") -> tuple[Reasons, np.ndarray]:
    """All pairs with all of the history, and their scores."""
    edges = ADJACENCY[:USERS, USERS:].tocsr()
    users, items = np.arange(USERS), np.tile(np.arange(ITEMS), (USERS, 1))
    scores = torch.empty(USERS, ITEMS)
    Vectors(*model.vectors(), score).write(users, scores)
    return Explainer(model.anatomy(), score, edges).reasons(users, items, most=ITEMS), scores.numpy()


@pytest.mark.parametrize("name", [name for name in LEARNED if name != "mmgcn"])
def test_views_and_ids_add_up_to_the_item_vector(name: str) -> None:
    model = model_of(name, item_graph_layers=2 if LEARNED[name].item_graph else 0)
    whole = model.anatomy()
    np.testing.assert_allclose(whole.item, model.vectors()[1], atol=1e-6)
    # The rest is what IDs give: nothing of it is left once there are none.
    for table in filter(None, (model.user_id, model.item_id)):
        torch.nn.init.zeros_(table.weight)
    without_ids = model.anatomy()
    np.testing.assert_allclose(without_ids.item, whole.visual + whole.textual, atol=1e-6)


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_the_histories_parts_and_the_users_own_add_up_to_the_score(score: str) -> None:
    model = model_of("gated_lightgcn_plus", layers=3, item_graph_layers=1)
    torch.nn.init.zeros_(model.user_id.weight)  # then there is nothing of the user's own
    whole = model.anatomy()
    edges = ADJACENCY[:USERS, USERS:].toarray()
    own = edges @ whole.sent
    np.testing.assert_allclose(own, whole.user, atol=1e-6)
    found, scores = explained(model, score)
    np.testing.assert_allclose(found.score, scores, atol=1e-6)
    above, below = np.where(scores > 0, scores, 0), found.because_part.sum(axis=2)
    assert (below >= above - 1e-5).all()  # only what is above 0 is named, so it is no less than the score
    assert (found.because[USERS - 1] == -1).all()


def test_only_items_of_the_history_are_named_the_largest_part_first() -> None:
    found, _ = explained(model_of("gated_lightgcn"))
    histories = [set(PAIRS[1][PAIRS[0] == user]) for user in range(USERS)]
    for user, history in enumerate(histories):
        named = set(found.because[user].ravel().tolist()) - {-1}
        assert named <= history
    assert (np.diff(found.because_part, axis=2) <= 0).all()


def test_a_part_is_the_edge_times_what_the_item_sends_times_the_items_vector() -> None:
    model = model_of("lightgcn", layers=1)
    user_id, item_id = (table.weight.detach().numpy() for table in (model.user_id, model.item_id) if table is not None)
    found, _ = explained(model)
    user, item = int(PAIRS[0][0]), 3
    degree_user, degree_item = np.bincount(PAIRS[0], minlength=USERS), np.bincount(PAIRS[1], minlength=ITEMS)
    neighbours = PAIRS[0][PAIRS[1] == item]
    weights = 1 / np.sqrt(degree_item[item] * degree_user[neighbours])
    final = (item_id[item] + weights @ user_id[neighbours]) / 2
    parts = {
        int(j): item_id[j] / 2 / np.sqrt(degree_user[user] * degree_item[j]) @ final for j in PAIRS[1][PAIRS[0] == user]
    }
    wanted = sorted(((part, j) for j, part in parts.items() if part > 0), reverse=True)
    named = found.because[user, item]
    assert named[named >= 0].tolist() == [j for _, j in wanted]
    np.testing.assert_allclose(found.because_part[user, item, : len(wanted)], [part for part, _ in wanted], atol=1e-6)


def test_pictures_have_no_part_where_none_are_seen() -> None:
    found, _ = explained(model_of("ablation_text_only"))
    assert not found.visual.any()
    assert found.textual.any()
    ids, _ = explained(model_of("lightgcn"))
    assert not ids.visual.any() and not ids.textual.any()


def test_what_is_not_recommended_is_not_explained() -> None:
    model = model_of("gated_lightgcn")
    explainer = Explainer(model.anatomy(), "dot", ADJACENCY[:USERS, USERS:].tocsr())
    found = explainer.reasons(np.array([0]), np.array([[2, -1]]))
    alone = explainer.reasons(np.array([0]), np.array([[2]]))
    assert (found.because[0, 1] == -1).all() and found.visual[0, 1] == 0
    np.testing.assert_array_equal(found.because[0, :1], alone.because[0])
