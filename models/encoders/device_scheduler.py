"""Divides the batches of an encoder among devices, keeps their order, and survives a batch that is too large."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from time import perf_counter
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")
Lane = Callable[[Job], Result]

logger = logging.getLogger(__name__)


def through_lanes(
    jobs: Iterator[Job], lanes: Sequence[Lane[Job, Result]]
) -> Generator[tuple[Result, float], None, None]:
    """Run each job in the lane that is free first, every lane in a thread of its own.

    At most two jobs a lane are in progress or wait for their turn to be yielded. What a lane raises is raised here, and
    what has not begun by then never does.

    Yields:
        A job's result, in the order of the jobs, and the seconds that its lane had nothing to do before.
    """
    free: SimpleQueue[tuple[Lane[Job, Result], float]] = SimpleQueue()
    for lane in lanes:
        free.put((lane, 0.0))

    def run(job: Job, asked_at: float) -> tuple[Result, float]:
        lane, free_since = free.get()
        idle = perf_counter() - max(asked_at, free_since)
        try:
            return lane(job), idle
        finally:
            free.put((lane, perf_counter()))

    threads = ThreadPoolExecutor(len(lanes))
    under_way: deque[Future[tuple[Result, float]]] = deque()
    try:
        asked_at = perf_counter()
        for job in jobs:
            under_way.append(threads.submit(run, job, asked_at))
            if len(under_way) == 2 * len(lanes):
                yield under_way.popleft().result()
            asked_at = perf_counter()
        while under_way:
            yield under_way.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


class Halving:
    """Runs a step with a batch size that fits the memory of a device: one that does not is halved, for good.

    Args:
        size: the batch size to begin with.
        setting: the setting that gave it, for the warning.
    """

    def __init__(self, size: int, setting: str):
        self.size, self.setting = size, setting

    def __call__(self, step: Callable[[int], Result]) -> Result:
        """What `step` returns for the largest batch size that it does not run out of memory with.

        Raises:
            torch.OutOfMemoryError: not even 1 fits.
        """
        while True:
            tried = self.size
            try:
                return step(tried)
            except torch.OutOfMemoryError:
                if tried == 1:
                    raise
            # Not in the handler: there the error still holds the tensors of the step that failed.
            torch.cuda.empty_cache()
            self.size = min(self.size, tried // 2)
            logger.warning(f"{self.setting}: a batch of {tried} is too large for the device; {self.size} from here on")
