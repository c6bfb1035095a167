"""What a run leaves word of while it lives: a lock on its dataset, and host, process and heartbeat among its tags."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from storage.errors import InputError
from storage.locks import Holder, dataset_lock

logger = logging.getLogger(__name__)

# Whose the others are: a run that is tried again has the tags of the one before.
RUN, HOST, PID, WORK, HEARTBEAT = "rec/run", "rec/host", "rec/pid", "rec/work", "rec/heartbeat"
PARTITION = "dagster/partition"
HEARTBEAT_S = 60.0


@dg.resource(required_resource_keys={"data_root"}, description="Keeps a second run off the dataset of this one.")
def presence(context: dg.InitResourceContext) -> Iterator[None]:
    """Hold the dataset of a run for as long as the run lasts.

    Raises:
        dg.Failure: another run works on it, or its lock cannot be written; this one ends at once.
    """
    run, instance = context.run, context.instance
    dataset, work = run.tags.get(PARTITION) if run else None, context.resources.data_root.work
    if run is None or instance is None or dataset is None:
        yield
        return
    try:
        with dataset_lock(work, dataset, run.run_id) as holder, heartbeat(instance, holder, work):
            yield
    except InputError as error:
        raise dg.Failure(f"Dataset {dataset}: {error}.", allow_retries=False) from None


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
