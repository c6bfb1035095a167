"""Who is notified when something fails or degrades: the log, or whatever `REC_NOTIFIER` names.

A notifier is a function of one alert. If it cannot be imported or fails, the run goes on, and the log has both.
"""

import importlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import dagster as dg
import requests

from assets.checks.check_decorator import RESTORABLE
from pipeline.runs.failure_reason import describe_check, find_failed_checks, reason_of
from pipeline.tags import PARTITION

logger = logging.getLogger(__name__)

WEBHOOK_TIMEOUT_S = 10
RUN_FAILED, CHECK_FAILED, DEGRADED = "run_failed", "check_failed", "degraded"
ADVICE = {
    RUN_FAILED: "Mend what it names, then `make catch-up`: what was finished is used again.",
    CHECK_FAILED: "Nothing is built on it. Mend data or settings and make it again.",
    DEGRADED: "What follows is made all the same: see whether it is good enough.",
}


@dataclass(frozen=True)
class Alert:
    """One thing that a person should know of.

    Attributes:
        kind: `run_failed`; `check_failed`, of a blocking check, past which nothing is built; `degraded`, of one that
            only warns.
        what: the asset's check, or the job.
        sentence: what happened.
        advice: what a person does about it; docs/operate.md says more.
    """

    kind: str
    dataset: str
    run: str
    what: str
    sentence: str
    advice: str


Notifier = Callable[[Alert], None]


def to_log(alert: Alert) -> None:
    """Write an alert to the log: a warning where something degrades, else an error."""
    level = logging.WARNING if alert.kind == DEGRADED else logging.ERROR
    what = f"{alert.kind}: {alert.what} of {alert.dataset}, run {alert.run}"
    logger.log(level, f"{what}: {alert.sentence} {alert.advice}")


def to_webhook(alert: Alert) -> None:
    """Post an alert as JSON to `REC_WEBHOOK_URL`, which is a secret and is never shown."""
    try:
        answer = requests.post(
            os.environ["REC_WEBHOOK_URL"], json=asdict(alert), timeout=WEBHOOK_TIMEOUT_S, allow_redirects=False
        )
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
        logger.error(f"REC_NOTIFIER ({named}) could not be told ({type(error).__name__})")
        to_log(alert)


@dg.run_failure_sensor(monitor_all_code_locations=True, default_status=dg.DefaultSensorStatus.RUNNING)
def run_failures(context: dg.RunFailureSensorContext) -> None:
    """Tells of every run that failed, with the sentence that says why, and of its checks that did not pass."""
    run = context.dagster_run
    sentence = reason_of(context.instance, run.run_id, quoting=False) or "It ended without a word."
    notify(Alert(RUN_FAILED, run.tags.get(PARTITION, ""), run.run_id, run.job_name, sentence, ADVICE[RUN_FAILED]))
    for alert in of_checks(context.instance, run):
        notify(alert)


@dg.run_status_sensor(
    dg.DagsterRunStatus.SUCCESS, monitor_all_code_locations=True, default_status=dg.DefaultSensorStatus.RUNNING
)
def degradations(context: dg.RunStatusSensorContext) -> None:
    """Tells of every check that did not pass in a run that went through."""
    for alert in of_checks(context.instance, context.dagster_run):
        notify(alert)


def of_checks(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[Alert]:
    """The checks of a run that did not pass, with what they found."""
    for found in find_failed_checks(instance, run.run_id):
        kind = CHECK_FAILED if found.severity == dg.AssetCheckSeverity.ERROR else DEGRADED
        what = f"{found.check_name} of {found.asset_key.to_user_string()}"
        dataset = found.partition or run.tags.get(PARTITION, "")
        sentence = f"It did not pass: {describe_check(found, quoting=False)}."
        restore = f" `make restore DATASET={dataset}` takes the table before." if RESTORABLE in found.metadata else ""
        yield Alert(kind, dataset, run.run_id, what, sentence, ADVICE[kind] + restore)
