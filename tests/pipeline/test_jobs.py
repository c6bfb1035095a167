"""When the pipeline runs by itself."""

from datetime import UTC, datetime

import dagster as dg

from pipeline.definitions import defs
from pipeline.jobs import weekly_refresh


def test_every_week_each_enabled_dataset_is_asked_for_once() -> None:
    monday = datetime(2026, 11, 23, 3, tzinfo=UTC)
    asked = weekly_refresh.evaluate_tick(
        dg.build_schedule_context(scheduled_execution_time=monday, repository_def=defs.get_repository_def())
    ).run_requests
    assert [(request.partition_key, request.run_key) for request in asked or []] == [("sample", "sample 2026-11-23")]
    assert weekly_refresh.cron_schedule == "0 3 * * 1"
    assert weekly_refresh.default_status is dg.DefaultScheduleStatus.STOPPED
