"""The embedded default, with nothing but SQLite and a local disk, when ten people start at the same moment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.environment import PROJECT_ROOT

TEN = [f"shop_{number}" for number in range(10)]
COUNT = """
from dagster import DagsterInstance, DagsterRunStatus
with DagsterInstance.get() as instance:
    runs = [record.dagster_run for record in instance.get_run_records()]
print(sorted(run.tags["dagster/partition"] for run in runs if run.status is DagsterRunStatus.SUCCESS))
"""


def catalogue_of_ten(folder: Path) -> Path:
    """Ten datasets, each of one review in a file of its own."""
    entries = {}
    for name in TEN:
        review = {"user_id": "U1", "parent_asin": name, "rating": 5.0, "timestamp": 1_600_000_000_000}
        (folder / f"{name}.jsonl").write_text(json.dumps(review) + "\n")
        entries[name] = {"format": "amazon2023", "reviews": f"{name}.jsonl", "metadata": f"{name}.jsonl"}
    file = folder / "datasets.yaml"
    file.write_text(json.dumps({"datasets": entries}))  # JSON is YAML
    return file


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_at_once_make_a_home_and_ten_runs_at_once_succeed(tmp_path: Path) -> None:
    environment = os.environ | {
        "DAGSTER_HOME": str(tmp_path / "home"),
        "REC_DATA": str(tmp_path / "data"),
        "REC_DATASETS": str(catalogue_of_ten(tmp_path)),
    }

    def at_once(commands: list[list[str]]) -> None:
        logs = [tmp_path / f"{number}.log" for number in range(len(commands))]
        started = []
        for command, log in zip(commands, logs, strict=True):
            with log.open("wb") as file:
                python = [sys.executable, "-W", "ignore", "-m", *command]
                started.append(subprocess.Popen(python, cwd=PROJECT_ROOT, env=environment, stdout=file, stderr=file))
        failed = [log for process, log in zip(started, logs, strict=True) if process.wait() != 0]
        assert not failed, failed[0].read_text()[-3000:]

    at_once([["pipeline.cli.commands", "home"]] * len(TEN))
    materialize = ["dagster", "asset", "materialize", "-m", "pipeline.definitions", "--select", "raw_reviews"]
    at_once([[*materialize, "--partition", name] for name in TEN])
    counted = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    assert counted.stdout.strip() == str(TEN)
    assert len(list((tmp_path / "data" / "raw_reviews").glob("*.manifest.json"))) == len(TEN)
