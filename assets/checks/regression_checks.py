"""Checks of a table against the generation before it: a dump that lost its rows or its pictures stops here."""

import time

import dagster as dg

from assets.checks.check_decorator import dataset_check
from assets.checks.table_checks import pass_if, warn_if
from assets.core.effective_settings import resolve_settings
from assets.core.settings import RegressionCheckSettings
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.artifacts.previous_version import find_previous
from storage.catalogue import Dataset

NO_COLLAPSE = "It has not lost more of its rows against the generation before than `max_row_drop`."
COVERED = "The share of items with a vector has not fallen by more than `max_coverage_drop`."


def regression_settings(context: dg.AssetCheckExecutionContext) -> RegressionCheckSettings:
    """The effective limits of the dataset: those of the catalogue, or the defaults."""
    dataset = context.resources.catalogue.dataset(context.partition_key)
    return resolve_settings(RegressionCheckSettings, dataset, {})[0]


def now_and_before(context: dg.AssetCheckExecutionContext, asset: str) -> tuple[Manifest, Manifest | None]:
    root, dataset = context.resources.data_root, context.partition_key
    return root.manifest(asset, dataset), find_previous(root, asset, dataset)


def rows_kept(context: dg.AssetCheckExecutionContext, asset: str) -> dg.AssetCheckResult:
    """Whether a table has about as many rows as before; the first generation has nothing to be compared with."""
    now, before = now_and_before(context, asset)
    rows, least = now.rows or 0, (before.rows or 0) * (1 - regression_settings(context).max_row_drop) if before else 1
    return pass_if(rows >= least, rows=rows, rows_before=before.rows if before else 0, least=least)


def coverage_kept(context: dg.AssetCheckExecutionContext, asset: str) -> dg.AssetCheckResult:
    """Whether about as large a share of the items has a vector as before."""
    now, before = now_and_before(context, asset)
    share, old = covered(now), covered(before) if before else 0.0
    least = max(0.0, old - regression_settings(context).max_coverage_drop)
    return pass_if(share >= least, share_with_value=share, share_before=old, least=least)


def covered(embeddings: Manifest) -> float:
    """The share of items that have a vector."""
    return float(str(embeddings.facts["with_value"])) / max(embeddings.rows or 0, 1)


@dataset_check("reviews", NO_COLLAPSE)
def reviews_not_collapsed(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return rows_kept(context, "reviews")


@dataset_check("items", NO_COLLAPSE)
def items_not_collapsed(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return rows_kept(context, "items")


@dataset_check("interactions", NO_COLLAPSE)
def interactions_not_collapsed(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return rows_kept(context, "interactions")


@dataset_check("image_embeddings", COVERED)
def image_embeddings_cover(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return coverage_kept(context, "image_embeddings")


@dataset_check("text_embeddings", COVERED)
def text_embeddings_cover(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return coverage_kept(context, "text_embeddings")


def age_of_report(root: DataRoot, dataset: Dataset) -> dg.AssetCheckResult:
    """Whether the report of a dataset is younger than its `max_age_days`; one that is not is a warning."""
    most = resolve_settings(RegressionCheckSettings, dataset, {})[0].max_age_days
    days = max(0.0, time.time() - root.manifest("report", dataset.name).made_at / 1000) / 86_400
    said = f"the report is {days:.0f} days old; `make catch-up DATASET={dataset.name}` makes what is out of date"
    return warn_if(
        most is not None and days > most, said=said, age_days=days, max_age_days="none" if most is None else most
    )


@dataset_check("report", "It is younger than the dataset's `max_age_days`, if it has one.", blocking=False)
def report_fresh(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Of a report that was just made, this holds; the job `freshness` looks again later."""
    return age_of_report(context.resources.data_root, context.resources.catalogue.dataset(context.partition_key))
