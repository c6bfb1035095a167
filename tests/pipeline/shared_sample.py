"""The sample, made by the first worker that asks for it and read by all others."""

from pathlib import Path

import dagster as dg
from filelock import FileLock

from tests.pipeline.in_process import Pipeline, failures


def make_once(folder: Path) -> Pipeline:
    """The sample below `folder`, with everything up to its report and its exports.

    What Dagster knows of it is kept beside it, so that every worker can tell the metadata of what one has made.
    """
    record = folder.with_suffix(".materializations.json")
    pipeline = Pipeline(folder)
    with FileLock(folder.with_suffix(".lock")):
        if not record.exists():
            result = pipeline.run("sample")
            assert result.success, failures(result)
            made = [event.materialization for event in result.get_asset_materialization_events()]
            record.write_text(dg.serialize_value(made))
            return pipeline
    for materialization in dg.deserialize_value(record.read_text(), list):
        pipeline.instance.report_runless_asset_event(materialization)
    return pipeline
