"""What can be run as a whole, and when it runs by itself; every schedule is off until it is switched on."""

from collections.abc import Iterator

import dagster as dg

from assets.checks.regression_checks import age_of_report
from assets.core.asset_decorator import DATASETS
from storage.artifacts.data_root import DataRoot
from storage.catalogue import load_catalogue

refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.assets("report").upstream(),
    description="Everything from the raw dump to the report; what has not changed is used again.",
)

fetch_dumps = dg.define_asset_job(
    "fetch_dumps",
    selection=dg.AssetSelection.assets("raw_reviews", "raw_metadata", "unavailable_items"),
    description="The raw dumps, and what is unavailable: what is there unchanged is not fetched again.",
)


@dg.op(required_resource_keys={"catalogue", "data_root"})
def report_age(context: dg.OpExecutionContext) -> None:
    """Look at the age of a dataset's report, as its check `report_fresh`: Dagster runs no check of one alone."""
    name = context.partition_key
    found = age_of_report(context.resources.data_root, context.resources.catalogue.dataset(name))
    context.log_event(  # the annotation of 1.13 forgets checks, the function does not
        dg.AssetCheckEvaluation(  # type: ignore[arg-type]
            asset_key=dg.AssetKey("report"),
            check_name="report_fresh",
            passed=found.passed,
            severity=found.severity,
            metadata=found.metadata,
            partition=name,
        )
    )


@dg.job(partitions_def=DATASETS, executor_def=dg.in_process_executor)
def freshness() -> None:
    """Whether a dataset's report is younger than its `max_age_days`."""
    report_age()


def _each(names: list[str], context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """A run for each dataset, once at the time for which the schedule asks."""
    known = [name for name in names if DATASETS.has_partition_key(name)]
    for name in known:
        yield dg.RunRequest(run_key=f"{name} {context.scheduled_execution_time:%Y-%m-%d}", partition_key=name)


@dg.schedule(job=fetch_dumps, cron_schedule="0 3 * * 1", execution_timezone="UTC")
def weekly_check(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """The dumps of every enabled dataset, each Monday at three: what changed is fetched, automation does the rest."""
    yield from _each(load_catalogue().enabled, context)


@dg.schedule(job=refresh, cron_schedule="0 4 1 * *", execution_timezone="UTC")
def monthly_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """All of every enabled dataset, on the first of each month at four: what has not changed is used again."""
    yield from _each(load_catalogue().enabled, context)


@dg.schedule(job=freshness, cron_schedule="0 6 * * *", execution_timezone="UTC", required_resource_keys={"data_root"})
def daily_freshness(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """The age of every enabled dataset's report, each day at six."""
    root: DataRoot = context.resources.data_root
    yield from _each([name for name in load_catalogue().enabled if root.find_manifest("report", name)], context)
