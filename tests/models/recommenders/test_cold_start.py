"""New items are placed by the same projections and the same gate as those that the model has seen."""

from typing import Any

import numpy as np
import pytest

from models.config import RecommenderConfig
from models.errors import ModelError
from models.model_spec import LEARNED, PLACING_MODEL
from models.recommenders.cold_start import content_neighbours, place_by_content
from models.recommenders.fusion import Modality
from models.recommenders.propagation import normalised_adjacency
from models.recommenders.recommender import Recommender
from models.training.build_and_fit import Content, TrainSet, new_model

KNOWN, ALL = 6, 9  # the last three are new
RNG = np.random.default_rng(5)
PICTURES, TEXTS = (RNG.normal(size=(ALL, width)).astype(np.float32) for width in (4, 3))
HAS_PICTURE = np.array([1, 1, 0, 1, 1, 1, 1, 0, 1], bool)
HAS_TEXT = np.array([1, 1, 1, 0, 1, 1, 1, 1, 0], bool)
CORE = np.arange(ALL) < KNOWN


def config(**settings: Any) -> RecommenderConfig:
    return RecommenderConfig.model_validate({"dim": 8} | LEARNED[PLACING_MODEL].fixed | settings)


def trained() -> tuple[Recommender, dict[str, np.ndarray]]:
    user, item = np.array([0, 0, 1, 2]), np.array([0, 1, 2, 3])
    views = (
        Modality.of(PICTURES[:KNOWN], HAS_PICTURE[:KNOWN]),
        Modality.of(TEXTS[:KNOWN], HAS_TEXT[:KNOWN]),
    )
    data = TrainSet(user, item, 3, KNOWN, normalised_adjacency(user, item, 3, KNOWN), Content(*views))
    model = new_model(config(), data, seed=0)
    assert isinstance(model, Recommender)
    return model, {name: value.numpy() for name, value in model.state_dict().items()}


def views() -> tuple[Modality, Modality]:
    return Modality.of(PICTURES, HAS_PICTURE, CORE), Modality.of(TEXTS, HAS_TEXT, CORE)


def test_items_that_are_known_are_placed_where_training_has_them() -> None:
    model, weights = trained()
    found = place_by_content(config(), weights, *views())
    np.testing.assert_allclose(found[:KNOWN], model.layer_0()[1].detach().numpy(), atol=1e-6)
    # Items 4 and 5 have no edges: there propagation leaves the direction alone.
    np.testing.assert_allclose(found[4:KNOWN] / 3, model.vectors()[1][4:], atol=1e-6)


def test_a_new_item_is_moved_by_the_centre_of_the_known_ones() -> None:
    _, weights = trained()
    found = place_by_content(config(), weights, *views())
    moved = PICTURES[8] - PICTURES[:KNOWN][HAS_PICTURE[:KNOWN]].mean(axis=0)  # item 8 has a picture alone
    wanted = weights["fusion.project_visual.weight"] @ (moved / np.linalg.norm(moved))
    np.testing.assert_allclose(found[8], wanted, atol=1e-6)


def test_a_model_whose_items_have_ids_places_nothing() -> None:
    with pytest.raises(ModelError, match="use_id"):
        place_by_content(config(use_id=True), {}, *views())


def test_likeness_is_the_cosine_to_the_nearest_known_items_of_both_views() -> None:
    visual, textual = views()
    known, new = np.arange(KNOWN), np.arange(KNOWN, ALL)
    found = content_neighbours(visual, textual, known, new, k=2).toarray()
    wanted = np.zeros((ALL, 3))
    for view in (visual, textual):
        features = view.features.numpy()
        for column, item in enumerate(new):
            cosines = features[:KNOWN] @ features[item]
            for best in np.argsort(-cosines)[:2]:
                wanted[best, column] += max(cosines[best], 0)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert not found[KNOWN:].any()
