"""The worked example of CONTRIBUTING.md: one entry makes a model that is searched, trained and kept."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage.artifacts.data_root import DataRoot
from storage.artifacts.saved_models import read_models
from storage.environment import PROJECT_ROOT
from tests.pipeline.in_process import Pipeline

NAME = "lightgcn_one_layer"


@pytest.mark.docs
def test_a_model_is_added_as_the_page_says(sample: Pipeline, tmp_path: Path) -> None:
    page = (PROJECT_ROOT / "CONTRIBUTING.md").read_text()
    (entry,) = re.findall(r"## Add a model\n.*?```python\n(.*?)```", page, re.DOTALL)
    assert NAME in entry
    for package in ("assets", "models", "pipeline", "storage"):
        shutil.copytree(PROJECT_ROOT / package, tmp_path / package)
    specs = tmp_path / "models" / "model_spec.py"
    text = specs.read_text()
    assert text.count("BASELINES = {\n") == 1
    specs.write_text(text.replace("BASELINES = {\n", "BASELINES = {\n" + entry))
    data = sample.copy(tmp_path / "data").root.root
    (tmp_path / "home").mkdir()
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path), "REC_DATA": str(data), "DAGSTER_HOME": str(tmp_path / "home"),
    }  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "asset", "materialize", "-m", "pipeline.definitions"]
    select = ["--select", f"key:{NAME}", "--partition", "sample"]
    done = subprocess.run([*command, *select], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    root = DataRoot(data)
    models = read_models(data / root.manifest(NAME, "sample").path)
    assert {fit.config["loss"] for fit in models.fits} == {"bpr", "softmax"}
    assert {fit.config["layers"] for fit in models.fits} == {1}
