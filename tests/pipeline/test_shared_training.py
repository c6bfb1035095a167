"""The sample's gated model trained by several processes: by its asset, by torchrun, and by Ray Train."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets.core.compute import Compute
from assets.core.ray_cluster import Shares
from assets.training import distributed
from assets.training.fit_one import on_processors
from assets.training.warm_start import KEYS
from models.config import RecommenderConfig, TrainerConfig
from pipeline.definitions import assemble
from storage.artifacts.data_root import DataRoot
from storage.artifacts.saved_models import SavedModel, read_model, read_models
from storage.environment import PROJECT_ROOT
from storage.errors import InputError
from tests.pipeline.in_process import Pipeline, failures

MODEL = "gated_lightgcn"
SETTINGS = {"loss": "softmax", "max_epochs": 10, "evaluate_every": 5, "dim": 16}


@pytest.fixture(scope="module")
def data(sample: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sample's data."""
    return shutil.copytree(sample.root.root, tmp_path_factory.mktemp("shared") / "data")


def by_asset(data: Path, **settings: Any) -> SavedModel:
    return by_run(Pipeline(data), **settings)


def by_run(pipeline: Pipeline, **settings: Any) -> SavedModel:
    result = pipeline.run("sample", f"key:{MODEL}", {MODEL: SETTINGS | settings})
    assert result.success, failures(result)
    return read_models(pipeline.root.artefact(pipeline.root.manifest(MODEL, "sample"))).main


@pytest.fixture(scope="module")
def alone(data: Path) -> SavedModel:
    """What one process makes of it."""
    return by_asset(data)


def assert_same(found: SavedModel, alone: SavedModel) -> None:
    assert found.config["best_epoch"] == alone.config["best_epoch"]
    np.testing.assert_allclose(found.config["loss_curve"], alone.config["loss_curve"], rtol=0, atol=1e-5)
    assert found.tensors.keys() | set(KEYS) == alone.tensors.keys()  # who is who is known to the asset alone
    for name, array in ((name, alone.tensors[name]) for name in found.tensors):
        np.testing.assert_allclose(found.tensors[name], array, rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.process
def test_the_asset_is_the_same_whatever_the_number_of_processes(data: Path, alone: SavedModel) -> None:
    assert_same(by_asset(data, processes=2, force=True), alone)
    pipeline = Pipeline(data)
    assert pipeline.run("sample", f"key:{MODEL}", {MODEL: SETTINGS | {"processes": 4}}).success
    assert pipeline.metadata(MODEL, "sample")["reused"]


def launched(data: Path, launcher: list[str], out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    given = ["--dataset", "sample", "--model", MODEL, "--loss", "softmax", "--out", str(out)]
    return subprocess.run(
        [sys.executable, *launcher, *given, "--config", json.dumps(SETTINGS), *more],
        cwd=PROJECT_ROOT,
        env=os.environ | {"REC_DATA": str(data), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "assets.training.distributed"]


def assert_made(done: subprocess.CompletedProcess[str], out: Path, alone: SavedModel) -> None:
    assert done.returncode == 0, done.stderr[-4000:]
    facts = json.loads(done.stdout.splitlines()[-1])
    assert (facts["processes"], facts["epochs"]) == (2, 10)
    assert facts["bytes_a_step"]["gradients"] == 4 * 16 * sum(
        alone.tensors[f"weights.fusion.project_{view}.weight"].shape[1] for view in ("visual", "textual")
    )
    assert Path(facts["path"]).resolve() == out / facts["version"]
    assert_same(read_model(out / facts["version"] / "softmax-0"), alone)


@pytest.mark.process
def test_torchrun_trains_what_the_asset_does(data: Path, alone: SavedModel, tmp_path: Path) -> None:
    assert_made(launched(data, TORCHRUN, tmp_path), tmp_path, alone)


@pytest.mark.process
def test_what_cannot_be_trained_is_told_in_one_sentence(data: Path, tmp_path: Path) -> None:
    done = launched(data, TORCHRUN, tmp_path, "--config", '{"dim": 15}')
    assert done.returncode != 0
    assert f"{MODEL} of sample: 2 processes cannot share the 15 dimensions of user_id.weight equally." in done.stderr
    done = launched(data, ["-m", "assets.training.distributed"], tmp_path)
    assert done.stderr.splitlines()[-1] == "begin it by torchrun, or with --ray"


@pytest.mark.ray
def test_ray_train_trains_what_the_asset_does(data: Path, alone: SavedModel, tmp_path: Path) -> None:
    out = Path(os.path.relpath(tmp_path, PROJECT_ROOT))  # workers of Ray have folders of their own
    assert_made(launched(data, ["-m", "assets.training.distributed", "--ray", "2"], out), tmp_path, alone)


def test_nothing_is_trained_on_what_failed_a_check(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = DataRoot(shutil.copytree(data, tmp_path / "data"))
    splits = root.manifest("splits", "sample")
    root.write_manifest(splits.model_copy(update={"verdicts": splits.verdicts | {"splits_complete": False}}))
    monkeypatch.setenv("REC_DATA", str(root.root))
    given = argparse.Namespace(dataset="sample", model=MODEL, loss="bpr", seed=0, config={}, out=tmp_path)
    with pytest.raises(InputError, match=r"^splits has failed its check splits_complete, and nothing is built on it"):
        distributed.task_of(given)


def test_processes_share_a_training_on_processors_alone() -> None:
    assert on_processors(TrainerConfig(device="auto")).device == "cpu"
    with pytest.raises(InputError, match=r"^device is 'cuda:1', and processes share a training on processors alone"):
        on_processors(TrainerConfig(device="cuda:1"))


def test_more_processes_than_a_cluster_has_processors_for_are_refused(tmp_path: Path) -> None:
    recipe = {"recommender": RecommenderConfig(), "training": TrainerConfig()}
    task = distributed.Task(root=tmp_path, dataset="sample", model=MODEL, out=tmp_path, **recipe)
    with pytest.raises(InputError, match=r"^4 processes were asked for, and the Ray cluster has 2 processors$"):
        next(distributed.fit_on_workers(task, 4, Shares.of(Compute(), [(2, 0)])))


@pytest.mark.ray
def test_an_asset_has_ray_train_begin_its_processes_where_compute_is_ray(data: Path, alone: SavedModel) -> None:
    pipeline = Pipeline(data)
    pipeline.definitions = assemble(pipeline.root, pipeline.catalogue, Compute(engine="ray"))
    assert_same(by_run(pipeline, processes=2, force=True), alone)
    assert not list(pipeline.root.root.glob(".work/checkpoints/*/*/*"))
