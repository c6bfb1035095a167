"""A Ray cluster of several nodes on this machine, and what is to be seen of it from outside."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.cluster_utils import Cluster

WORKING = ("ray::_led", "ray::MapWorker", "ray::MapBatches", "ray::_preprocessing")


@contextmanager
def cluster_of(cpus: list[int]) -> Iterator[Cluster]:
    """A cluster of raylets with so many processors each; the first is that of the drivers."""
    head = {"num_cpus": cpus[0], "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for count in cpus[1:]:
            cluster.add_node(num_cpus=count)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def working() -> list[str]:
    """What workers of Ray do on this machine right now, by the titles that they give their processes."""
    titles = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if title.startswith(WORKING):
            titles.append(title)
    return titles


def wait_until(reached: Callable[[], object], patience_s: float) -> float:
    """Wait for something to be so; return the seconds that it took."""
    started = time.monotonic()
    while not reached():
        assert time.monotonic() - started < patience_s, "it did not come about in time"
        time.sleep(0.05)
    return time.monotonic() - started
