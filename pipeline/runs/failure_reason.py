"""Why a run failed, in one sentence."""

import dagster as dg
from dagster import DagsterEventType
from dagster._utils.error import SerializableErrorInfo

from assets.checks.check_decorator import RESTORABLE
from assets.core.failures import WITHOUT_DATA
from pipeline.tags import PARTITION


def reason_of(instance: dg.DagsterInstance, run_id: str, quoting: bool = True) -> str | None:
    """What the first step that failed says, or else the run itself; None of a run that failed without a word.

    Args:
        quoting: whether the data may be quoted, as sentences of ours say that they do, and any others may.
    """
    for kind in (DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE):
        for entry in instance.all_logs(run_id, kind):
            event = entry.dagster_event
            data = event and (event.step_failure_data if event.is_step_failure else event.job_failure_data)
            given = getattr(data, "user_failure_data", None)
            if given and given.description:
                hidden = given.metadata.get(WITHOUT_DATA)
                return str(given.description if quoting or hidden is None else hidden.value)
            if data and data.error and data.error.cls_name == "DagsterAssetCheckFailedError":
                return _refused(instance, run_id, quoting)
            if data and data.error:
                return _innermost(data.error, quoting)
            if event and event.message and kind == DagsterEventType.RUN_FAILURE:
                return event.message
    return None


def find_failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    """The checks of a run that did not pass."""
    entries = instance.all_logs(run_id, DagsterEventType.ASSET_CHECK_EVALUATION)
    checks = [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]
    return [check for check in checks if not check.passed]


def sentence_of(check: dg.AssetCheckEvaluation) -> str:
    """What a check that did not pass says, with its figures."""
    kind = "Warning" if check.severity == dg.AssetCheckSeverity.WARN else "Check failed"
    said, figures = describe_check(check, quoting=True), figures_of(check)
    behind = "" if said == figures else f" ({figures})"
    return f"{kind}: {check.check_name} of {check.asset_key.to_user_string()}: {said}{behind}."


def describe_check(check: dg.AssetCheckEvaluation, quoting: bool) -> str:
    """What a check found, as a part of a sentence: its own words, where these may be shown, or its figures."""
    hidden = check.metadata.get(WITHOUT_DATA)
    if quoting and check.description:
        return check.description
    return str(hidden.value) if hidden else figures_of(check)


def figures_of(check: dg.AssetCheckEvaluation) -> str:
    """The numbers behind a check; words may be of the data, and are left out."""
    facts = {name: value.value for name, value in check.metadata.items()}
    is_number = {name: isinstance(value, int | float) and name != RESTORABLE for name, value in facts.items()}
    numbers = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in facts.items()
        if is_number[name]
    ]
    return ", ".join(numbers) or "no figures"


def _refused(instance: dg.DagsterInstance, run_id: str, quoting: bool) -> str:
    """Which blocking checks a run did not pass, and what to do about it."""
    severe = dg.AssetCheckSeverity.ERROR
    failed = [check for check in find_failed_checks(instance, run_id) if check.blocking and check.severity == severe]
    found = "; ".join(
        f"{check.asset_key.to_user_string()} has failed its check {check.check_name}: {describe_check(check, quoting)}"
        for check in failed
    )
    dataset = failed[0].partition
    to_do = "run it again when data or settings are mended"
    if any(RESTORABLE in check.metadata for check in failed):
        to_do += f", or `make restore DATASET={dataset}` takes the table before"
    return f"Dataset {dataset}: {found}; nothing is built on it: {to_do}."


def last_run(instance: dg.DagsterInstance, dataset: str) -> str | None:
    """The id of the last run of a dataset."""
    records = instance.get_run_records(dg.RunsFilter(tags={PARTITION: dataset}), limit=1)
    return records[0].dagster_run.run_id if records else None


def _innermost(error: SerializableErrorInfo, quoting: bool) -> str:
    """The message of the error that began it all, without the name of its class where it is a failure of ours."""
    while error.cause is not None:
        error = error.cause
    sentence = error.message.strip().partition("Failure: ")[2]
    if sentence or quoting:
        return sentence or error.message.strip() or "it failed"
    return f"{error.cls_name or 'An error'} that was not foreseen; the page of the run says more."
