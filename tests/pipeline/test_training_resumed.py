"""What `kill -9` costs in the middle of a search or a training, in real processes."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.environment import PROJECT_ROOT
from storage.files.atomic import sha256_of
from tests.pipeline.in_process import Pipeline

# Runs one asset in a process of its own, counts the epochs that it trains, and kills it after some.
SCRIPT = """
import os, signal, sys
from pathlib import Path
import models.training.trainer
from tests.pipeline.in_process import Pipeline, failures

folder, asset, die_after = sys.argv[1], sys.argv[2], int(sys.argv[3])
few = {"force": True, "max_epochs": 14, "evaluate_every": 5, "seeds": 2}
count, one_epoch = 0, models.training.trainer._epoch

def counting(*given):
    global count
    if die_after and count >= die_after:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    return one_epoch(*given)

models.training.trainer._epoch = counting
result = Pipeline(Path(folder)).run("sample", f'key:"{asset}"', {asset: few})
assert result.success, failures(result)
print("epochs", count)
"""


def run(folder: Path, asset: str, die_after: int = 0) -> subprocess.CompletedProcess[str]:
    given = [str(folder), asset, str(die_after)]
    return subprocess.run([sys.executable, "-c", SCRIPT, *given], cwd=PROJECT_ROOT, capture_output=True, text=True)


def epochs_of(run: subprocess.CompletedProcess[str]) -> int:
    assert run.returncode == 0, run.stderr
    return int(run.stdout.split()[-1])


@pytest.fixture
def folders(sample: Pipeline, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of the sample's data."""
    for name in ("undisturbed", "disturbed"):
        shutil.copytree(sample.root.root, tmp_path / name)
    return tmp_path / "undisturbed", tmp_path / "disturbed"


@pytest.mark.process
def test_a_killed_search_and_training_go_on_where_they_were_to_the_same_model(folders: tuple[Path, Path]) -> None:
    undisturbed, disturbed = folders
    whole = epochs_of(run(undisturbed, "gated_lightgcn"))
    assert whole == 84  # 14 of both trials and of the second seed under each loss; the first seed's is that of a trial
    before = sha256_of(disturbed / "gated_lightgcn" / "sample.manifest.json")
    # In the second trial, two epochs after its second look.
    assert run(disturbed, "gated_lightgcn", die_after=26).returncode == -signal.SIGKILL
    assert sha256_of(disturbed / "gated_lightgcn" / "sample.manifest.json") == before
    assert run(disturbed, "gated_lightgcn", die_after=50).returncode == -signal.SIGKILL  # 24 + 50: in the last training
    assert sha256_of(disturbed / "gated_lightgcn" / "sample.manifest.json") == before
    assert epochs_of(run(disturbed, "gated_lightgcn")) < 84 - 24 - 40
    versions = [
        json.loads((folder / "gated_lightgcn" / "sample.manifest.json").read_bytes())["data_version"]
        for folder in (undisturbed, disturbed)
    ]
    assert versions[0] == versions[1]
    assert not (disturbed / ".work" / "checkpoints" / "sample" / "gated_lightgcn").exists()
