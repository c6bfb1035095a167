"""What a run leaves word of while it lives: a lock on its dataset, and host, process and heartbeat among its tags."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from assets.core.effective_settings import resolve_settings
from assets.core.reuse import IMMATERIAL
from assets.core.settings import PromotionSettings
from pipeline.resources import ops_of
from pipeline.runs.failure_reason import find_failed_checks, sentence_of
from pipeline.tags import HEARTBEAT, HOST, PARTITION, PID, RUN, VARIANT, WORK
from storage.artifacts.data_root import DataRoot
from storage.artifacts.variants import keep_last, register, settings_given
from storage.catalogue import Dataset
from storage.errors import InputError
from storage.files.locks import Holder, dataset_lock

logger = logging.getLogger(__name__)

HEARTBEAT_S = 60.0


@dg.resource(
    required_resource_keys={"catalogue", "data_root"}, description="Keeps a second run off the dataset of this one."
)
def hold_run_lock(context: dg.InitResourceContext) -> Iterator[None]:
    """Hold the dataset of a run for as long as the run lasts.

    Raises:
        dg.Failure: another run works on it, or its lock cannot be written; this one ends at once.
    """
    run, instance = context.run, context.instance
    root: DataRoot = context.resources.data_root
    dataset, work = run.tags.get(PARTITION) if run else None, root.work
    if run is None or instance is None or dataset is None:
        yield
        return
    try:
        with dataset_lock(work, dataset, run.run_id) as holder, heartbeat(instance, holder, work):
            if root.variant:
                begin_variant(root, context.resources.catalogue.dataset(dataset), run, instance)
            yield
            for check in find_failed_checks(instance, run.run_id):
                logger.warning(f"{dataset}: {sentence_of(check)}")
                if root.variant:
                    report_published(root, check, instance)
    except InputError as error:
        raise dg.Failure(f"Dataset {dataset}: {error}.", allow_retries=False) from None


def report_published(root: DataRoot, check: dg.AssetCheckEvaluation, instance: dg.DagsterInstance) -> None:
    """Tell Dagster what a check found of the published artefact, after it failed for a variant.

    Dagster knows one verdict of a check and a dataset, and automation makes nothing of what has failed.
    """
    published = root.published.find_manifest(check.asset_key.path[-1], str(check.partition))
    verdict = published.verdicts.get(check.check_name) if published else None
    if verdict is not None:
        of_published = dg.AssetCheckEvaluation(
            asset_key=check.asset_key,
            check_name=check.check_name,
            passed=verdict,
            severity=check.severity,
            description="of what is published",
            partition=check.partition,
            blocking=check.blocking,
            target_materialization_data=check.target_materialization_data,
        )
        instance.report_runless_asset_event(of_published)


def begin_variant(root: DataRoot, dataset: Dataset, run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
    """Write down that a run makes a variant, and let go of the oldest."""
    settings, _ = resolve_settings(PromotionSettings, dataset, {})
    variant = register(root, dataset.name, settings_given(ops_of(run), IMMATERIAL), run.run_id)
    instance.add_run_tags(run.run_id, {VARIANT: variant.key})
    logger.warning(
        f"this run has settings of its own, so what it makes becomes the variant {variant.key}; what is published and "
        f"served stays as it is (promote: true would replace it)"
    )
    for gone in keep_last(root.published, dataset.name, settings.keep_variants):
        logger.warning(f"the variant {gone.key} is deleted: {settings.keep_variants} are kept (keep_variants)")


@contextmanager
def heartbeat(instance: dg.DagsterInstance, holder: Holder, work: Path) -> Iterator[None]:
    """Write into the tags of a run who it is and where its lock lies, and from time to time that it lives."""
    ended = threading.Event()
    own = {RUN: holder.run, HOST: holder.host, PID: str(holder.pid), WORK: str(work)}

    def beat() -> None:
        instance.add_run_tags(holder.run, own | {HEARTBEAT: datetime.now(UTC).isoformat(timespec="seconds")})

    def go_on() -> None:
        while not ended.wait(HEARTBEAT_S):
            try:
                beat()
            except Exception as error:  # a database that is away for a while must not end the run
                logger.warning(f"the heartbeat of run {holder.run} could not be written ({type(error).__name__})")

    beat()
    thread = threading.Thread(target=go_on, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
