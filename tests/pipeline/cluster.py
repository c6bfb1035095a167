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


def working(cluster: Cluster) -> list[str]:
    """What the workers of this cluster do right now, by the titles that they give their processes.

    A worker is a child of its node's raylet, so those of another cluster on this machine are not counted.
    """
    raylets = {process.process.pid for node in cluster.list_all_nodes() for process in node.all_processes["raylet"]}
    titles = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        if parent in raylets and title.startswith(WORKING):
            titles.append(title)
    return titles


def wait_until(reached: Callable[[], object], patience_s: float) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + patience_s
    while not reached():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
