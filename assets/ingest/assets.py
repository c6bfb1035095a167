"""raw_reviews, raw_metadata → reviews, items."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import dataset_asset
from assets.core.asset_result import AssetResult
from assets.core.settings import ItemSettings, ReviewSettings, SourceSettings
from storage.errors import InputError
from storage.raw.amazon import read_items, read_reviews
from storage.raw.rejects import RejectCounts, Rejects, rejects_path
from storage.raw.sample import SampleSize
from storage.raw.sources import obtain


@dataset_asset(group="ingest", kinds={"file"}, code_version="1", io_manager="files", pool="downloads")
def raw_reviews(context: AssetContext, config: SourceSettings) -> AssetResult:
    """The dump of reviews as it was published: downloaded, used where it lies, or written by the project (sample)."""
    return _raw(context, config, "reviews")


@dataset_asset(group="ingest", kinds={"file"}, code_version="1", io_manager="files", pool="downloads")
def raw_metadata(context: AssetContext, config: SourceSettings) -> AssetResult:
    """The dump of product metadata as it was published; the pictures of a local dataset lie beside it."""
    return _raw(context, config, "metadata")


def _raw(context: AssetContext, config: SourceSettings, kind: Literal["reviews", "metadata"]) -> AssetResult:
    sample = SampleSize(config.sample_users, config.sample_items, config.sample_seed)
    folder = context.root.path(context.asset, context.dataset.name)
    work, limit = context.root.work, config.max_dump_bytes
    mirror = context.root.mirror
    obtained = obtain(context.dataset, kind, folder, work, limit, sample, config.force, mirror)
    return AssetResult(obtained.path, {**obtained.facts, "format": context.dataset.format})


@dataset_asset(group="ingest", kinds={"duckdb", "parquet"}, code_version="3")
def reviews(context: AssetContext, config: ReviewSettings, raw_reviews: Path) -> AssetResult:
    """Who rated what, how and when: every sound line of the dump, in its order; the others lie in `rejects`."""
    rejects = Rejects()
    rows = read_reviews(raw_reviews, context.dataset.format, rejects)
    return AssetResult(_or_rejects(context, rows, rejects), lambda: _keep_rejects(context, rejects))


@dataset_asset(group="ingest", kinds={"python", "parquet"}, code_version="4")
def items(context: AssetContext, config: ItemSettings, raw_metadata: Path) -> AssetResult:
    """The catalogue: title, brand, categories, price, picture URLs, and the cleaned text that the encoder reads."""
    rejects = Rejects()
    rows = read_items(raw_metadata, context.dataset.format, config.text_max_chars, rejects)
    return AssetResult(_or_rejects(context, rows, rejects), lambda: _keep_rejects(context, rejects))


def _or_rejects(context: AssetContext, rows: pa.RecordBatchReader, rejects: Rejects) -> pa.RecordBatchReader:
    """The same rows; where the file has none that can be used, the rejects are kept before that is said."""

    def stream() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except InputError as error:
            if not len(rejects):
                raise
            # A table that is there keeps the rejects that belong to it.
            has_table = context.root.manifest_path(context.asset, context.dataset.name).exists()
            name = f"{context.dataset.name}.unusable" if has_table else context.dataset.name
            path = rejects_path(context.root, context.asset, name)
            rejects.write(path, context.root.mirror)
            where = f"; the rejected records are in {context.root.shown(path)}"
            hidden = error.without_data
            raise InputError(f"{error}{where}", without_data=hidden and f"{hidden}{where}") from error

    return pa.RecordBatchReader.from_batches(rows.schema, stream())


def _keep_rejects(context: AssetContext, rejects: Rejects) -> dict[str, Any]:
    """Publish the rejected records beside their table, and count them."""
    path = rejects_path(context.root, context.asset, context.dataset.name)
    rejects.write(path, context.root.mirror)
    of_mended_file = rejects_path(context.root, context.asset, f"{context.dataset.name}.unusable")
    context.root.remove(of_mended_file)
    counts = RejectCounts(path)
    return {
        "rejected_rows": counts.rejected,
        "duplicate_rows": counts.duplicates,
        "rejected_by_reason": counts.by_reason,
        "values_not_read": counts.not_read,
    }
