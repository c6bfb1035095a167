"""raw_reviews, raw_metadata → reviews, items."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from assets.core.asset_context import Stage
from assets.core.asset_decorator import dataset_asset
from assets.core.io_managers import Made
from assets.core.settings import ItemSettings, ReviewSettings, SourceSettings
from storage.errors import InputError
from storage.files.atomic import remove
from storage.raw.amazon import read_items, read_reviews
from storage.raw.rejects import RejectCounts, Rejects, rejects_path
from storage.raw.sample import SampleSize
from storage.raw.sources import obtain


@dataset_asset(group="ingest", kinds={"file"}, code_version="1", io_manager="files", pool="downloads")
def raw_reviews(stage: Stage, config: SourceSettings) -> Made:
    """The dump of reviews as it was published: downloaded, used where it lies, or written by the project (sample)."""
    return _raw(stage, config, "reviews")


@dataset_asset(group="ingest", kinds={"file"}, code_version="1", io_manager="files", pool="downloads")
def raw_metadata(stage: Stage, config: SourceSettings) -> Made:
    """The dump of product metadata as it was published; the pictures of a local dataset lie beside it."""
    return _raw(stage, config, "metadata")


def _raw(stage: Stage, config: SourceSettings, kind: Literal["reviews", "metadata"]) -> Made:
    sample = SampleSize(config.sample_users, config.sample_items, config.sample_seed)
    folder = stage.root.path(stage.asset, stage.dataset.name)
    work, limit = stage.root.work, config.max_dump_bytes
    obtained = obtain(stage.dataset, kind, folder, work, limit, sample, config.force)
    return Made(obtained.path, {**obtained.facts, "format": stage.dataset.format})


@dataset_asset(group="ingest", kinds={"duckdb", "parquet"}, code_version="3")
def reviews(stage: Stage, config: ReviewSettings, raw_reviews: Path) -> Made:
    """Who rated what, how and when: every sound line of the dump, in its order; the others lie in `rejects`."""
    rejects = Rejects()
    rows = read_reviews(raw_reviews, stage.dataset.format, rejects)
    return Made(_or_rejects(stage, rows, rejects), lambda: _keep_rejects(stage, rejects))


@dataset_asset(group="ingest", kinds={"python", "parquet"}, code_version="4")
def items(stage: Stage, config: ItemSettings, raw_metadata: Path) -> Made:
    """The catalogue: title, brand, categories, price, picture URLs, and the cleaned text that the encoder reads."""
    rejects = Rejects()
    rows = read_items(raw_metadata, stage.dataset.format, config.text_max_chars, rejects)
    return Made(_or_rejects(stage, rows, rejects), lambda: _keep_rejects(stage, rejects))


def _or_rejects(stage: Stage, rows: pa.RecordBatchReader, rejects: Rejects) -> pa.RecordBatchReader:
    """The same rows; where the file has none that can be used, the rejects are kept before that is said."""

    def stream() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except InputError as error:
            if not len(rejects):
                raise
            # A table that is there keeps the rejects that belong to it.
            has_table = stage.root.manifest_path(stage.asset, stage.dataset.name).exists()
            name = f"{stage.dataset.name}.unusable" if has_table else stage.dataset.name
            path = rejects_path(stage.root, stage.asset, name)
            rejects.write(path)
            where = f"; the rejected records are in {stage.root.shown(path)}"
            hidden = error.without_data
            raise InputError(f"{error}{where}", without_data=hidden and f"{hidden}{where}") from error

    return pa.RecordBatchReader.from_batches(rows.schema, stream())


def _keep_rejects(stage: Stage, rejects: Rejects) -> dict[str, Any]:
    """Publish what a reader left out beside its table, and count it."""
    path = rejects_path(stage.root, stage.asset, stage.dataset.name)
    rejects.write(path)
    remove(rejects_path(stage.root, stage.asset, f"{stage.dataset.name}.unusable"))  # of a file that was mended since
    counts = RejectCounts(path)
    return {
        "rejected_rows": counts.rejected,
        "duplicate_rows": counts.duplicates,
        "rejected_by_reason": counts.by_reason,
        "values_not_read": counts.not_read,
    }
