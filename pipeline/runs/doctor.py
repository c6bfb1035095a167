"""Finds runs whose process is gone, and clears away what they left behind, so that nothing waits for the dead."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname

import dagster as dg
from dagster import DagsterRunStatus

from assets.core.asset_decorator import DATASETS
from pipeline.runs.run_lock import HEARTBEAT_S
from pipeline.tags import HEARTBEAT, HOST, PARTITION, PID, RUN, WORK
from storage.artifacts.data_root import DataRoot
from storage.files.cleanup import clean_up
from storage.files.locks import works_on

LIVING = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
LOOK_AGAIN_S = 5.0
SILENT_S = 10 * HEARTBEAT_S  # a run of another machine that is silent for longer is taken for dead
UNBORN_S = 900.0  # and one that, this long after it was launched, has not said who it is


def diagnose(instance: dg.DagsterInstance, root: DataRoot) -> Iterator[str]:
    """Report runs whose process is gone as failed, free their places in pools, and clear away what they left behind.

    Yields a sentence for each thing that was done.
    """
    if any(_deaths(instance)):
        time.sleep(LOOK_AGAIN_S)  # a run gives its lock back a moment before it says that it has ended
    for run, reason in _deaths(instance):
        yield report_dead(instance, run, reason)
    yield from _free_places(instance)
    # What is being written right now, by whatever run, looks like what was left behind.
    if not instance.get_run_records(dg.RunsFilter(statuses=LIVING), limit=1):
        yield from clean_up(root.root)


def _living(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    """The runs of this project that Dagster believes alive; an instance may have others."""
    records = instance.get_run_records(dg.RunsFilter(statuses=LIVING))
    return [one for one in records if DATASETS.has_partition_key(one.dagster_run.tags.get(PARTITION, ""))]


def _deaths(instance: dg.DagsterInstance) -> Iterator[tuple[dg.DagsterRun, str]]:
    for record in _living(instance):
        if reason := cause_of_death(record.dagster_run, record.update_timestamp):
            yield record.dagster_run, reason


def cause_of_death(run: dg.DagsterRun, updated: datetime) -> str | None:
    """Why a run that Dagster believes alive is dead; None if it lives, or may do so.

    On this machine the lock on its dataset tells, which no clock and no other process of the same number can fool.
    """
    host, now = run.tags.get(HOST), datetime.now(UTC)
    if host is None or run.tags.get(RUN) != run.run_id:
        age = (now - updated).total_seconds()
        return f"it did not begin within {age:,.0f} s of its launch" if age > UNBORN_S else None
    if host == gethostname():
        lives = works_on(Path(run.tags[WORK]), run.tags[PARTITION], run.run_id)
        return None if lives else f"its process {run.tags.get(PID)} on {host} is gone"
    silent = now - datetime.fromisoformat(run.tags[HEARTBEAT])
    return f"{host} has not been heard of for {silent}" if silent > timedelta(seconds=SILENT_S) else None


def report_dead(instance: dg.DagsterInstance, run: dg.DagsterRun, reason: str) -> str:
    """Tell Dagster that a run has ended, and say so."""
    if run.status == DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, f"The run was being cancelled, and {reason}.")
    else:
        instance.report_run_failed(run, f"The run has ended without a word: {reason}. What it had finished is kept.")
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return f"Run {run.run_id} of {run.tags.get(PARTITION, 'no dataset')} is over: {reason}; the next run goes on there."


def _free_places(instance: dg.DagsterInstance) -> Iterator[str]:
    """Free the places in pools of runs that have ended, however they did."""
    log = instance.event_log_storage
    infos = [log.get_concurrency_info(pool) for pool in sorted(log.get_concurrency_keys())]
    claimants = {run_id for info in infos for run_id in info.active_run_ids | info.pending_run_ids}
    for run_id in sorted(claimants):
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            log.free_concurrency_slots_for_run(run_id)
            yield f"Run {run_id} has ended and still held a place in a pool: it is free."


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def doctor(context: dg.SensorEvaluationContext, data_root: dg.ResourceParam[DataRoot]) -> dg.SkipReason:
    """Every minute: runs whose process is gone are reported as failed, and their places in pools are free again."""
    found = list(diagnose(context.instance, data_root))
    for sentence in found:
        context.log.warning(sentence)
    return dg.SkipReason(" ".join(found) or "All runs that are said to be alive are.")
