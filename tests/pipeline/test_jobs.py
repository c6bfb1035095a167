"""When the pipeline runs by itself."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline.jobs import daily_freshness, monthly_refresh, weekly_check
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from tests.pipeline.in_process import Pipeline, failures

MONDAY = datetime(2026, 11, 23, 3, tzinfo=UTC)


def asked(schedule: dg.ScheduleDefinition, **resources: object) -> list[tuple[str | None, str | None]]:
    context = dg.build_schedule_context(
        scheduled_execution_time=MONDAY, repository_def=defs.get_repository_def(), resources=resources
    )
    return [(one.partition_key, one.run_key) for one in schedule.evaluate_tick(context).run_requests or []]


@pytest.mark.parametrize(("schedule", "cron"), [(weekly_check, "0 3 * * 1"), (monthly_refresh, "0 4 1 * *")])
def test_each_enabled_dataset_is_asked_for_once_when_its_time_comes(schedule: dg.ScheduleDefinition, cron: str) -> None:
    assert asked(schedule) == [("sample", "sample 2026-11-23")]
    assert schedule.cron_schedule == cron
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_the_weekly_check_fetches_and_no_more_and_the_refresh_goes_to_the_report() -> None:
    graph = defs.resolve_asset_graph()
    fetched = defs.resolve_job_def("fetch_dumps").asset_layer.executable_asset_keys
    assert {key.path[-1] for key in fetched} == {"raw_reviews", "raw_metadata", "unavailable_items"}
    refreshed = {key.path[-1] for key in defs.resolve_job_def("refresh").asset_layer.executable_asset_keys}
    assert {"raw_reviews", "report", "current"} < refreshed
    assert "mmrec_export" in {key.path[-1] for key in graph.materializable_asset_keys} - refreshed


def test_the_dumps_of_a_dataset_that_has_nothing_yet_are_fetched(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    job = pipeline.definitions.resolve_job_def("fetch_dumps")
    result = job.execute_in_process(partition_key="quick", instance=pipeline.instance, raise_on_error=False)
    assert result.success, failures(result)
    made = {path.parent.name for path in tmp_path.glob("*/quick.manifest.json")}
    assert made == {"raw_reviews", "raw_metadata", "unavailable_items"}


def report_of_age(folder: Path, days: float) -> DataRoot:
    root = DataRoot(folder)
    made_at = int((datetime.now(UTC).timestamp() - days * 86_400) * 1000)
    root.write_manifest(
        Manifest(
            asset="report", dataset="sample", path="report/sample.html", bytes=0, sha256="", data_version="1",
            recipe=Recipe(code_version="1", settings={}, inputs={}), numbering={}, facts={}, seconds=0, made_at=made_at,
        )
    )  # fmt: skip
    return root


def test_only_a_report_that_is_there_is_asked_for_its_age(tmp_path: Path) -> None:
    assert asked(daily_freshness, data_root=DataRoot(tmp_path)) == []
    assert asked(daily_freshness, data_root=report_of_age(tmp_path, 1)) == [("sample", "sample 2026-11-23")]


@pytest.mark.parametrize(("days", "most", "fresh"), [(2, 3, True), (4, 3, False), (4, None, True), (-5, 3, True)])
def test_a_report_is_stale_when_it_is_older_than_its_dataset_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, most: float | None, fresh: bool
) -> None:
    pipeline = Pipeline(tmp_path)
    report_of_age(tmp_path, days)
    monkeypatch.setitem(
        pipeline.catalogue.entries["sample"][1]["settings"],
        "max_age_days",
        most,  # type: ignore[index]
    )
    result = pipeline.definitions.resolve_job_def("freshness").execute_in_process(
        partition_key="sample", instance=pipeline.instance
    )
    (found,) = result.get_asset_check_evaluations()
    assert found.passed is fresh
    assert found.severity is dg.AssetCheckSeverity.WARN
