"""Which of four sources a setting of one training comes from."""

import json
from pathlib import Path
from typing import Any

import pytest

from assets.core.settings import LearnedSettings, ModelSettings
from assets.training.model_config import chosen_values, configure_model, free_space
from models.model_spec import LEARNED
from models.training.search_spaces import Between, OneOf
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.saved_models import SavedModels, write_models
from storage.files.atomic import sha256_of


def test_what_nothing_fixes_is_the_default() -> None:
    recommender, training = configure_model("lightgcn", "bpr", 0, LearnedSettings(), {})
    assert (recommender.dim, recommender.layers, recommender.item_encoder, recommender.score) == (64, 2, "id", "dot")
    assert (training.learning_rate, training.l2, training.batch_size) == (1e-3, 1e-4, None)
    assert [training.pairs_a_step(pairs) for pairs in (100, 49_999, 50_000, 10**8)] == [2048, 2048, 4096, 4096]


def test_what_was_tuned_goes_before_the_default() -> None:
    tuned = {"layers": 3, "score": "cosine", "learning_rate": 0.02, "temperature": 0.07}
    recommender, training = configure_model("lightgcn", "softmax", 0, LearnedSettings(), tuned)
    assert (recommender.layers, recommender.score) == (3, "cosine")
    assert (training.learning_rate, training.temperature, training.l2) == (0.02, 0.07, 1e-4)


def test_what_is_given_goes_before_what_was_tuned_even_where_it_is_the_default() -> None:
    given = ModelSettings.model_validate({"layers": 2, "learning_rate": 1e-3, "dim": 16})
    recommender, training = configure_model(
        "lightgcn", "bpr", 0, given, {"layers": 3, "learning_rate": 0.02, "l2": 0.5}
    )
    assert (recommender.layers, recommender.dim) == (2, 16)
    assert (training.learning_rate, training.l2) == (1e-3, 0.5)


@pytest.mark.parametrize(
    ("settings", "tuned"), [({"layers": 3}, {}), ({}, {"layers": 3}), ({"layers": 3}, {"layers": 1})]
)
def test_the_name_of_a_model_goes_before_all(settings: dict[str, Any], tuned: dict[str, Any]) -> None:
    given = ModelSettings.model_validate(settings)
    layers = {name: configure_model(name, "bpr", 0, given, tuned)[0].layers for name in LEARNED}
    assert layers["bpr_mf"] == layers["vbpr"] == layers["ablation_no_graph"] == 0
    assert layers["gated_lightgcn"] == layers["ablation_sum"] == layers["mmgcn"] == 2
    assert layers["lightgcn"] == layers["gated_lightgcn_plus"] == 3


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("vbpr", {"architecture": "lightgcn", "item_encoder": "visual", "content_apart": True, "use_id": True}),
        ("mmgcn", {"architecture": "mmgcn", "item_encoder": "id"}),
        ("gated_lightgcn_plus", {"architecture": "lightgcn", "item_encoder": "gated", "content_apart": False}),
        ("ablation_text_only", {"item_encoder": "text", "use_id": True}),
        ("ablation_no_gate", {"item_encoder": "mean", "use_id": True}),
        ("ablation_no_id", {"item_encoder": "gated", "use_id": False}),
    ],
)
def test_a_name_says_what_a_model_is_made_of(model: str, fields: dict[str, Any]) -> None:
    recommender = configure_model(model, "bpr", 0, LearnedSettings(), {})[0].model_dump()
    assert {name: recommender[name] for name in fields} == fields


def test_loss_and_seed_are_those_of_the_training_whatever_the_settings_say() -> None:
    for loss in ("bpr", "softmax"):
        training = configure_model("lightgcn", loss, 5, ModelSettings(loss="both", seeds=9), {"loss": "x", "seed": 1})[
            1
        ]
        assert (training.loss, training.seed) == (loss, 5)


def test_only_a_model_that_is_made_for_it_has_layers_over_the_item_graph() -> None:
    given, tuned = ModelSettings(item_graph_layers=2), {"item_graph_layers": 1}
    for settings, values in ((given, {}), (ModelSettings(), tuned), (given, tuned)):
        layers = {name: configure_model(name, "bpr", 0, settings, values)[0].item_graph_layers for name in LEARNED}
        assert layers.pop("gated_lightgcn_plus") == (2 if settings is given else 1)
        assert set(layers.values()) == {0}


def test_what_is_given_is_not_searched() -> None:
    assert free_space("lightgcn", "bpr", LearnedSettings(l2=0.1, dim=32)) == {
        "learning_rate": Between(5e-4, 2e-2),
        "initial_std": OneOf((0.01, 0.1)),
        "score": OneOf(("dot", "cosine")),
        "layers": OneOf((1, 2, 3)),
    }
    everything = LearnedSettings(l2=0.1, learning_rate=0.1, initial_std=0.1, score="dot", layers=2)
    assert free_space("lightgcn", "bpr", everything) == {}


def test_what_a_name_fixes_is_not_searched() -> None:
    descent = {"learning_rate", "l2", "initial_std", "score"}
    softmax = descent | {"temperature", "softmax_negatives", "logq_weight"}
    near = {"item_graph_layers", "knn_k", "visual_weight"}
    assert set(free_space("gated_lightgcn", "bpr", LearnedSettings())) == descent
    assert set(free_space("bpr_mf", "softmax", LearnedSettings())) == softmax
    assert set(free_space("gated_lightgcn_plus", "softmax", LearnedSettings())) == softmax | {"layers"} | near
    assert set(free_space("gated_lightgcn_plus", "bpr", LearnedSettings(item_graph_layers=0, layers=1))) == (
        descent | near - {"item_graph_layers"}
    )


def trial(model: str, loss: str, values: dict[str, Any], chosen: bool) -> dict[str, Any]:
    return {"model": model, "loss": loss, "values": json.dumps(values), "chosen": chosen}


def test_the_values_of_a_model_are_those_of_its_chosen_trial_under_the_loss(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    assert chosen_values(root, "shop", "lightgcn", "bpr") == {}
    trials = (
        trial("lightgcn", "bpr", {"layers": 1}, False),
        trial("lightgcn", "bpr", {"layers": 3, "score": "cosine"}, True),
        trial("lightgcn", "softmax", {"layers": 2}, True),
    )
    path, version = write_models(root.path("lightgcn", "shop"), SavedModels((), "", trials))
    root.write_manifest(
        Manifest(
            asset="lightgcn", dataset="shop", path=str(path.relative_to(tmp_path)), bytes=1, sha256=sha256_of(path),
            data_version=version, recipe=Recipe(code_version="1", settings={}, inputs={}), numbering={}, facts={},
            seconds=1.0,
        )
    )  # fmt: skip
    assert chosen_values(root, "shop", "lightgcn", "bpr") == {"layers": 3, "score": "cosine"}
    assert chosen_values(root, "shop", "lightgcn", "softmax") == {"layers": 2}
    assert chosen_values(root, "shop", "lightgcn", "none") == {}
