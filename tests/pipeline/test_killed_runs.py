"""`kill -9` at twelve seeded points of a full run: the next goes on there, and ends where the undisturbed one does."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.artifacts.tables import read_table
from storage.environment import PROJECT_ROOT

POINTS, SEED = 12, 20261125
TIMED = ("seconds", "train_s", "tune_s", "eval_s")  # what no two runs share
# Runs everything of a dataset as `make run` does, in a process of its own, and kills it at the n-th time that it opens
# a file below the data root to write, or gives one its name.
SCRIPT = """
import os, signal, sys
from pathlib import Path
import dagster as dg
from tests.pipeline.in_process import Pipeline, failures
from pipeline.runs.doctor import diagnose

root, home, die_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
count = 0

def on_event(event, given):
    global count
    if event not in ("os.rename", "open") or root not in str(given[0]):
        return
    if event == "os.rename" or given[2] & os.O_WRONLY:
        count += 1
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    pipeline = Pipeline(Path(root))
    pipeline.instance = dg.DagsterInstance.from_config(home)
    for said in diagnose(pipeline.instance, pipeline.root):
        print("doctor:", said)
    sys.addaudithook(on_event)
    result = pipeline.run("quick", "*")
    assert result.success, failures(result)
    print("points", count)
"""


class Place:
    """A data root and a Dagster home of their own."""

    def __init__(self, folder: Path):
        self.root, self.home = DataRoot(folder / "data"), folder / "home"
        self.root.root.mkdir(parents=True)
        self.home.mkdir()
        (self.home / "dagster.yaml").write_bytes((PROJECT_ROOT / "deploy" / "dagster.yaml").read_bytes())
        self.script = folder / "run.py"
        self.script.write_text(SCRIPT)

    def run(self, die_at: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self.script), str(self.root.root), str(self.home), str(die_at)]
        own = {"DAGSTER_HOME": str(self.home), "PYTHONPATH": str(PROJECT_ROOT), "OMP_NUM_THREADS": "1"}
        environment = os.environ | own
        return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=1200)

    def made(self) -> dict[str, Any]:
        """What there is of every asset: its version, or what it says where that has times in it."""
        found = {}
        for path in sorted(self.root.root.glob("*/quick.manifest.json")):
            manifest = Manifest.model_validate_json(path.read_bytes())
            if manifest.asset in ("leaderboard", "tuning"):
                table = read_table(self.root.artefact(manifest))
                timed = [name for name in TIMED if name in table.column_names]
                found[manifest.asset] = table.drop_columns(timed).to_pylist()
            elif manifest.asset != "report":  # it says when it was made
                self.root.artefact(manifest)
                found[manifest.asset] = manifest.data_version
        return found

    def left_behind(self) -> list[str]:
        return [path.name for path in self.root.root.rglob(".*") if path.suffix in (".partial", ".aside")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """What a run makes that nobody kills, and how many points it passes."""
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    done = place.run()
    assert done.returncode == 0, done.stderr[-2000:]
    return place.made(), int(done.stdout.split()[-1])


@pytest.mark.long
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("number", range(POINTS))
def test_a_run_that_is_killed_is_gone_on_with_to_the_same_end(
    undisturbed: tuple[dict[str, Any], int], tmp_path: Path, number: int
) -> None:
    expected, points = undisturbed
    die_at = random.Random(SEED).sample(range(1, points + 1), POINTS)[number]
    place = Place(tmp_path)
    assert place.run(die_at).returncode == -signal.SIGKILL
    resumed = place.run()
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert " is over: its process " in resumed.stdout  # nobody waited for it
    assert place.left_behind() == []
    assert json.dumps(place.made(), sort_keys=True) == json.dumps(expected, sort_keys=True)
