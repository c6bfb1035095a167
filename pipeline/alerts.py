"""Who is told when something fails or degrades: the log, or whatever `REC_NOTIFIER` names.

A notifier is a function of one alert. One that cannot be had, or that fails, breaks nothing: the log then has both.
"""

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import dagster as dg
import requests
from dagster import DagsterEventType

from pipeline.presence import PARTITION
from pipeline.reasons import reason_of

logger = logging.getLogger(__name__)

WEBHOOK_TIMEOUT_S = 10
RUN_FAILED, CHECK_FAILED, DEGRADED = "run_failed", "check_failed", "degraded"


@dataclass(frozen=True)
class Alert:
    """One thing that a person should know of.

    Attributes:
        kind: `run_failed`; `check_failed`, of a blocking check, past which nothing is built; `degraded`, of one that
            only warns.
        what: the asset's check, or the job.
        sentence: what happened.
    """

    kind: str
    dataset: str
    run: str
    what: str
    sentence: str


Notifier = Callable[[Alert], None]


def to_log(alert: Alert) -> None:
    """Write an alert to the log: a warning where something degrades, else an error."""
    level = logging.WARNING if alert.kind == DEGRADED else logging.ERROR
    logger.log(level, f"{alert.kind}: {alert.what} of {alert.dataset}, run {alert.run}: {alert.sentence}")


def to_webhook(alert: Alert) -> None:
    """Post an alert as JSON to `REC_WEBHOOK_URL`, which is a secret and is never shown."""
    try:
        answer = requests.post(os.environ["REC_WEBHOOK_URL"], json=asdict(alert), timeout=WEBHOOK_TIMEOUT_S)
    except (KeyError, requests.RequestException) as error:
        raise RuntimeError(f"REC_WEBHOOK_URL is not there or cannot be reached ({type(error).__name__})") from None
    if not answer.ok:
        raise RuntimeError(f"REC_WEBHOOK_URL answers {answer.status_code}")


def notify(alert: Alert) -> None:
    """Tell whoever `REC_NOTIFIER` names, as `module:function`; the log where it names nobody or nobody can be told."""
    named = os.environ.get("REC_NOTIFIER", "")
    if not named:
        to_log(alert)
        return
    module, _, function = named.partition(":")
    try:
        notifier: Notifier = getattr(importlib.import_module(module), function)
        notifier(alert)
    except Exception as error:  # whatever somebody else's code does, the alert must not be lost
        logger.error(f"REC_NOTIFIER ({named}) could not be told: {type(error).__name__}: {error}")
        to_log(alert)


@dg.run_failure_sensor(monitor_all_code_locations=True, default_status=dg.DefaultSensorStatus.RUNNING)
def run_failures(context: dg.RunFailureSensorContext) -> None:
    """Tells of every run that failed, with the sentence that says why."""
    run = context.dagster_run
    sentence = reason_of(context.instance, run.run_id) or "it ended without a word"
    notify(Alert(RUN_FAILED, run.tags.get(PARTITION, ""), run.run_id, run.job_name, sentence))


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def check_failures(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Tells of every check that did not pass, each time once; what was before the first tick is not told."""
    last, alerts = failed_checks(context.instance, int(context.cursor) if context.cursor else None)
    for alert in alerts:
        notify(alert)
    return dg.SensorResult(skip_reason=f"{len(alerts)} checks did not pass.", cursor=str(last))


def failed_checks(instance: dg.DagsterInstance, after: int | None) -> tuple[int, list[Alert]]:
    """The checks that did not pass since an event, and the last event that was looked at."""
    if after is None:
        newest = instance.get_event_records(_evaluations(None), limit=1, ascending=False)
        return (newest[0].storage_id if newest else 0), []
    records = instance.get_event_records(_evaluations(after), limit=1000, ascending=True)
    return (records[-1].storage_id if records else after), list(_alerts(records))


def _evaluations(after: int | None) -> dg.EventRecordsFilter:
    return dg.EventRecordsFilter(DagsterEventType.ASSET_CHECK_EVALUATION, after_cursor=after)


def _alerts(records: Sequence[dg.EventLogRecord]) -> Iterator[Alert]:
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None or (found := event.asset_check_evaluation_data).passed:
            continue
        kind = CHECK_FAILED if found.severity == dg.AssetCheckSeverity.ERROR else DEGRADED
        figures = ", ".join(f"{name} {value.value}" for name, value in found.metadata.items())
        what = f"{found.check_name} of {found.asset_key.to_user_string()}"
        yield Alert(kind, found.partition or "", record.run_id, what, f"it did not pass ({figures or 'no figures'})")
