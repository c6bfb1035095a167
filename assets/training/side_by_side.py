"""Trainings side by side, in worker processes of this machine or on a Ray cluster, with the same results.

What they are is said by plans. A plan yields jobs that do not depend on each other, and is sent what came of all of
them before it yields the next: so it makes no difference how many run at a time, or which one ends first.
"""

import logging
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch

from assets.training.jobs import Job, Outcome, Shared, run_job
from assets.training.shared_arrays import Placed, place_arrays, read_placed
from models.device import available_bytes, cores, devices_of
from models.errors import ModelError
from models.torch_warnings import allow_read_only
from models.training.build_and_fit import TrainSet

if TYPE_CHECKING:
    from assets.core.ray_cluster import Shares  # a worker does without Dagster

logger = logging.getLogger(__name__)

T = TypeVar("T")
Plan: TypeAlias = Generator[Sequence[Job], list[Outcome], T]
Submit: TypeAlias = Callable[[Job], "Future[Outcome]"]

IDLE_S = 60  # a worker that has nothing to do for longer ends
# Of one training: copies of all vectors, bytes of a train pair, and what a process takes on a GPU before it has any.
COPIES, PAIR_BYTES, CONTEXT_BYTES = 12, 56, 2**29


def run_plans(plans: Mapping[str, Plan[T]], submit: Submit) -> Generator[None, None, dict[str, T]]:
    """What plans return, by their names; yields when a job is done. The jobs of all plans are worked off together."""
    results: dict[str, T] = {}
    waiting: dict[Future[Outcome], tuple[str, int]] = {}
    outcomes: dict[str, list[Outcome | None]] = {}

    def go_on(name: str, answer: list[Outcome] | None) -> None:
        try:
            jobs = next(plans[name]) if answer is None else plans[name].send(answer)
        except StopIteration as end:
            results[name] = end.value
            return
        outcomes[name] = [None] * len(jobs)
        waiting.update({submit(job): (name, place) for place, job in enumerate(jobs)})

    for name in plans:
        go_on(name, None)
    while waiting:
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            name, place = waiting.pop(future)
            outcome = outcomes[name][place] = future.result()
            for said in outcome.warnings:
                logger.warning(said)
            answer = [one for one in outcomes[name] if one is not None]
            if len(answer) == len(outcomes[name]):
                go_on(name, answer)
            yield
    return {name: results[name] for name in plans}


def run_here(
    plans: Callable[[], Mapping[str, Plan[T]]], shared: Shared, at_once: int, folder: Path
) -> Iterator[dict[str, T] | None]:
    """Run plans on this machine; yields None for every job that is done, and last what the plans return.

    Args:
        folder: for the arrays of `shared` while this lasts.
    """
    with local_workers(shared, at_once, folder) as submit:
        yield (yield from run_plans(plans(), submit))


def run_on_cluster(
    plans: Callable[[], Mapping[str, Plan[T]]], shared: Shared, threads: int, shares: "Shares"
) -> Iterator[dict[str, T] | None]:
    """The same on the nodes of a Ray cluster, one job a task; `assets.core.ray_cluster.on_cluster` calls it."""
    import ray

    placed = ray.put(shared)
    task = ray.remote(num_cpus=threads, num_gpus=shares.encoder_gpus)(work_on_node)
    yield (yield from run_plans(plans(), lambda job: task.remote(placed, job).future()))


def work_on_node(shared: Shared, job: Job) -> Outcome:
    allow_read_only()
    return run_job(shared, job)


@contextmanager
def local_workers(shared: Shared, at_once: int, folder: Path) -> Iterator[Submit]:
    """So many processes of this machine, which are kept for a while for whoever asks next; with one, this process.

    Their memory of `shared` is one: the arrays lie in a file of `folder` that all of them map.
    """
    if at_once == 1:
        yield lambda job: _done(shared, job)
        return
    from loky import get_reusable_executor

    executor = get_reusable_executor(at_once, timeout=IDLE_S, initializer=prepare_worker)
    numbers = count()
    try:
        with place_arrays(shared, folder) as placed:
            yield lambda job: executor.submit(work, os.getpid(), placed, on_device(job, next(numbers)))
    except BrokenProcessPool as error:
        raise ModelError(
            f"a process that trained was killed, which the system does where memory runs out; trainings_at_once below "
            f"{at_once} takes less, and what is trained already is kept"
        ) from error
    except BaseException:
        executor.shutdown(kill_workers=True)
        raise


def _done(shared: Shared, job: Job) -> "Future[Outcome]":
    future: Future[Outcome] = Future()
    try:
        future.set_result(run_job(shared, job))
    except Exception as error:
        future.set_exception(error)
    return future


def prepare_worker() -> None:
    """What a worker does first: it leaves Ctrl-C to the process that has begun it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    allow_read_only()


def work(parent: int, placed: Placed, job: Job) -> Outcome:
    """Do a job in a worker, which ends with the process that has begun it."""

    def end_with_parent() -> None:
        if os.getppid() != parent:
            os._exit(1)

    return run_job(read_placed(placed), job, end_with_parent)


def on_device(job: Job, number: int) -> Job:
    """The same job on one of the devices that its settings name, in turn."""
    devices = devices_of(job.training.device)
    return replace(job, training=job.training.model_copy(update={"device": str(devices[number % len(devices)])}))


def trainings_at_once(asked: int | None, device: str, threads: int, dim: int, data: TrainSet) -> int:
    """How many trainings run at a time here: as many as the processors have room for, or the memory of the GPUs.

    Args:
        asked: by the settings; None leaves it to the machine. threads: of one training.
    """
    if asked:
        return asked
    places = max(1, cores() // threads)
    each = COPIES * (data.users + data.items) * dim * 4 + PAIR_BYTES * len(data.user)
    devices = devices_of(device)
    if devices[0].type != "cuda":
        return max(1, min(places, available_bytes() // each))
    if data.content:
        each += sum(view.features.nbytes for view in (data.content.visual, data.content.textual))
    on_gpus = sum(torch.cuda.mem_get_info(gpu)[0] // (each + CONTEXT_BYTES) for gpu in devices)
    return max(1, min(places, on_gpus))
