"""What can be run as a whole, and when it runs by itself."""

from collections.abc import Iterator

import dagster as dg

from storage.catalogue import load_catalogue

refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.assets("report").upstream(),
    description="Everything from the raw dump to the report; what has not changed is used again.",
)


@dg.schedule(job=refresh, cron_schedule="0 3 * * 1", execution_timezone="UTC")
def weekly_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Every enabled dataset, each Monday at three; off until it is switched on."""
    for name in load_catalogue().enabled:
        yield dg.RunRequest(run_key=f"{name} {context.scheduled_execution_time:%Y-%m-%d}", partition_key=name)
