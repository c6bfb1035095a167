"""Runs an iterator in a thread of its own, so that its work goes on beside that of the one who asks."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], depth: int = 2) -> Iterator[Item]:
    """Yield the same items in the same order, made up to `depth` ahead; None is not an item.

    What `items` raises is raised here, in its place.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming: deque[Future[Item | None]] = deque(thread.submit(next, items, None) for _ in range(depth))
        while (item := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, items, None))
            yield item
