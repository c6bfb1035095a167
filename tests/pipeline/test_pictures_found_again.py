"""What item_images says at its end, and the check of what came of it."""

import logging
from pathlib import Path

import dagster as dg
import pytest

from assets.features.assets import logger
from tests.pipeline.in_process import Pipeline, failures


def test_it_says_at_its_end_what_came_of_all_items(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline(tmp_path)
    with caplog.at_level(logging.INFO, logger.name):
        result = pipeline.run("sample", "+key:item_images")
    assert result.success, failures(result)
    (line,) = (record.getMessage() for record in caplog.records if record.name == logger.name)
    assert line.startswith("item_images sample: ")
    assert line.endswith(" of 212 items")
    for status, count in pipeline.metadata("item_images", "sample")["by_status"].items():
        assert f"{count} {status}" in line
    (check,) = (found for found in result.get_asset_check_evaluations() if found.check_name == "pictures_found")
    assert (check.passed, check.severity) == (True, dg.AssetCheckSeverity.WARN)
