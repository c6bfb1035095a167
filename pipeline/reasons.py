"""Why a run failed, in one sentence."""

import dagster as dg
from dagster import DagsterEventType
from dagster._utils.error import SerializableErrorInfo

from pipeline.presence import PARTITION


def reason_of(instance: dg.DagsterInstance, run_id: str, quoting: bool = True) -> str | None:
    """What the first step that failed says, or else the run itself; None of a run that failed without a word.

    Args:
        quoting: whether the message of an error that is no sentence of ours is quoted; it may quote the data.
    """
    for kind in (DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE):
        for entry in instance.all_logs(run_id, kind):
            event = entry.dagster_event
            data = event and (event.step_failure_data if event.is_step_failure else event.job_failure_data)
            given = getattr(data, "user_failure_data", None)
            if given and given.description:
                return str(given.description)
            if data and data.error:
                return _innermost(data.error, quoting)
            if event and event.message and kind == DagsterEventType.RUN_FAILURE:
                return event.message
    return None


def last_run(instance: dg.DagsterInstance, dataset: str) -> str | None:
    """The id of the last run of a dataset."""
    records = instance.get_run_records(dg.RunsFilter(tags={PARTITION: dataset}), limit=1)
    return records[0].dagster_run.run_id if records else None


def _innermost(error: SerializableErrorInfo, quoting: bool) -> str:
    """The message of the error that began it all, without the name of its class where it is a failure of ours."""
    while error.cause is not None:
        error = error.cause
    sentence = error.message.strip().partition("Failure: ")[2]
    if error.cls_name == "DagsterAssetCheckFailedError":
        return " ".join(error.message.partition("Error: ")[2].split())
    if sentence or quoting:
        return sentence or error.message.strip() or "it failed"
    return f"{error.cls_name or 'An error'} that was not foreseen; the page of the run says more."
