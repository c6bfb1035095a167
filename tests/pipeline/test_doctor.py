"""A run that was killed is in nobody's way: it is reported as failed, and what it held is free."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipeline.runs.doctor import cause_of_death, diagnose
from pipeline.tags import HEARTBEAT, HOST, PARTITION, PID, RUN
from storage.artifacts.data_root import DataRoot
from storage.environment import PROJECT_ROOT
from tests.pipeline.in_process import Pipeline

POOL = "one_at_a_time"
SCRIPT = """
import sys, time
from pathlib import Path
import dagster as dg
from pipeline.runs.run_lock import hold_run_lock
from storage.catalogue import load_catalogue
from storage.artifacts.data_root import DataRoot

TOYS = dg.StaticPartitionsDefinition(["sample"])

@dg.asset(partitions_def=TOYS, required_resource_keys={"run_lock"}, pool="one_at_a_time")
def slow():
    print("working", flush=True)
    time.sleep(float(sys.argv[2]))

if __name__ == "__main__":
    resources = {"run_lock": hold_run_lock, "catalogue": load_catalogue(), "data_root": DataRoot(Path(sys.argv[1]))}
    with dg.DagsterInstance.get() as instance:
        dg.materialize([slow], partition_key="sample", resources=resources, instance=instance)
"""


class Place:
    """A Dagster home and a data root, and runs in processes of their own."""

    def __init__(self, folder: Path):
        self.home, self.root, self.script = folder / "home", DataRoot(folder / "data"), folder / "run.py"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_bytes((PROJECT_ROOT / "deploy" / "dagster.yaml").read_bytes())
        self.script.write_text(SCRIPT)
        self.environment = {**os.environ, "DAGSTER_HOME": str(self.home), "PYTHONPATH": str(PROJECT_ROOT)}

    def start(self, seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, str(self.script), str(self.root.root), str(seconds)]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def only_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    (run,) = instance.get_runs()
    return run


@pytest.mark.process
def test_a_killed_run_is_failed_its_place_is_free_and_the_next_run_passes(place: Place) -> None:
    first = place.start(60)
    assert first.stdout and first.stdout.readline() == "working\n"
    with place.instance() as instance:
        run = only_run(instance)
        assert list(diagnose(instance, place.root)) == []  # it lives
        assert run.tags[PID] == str(first.pid)
        assert instance.event_log_storage.get_concurrency_info(POOL).active_run_ids == {run.run_id}

        first.send_signal(signal.SIGKILL)
        first.wait()
        assert only_run(instance).status == dg.DagsterRunStatus.STARTED
        (said,) = diagnose(instance, place.root)
        assert said.startswith(f"Run {run.run_id} of sample is over: its process {first.pid} on ")
        assert only_run(instance).status == dg.DagsterRunStatus.FAILURE
        assert instance.event_log_storage.get_concurrency_info(POOL).active_run_ids == set()
        assert list(diagnose(instance, place.root)) == []

    second = place.start(0)
    assert second.wait(timeout=120) == 0


@pytest.mark.process
def test_a_second_run_of_a_dataset_ends_at_once_with_the_first_ones_name(place: Place) -> None:
    first = place.start(60)
    assert first.stdout and first.stdout.readline() == "working\n"
    with place.instance() as instance:
        run = only_run(instance)
    second = place.start(0)
    _, said = second.communicate(timeout=120)
    first.kill()
    first.wait()
    assert second.returncode != 0
    assert f"Dataset sample: run {run.run_id} works on it (process {first.pid} on " in said


def dead_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    run = instance.create_run_for_job(
        Pipeline(Path("/nowhere")).definitions.resolve_job_def("refresh"),
        tags={PARTITION: "sample", **tags},
        status=dg.DagsterRunStatus.STARTED,
    )
    return run.with_tags(run.tags | {RUN: run.run_id})


@pytest.mark.parametrize(("minutes", "dead"), [(9, False), (11, True), (-600, False)])
def test_a_run_of_another_machine_is_dead_when_it_has_been_silent_for_long(minutes: int, dead: bool) -> None:
    heard = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
    with dg.DagsterInstance.ephemeral() as instance:
        run = dead_run(instance, **{HOST: "elsewhere", HEARTBEAT: heard})
        assert bool(cause_of_death(run, datetime.now(UTC))) is dead


@pytest.mark.parametrize(("seconds", "dead"), [(800, False), (1000, True)])
def test_a_run_that_never_said_who_it_is_is_dead_after_a_quarter_of_an_hour(seconds: int, dead: bool) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        updated = datetime.now(UTC) - timedelta(seconds=seconds)
        assert bool(cause_of_death(dead_run(instance), updated)) is dead


def test_what_a_run_that_is_tried_again_has_of_the_one_before_says_nothing_of_it() -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    with dg.DagsterInstance.ephemeral() as instance:
        run = dead_run(instance, **{HOST: "elsewhere", HEARTBEAT: long_ago})
        again = run.with_tags(run.tags | {RUN: "the one before"})
        assert cause_of_death(run, datetime.now(UTC)) and not cause_of_death(again, datetime.now(UTC))


def test_what_a_dead_process_left_half_written_is_cleared_and_what_it_put_aside_is_back(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    root = DataRoot(tmp_path)
    folder = tmp_path / "mmrec_export"
    (folder / f".toys.{gone.pid}.aside").mkdir(parents=True)
    (folder / f".toys.{gone.pid}.aside" / "toys.inter").write_text("the old one")
    (folder / f".toys.{gone.pid}.partial").mkdir()
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews" / f".toys.parquet.0123abcd.{gone.pid}.partial").write_text("half")
    mine = tmp_path / "reviews" / f".books.parquet.{os.getpid()}.partial"
    mine.write_text("in progress")
    with dg.DagsterInstance.ephemeral() as instance:
        assert len(list(diagnose(instance, root))) == 3
    assert (folder / "toys" / "toys.inter").read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [mine.name, "toys.inter"]
