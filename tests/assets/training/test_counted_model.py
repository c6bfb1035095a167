"""Models that are counted: which settings hold, what a search is kept for, and how large they may be."""

import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.core.asset_context import AssetContext
from assets.core.asset_result import AssetResult
from assets.core.settings import EaseSettings, ItemKnnSettings
from assets.training.counted_model import fit_counted
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.saved_models import SavedModels, write_models
from storage.catalogue import Dataset
from storage.files.atomic import sha256_of
from tests.assets.training.test_baselines import ROWS, TRAIN, splits

RECIPE = Recipe(code_version="1", settings={}, inputs={"splits": "1"})
Given = dict[str, Any]


def context_of(folder: Path, asset: str) -> AssetContext:
    """An asset of a dataset whose upstream assets are there by name."""
    root = DataRoot(folder)
    for name in ("interactions", "splits"):
        root.write_manifest(
            Manifest(
                asset=name, dataset="shop", path=f"{name}/shop.parquet", bytes=1, sha256="", data_version="1",
                recipe=Recipe(code_version="1", settings={}, inputs={}), numbering={}, facts={}, seconds=1.0,
            )
        )  # fmt: skip
    dataset = Dataset.model_construct(name="shop")
    return AssetContext(asset, dataset, root, "run", RECIPE)


def fitted(folder: Path, config: EaseSettings | ItemKnnSettings, table: pa.Table | None = None) -> AssetResult:
    asset = "ease" if isinstance(config, EaseSettings) else "item_knn"
    return fit_counted(context_of(folder, asset), config, splits() if table is None else table)


def publish(folder: Path, asset: str, made: AssetResult) -> None:
    """Put a model where the next run finds it."""
    root = DataRoot(folder)
    path, version = write_models(root.path(asset, "shop"), made.value)
    facts: Any = made.metadata
    root.write_manifest(
        Manifest(
            asset=asset, dataset="shop", path=str(path.relative_to(folder)), bytes=1, sha256=sha256_of(path),
            data_version=version, recipe=RECIPE, numbering={}, facts=facts, seconds=1.0,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (EaseSettings(tuning_trials=0), {"regularisation": 200.0}),
        (EaseSettings(tuning_trials=0, regularisation=50.0), {"regularisation": 50.0}),
        (EaseSettings(tuning_trials=2, regularisation=50.0), {"regularisation": 50.0}),
        (ItemKnnSettings(tuning_trials=0), {"neighbours": 100, "shrinkage": 0.0}),
        (ItemKnnSettings.model_validate({"tuning_trials": 0, "neighbours": 7}), {"neighbours": 7, "shrinkage": 0.0}),
    ],
)
def test_what_is_given_goes_before_what_is_searched_and_the_default(
    tmp_path: Path, settings: EaseSettings | ItemKnnSettings, expected: Given
) -> None:
    config = fitted(tmp_path, settings).value.main.config
    assert {name: config[name] for name in expected} == expected


def test_the_best_of_what_is_tried_is_fitted_and_everything_is_kept(tmp_path: Path) -> None:
    made = fitted(tmp_path, ItemKnnSettings(tuning_trials=3))
    facts: Any = made.metadata
    [chosen] = [trial for trial in made.value.trials if trial["chosen"]]
    assert len(made.value.trials) == len(facts["trial_seconds"]["none"]) == facts["trials_of_this_run"] == 3
    assert chosen["validation_ndcg"] == max(trial["validation_ndcg"] for trial in made.value.trials)
    for name in ("neighbours", "shrinkage"):
        assert f'"{name}": {made.value.main.config[name]}' in chosen["values"]
    assert facts["trials"]["markdown"].count("\n") == 4
    assert "chosen" in facts["trials"]["markdown"]


def test_a_search_is_kept_for_data_that_are_much_like_those_before(tmp_path: Path) -> None:
    first = fitted(tmp_path, ItemKnnSettings(tuning_trials=3))
    publish(tmp_path, "item_knn", first)
    again = fitted(tmp_path, ItemKnnSettings(tuning_trials=3))
    facts: Any = again.metadata
    assert again.value.trials == first.value.trials
    assert (facts["trials_of_this_run"], facts["search_s"]) == (0, 0.0)
    assert facts["kept"] == "settings found 0 days ago on 9 interactions are kept (retune: new_core)"
    assert again.value.main.config == first.value.main.config
    grown = splits([*ROWS, (0, 2, TRAIN), (1, 2, TRAIN)])
    facts = fitted(tmp_path, ItemKnnSettings(tuning_trials=3), grown).metadata
    assert facts["trials_of_this_run"] == 3
    assert "kept" not in facts


def test_the_settings_reach_the_weights_and_the_facts(tmp_path: Path) -> None:
    made = fitted(tmp_path, EaseSettings(tuning_trials=0, regularisation=6.0))
    facts: Any = made.metadata
    assert made.value.main.tensors["weights"][0, 1] == pytest.approx(2 / 10)
    assert facts["regularisation"] == 6.0
    assert list(facts["train_s"]) == ["none-0"]


def test_nearest_items_are_counted_however_many_items_there_are(tmp_path: Path) -> None:
    table = splits([*ROWS, (4, 199_999, TRAIN)])
    assert fitted(tmp_path, ItemKnnSettings(tuning_trials=0), table).value.main.tensors["data"].size == 4


def test_too_many_items_are_one_sentence_and_nothing_is_allocated(tmp_path: Path) -> None:
    table = splits([*ROWS, (4, 199_999, TRAIN)])
    context = context_of(tmp_path, "ease")
    tracemalloc.start()
    made = fit_counted(context, EaseSettings(), table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    assert made.value == SavedModels((), "200,000 items are over max_items (25,000)")
    assert made.metadata == {"skipped": "200,000 items are over max_items (25,000)"}


def test_as_many_items_as_may_be_are_not_too_many(tmp_path: Path) -> None:
    assert fitted(tmp_path, EaseSettings(max_items=3, tuning_trials=0)).value.fits
    said = fitted(tmp_path, EaseSettings(max_items=2, tuning_trials=0)).value.skipped
    assert said == "3 items are over max_items (2)"
