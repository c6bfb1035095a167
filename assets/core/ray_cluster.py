"""A Ray cluster at the service of one asset: what it yields passes through, what it does ends with the run.

The work is led by a task beside this process and not by this process, which only asks now and then: so a signal acts at
once, and nothing that the cluster holds passes through here but what the work yields. Ray is imported where it is asked
for, and nowhere else.
"""

import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import assets
import models
import storage
from assets.core.compute import Compute
from models.errors import LostProcessError, ModelError
from storage.artifacts.data_root import DataRoot
from storage.errors import InputError, OutOfReachError

POLL_S = 0.05
CONNECT_S = 10
PACKAGES = (assets, models, storage)  # what workers import of the project
OWN_ERRORS = (InputError, OutOfReachError, ModelError, LostProcessError)
BESIDE_AN_ENCODER = 0.25  # of every processor: where encoders have no GPU, they leave this to those who decode

T = TypeVar("T")


@dataclass(frozen=True)
class Shares:
    """What part of a cluster each worker gets.

    Attributes:
        cpus: of the whole cluster, those of every node in whole numbers.
        workers: how many decode or rank; worker_cpus: processors of one that ranks, decoder_cpus: of one that decodes.
        encoders: how many there are; encoder_cpus, encoder_gpus: of each; threads: of one without a GPU.
    """

    cpus: int
    workers: int
    worker_cpus: float
    decoder_cpus: float
    encoders: int
    encoder_cpus: float
    encoder_gpus: float
    threads: int

    @classmethod
    def of(cls, compute: Compute, nodes: Sequence[tuple[float, float]]) -> "Shares":
        """The shares of a cluster whose nodes have so many processors and GPUs each; together they fit into it.

        Raises:
            InputError: an encoder fits into no node.
        """
        cpus, gpus = (sum(map(int, each)) for each in zip(*nodes, strict=True))
        workers, threads, part = compute.workers or max(1, cpus), compute.cpus_per_encoder, compute.gpus_per_encoder
        worker_cpus = min(1.0, cpus / workers)
        if gpus:
            encoders = sum(int(of_node / part) for _, of_node in nodes)
            if not encoders:
                raise InputError(
                    f"compute.gpus_per_encoder is {part:g}, and no node of the Ray cluster has as many GPUs"
                )
            return cls(cpus, workers, worker_cpus, worker_cpus, compute.encoders or encoders, 0.0, part, threads)
        encoders = sum(int(of_node // threads) for of_node, _ in nodes)
        if not encoders:
            raise InputError(
                f"compute.cpus_per_encoder is {threads}, and no node of the Ray cluster has as many processors"
            )
        encoders = compute.encoders or encoders
        encoder_cpus = min(threads, cpus / encoders) * (1 - BESIDE_AN_ENCODER)
        decoder_cpus = worker_cpus * BESIDE_AN_ENCODER
        return cls(cpus, workers, worker_cpus, decoder_cpus, encoders, encoder_cpus, 0.0, threads)


def on_cluster(compute: Compute, root: DataRoot, work: Callable[[Shares], Iterator[T]]) -> Generator[T, None, None]:
    """What `work(shares)` yields, led by a task on this machine; the cluster is there as long as it is asked.

    Args:
        work: may use Ray and Ray Data, and is pickled.

    Raises:
        InputError: Ray is not installed, the cluster is not there, or not every node sees the data root; or what the
            work raises of this project's own errors, in its own words.
    """
    if root.mirror:
        raise InputError("compute is ray and REC_DATA a URL; it must be a folder that all nodes of the cluster share")
    with connect(compute) as ray:
        _require_shared(ray, root)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        shares = Shares.of(compute, [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes])
        lead = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=_here(ray))(_lead)
        with closing(_poll(ray, lead.options(num_returns="streaming").remote(work, shares))) as found:
            yield from found


def _lead(work: Callable[[Shares], Iterator[T]], shares: Shares) -> Iterator[T]:
    from ray.data import DataContext

    DataContext.get_current().enable_progress_bars = False  # they draw over the log of the run
    for value in work(shares):  # noqa: UP028 (Ray sends values into a generator, which not every iterator takes)
        yield value


def _poll(ray: Any, found: Any) -> Generator[Any, None, None]:
    """What a streaming task yields; waits in steps so short that signals act at once."""
    while True:
        while not ray.wait([found], timeout=0)[0]:
            time.sleep(POLL_S)
        try:
            yield ray.get(next(found))
        except StopIteration:
            return
        except ray.exceptions.RayError as error:
            if own := own_error(error):
                raise own from error
            raise


def own_error(error: BaseException) -> Exception | None:
    """The error of this project that is behind one of Ray's, if any is."""
    inner: BaseException | None = error
    while inner is not None:
        if type(inner) in OWN_ERRORS:
            return inner  # type: ignore[return-value]
        inner = getattr(inner, "cause", None) or inner.__cause__
    return None


@contextmanager
def connect(compute: Compute) -> Iterator[Any]:
    """Ray, connected; Dagster's signal handlers stay, and all that was begun ends with the block."""
    try:
        import ray
    except ImportError as error:
        raise InputError("compute is ray, which is not installed: pip install --editable .[ray]") from error

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    where: dict[str, Any] = {"address": compute.address} if compute.address else {"address": "local"}
    if not compute.address:
        where["include_dashboard"] = False
    try:
        _require_answer(compute.address)
        ray.init(**where, runtime_env={"py_modules": list(PACKAGES)}, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        at = compute.address or "this machine"
        raise InputError(f"compute is ray, and no cluster is reachable at {at} ({_first_line(error)})") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise OSError where nobody listens, whom Ray would ask for minutes, or ValueError if it is no address."""
    host, _, port = address.rpartition(":")
    if host:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _here(ray: Any) -> Any:
    return _at(ray.get_runtime_context().get_node_id())


def _at(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def _require_shared(ray: Any, root: DataRoot) -> None:
    """Raise InputError unless every node sees the data root, where all of them write."""
    token = root.root / ".work" / f"seen-{uuid.uuid4().hex}"
    root.publish_bytes(token, b"")
    try:
        sees = ray.remote(num_cpus=0)(_is_there)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        blind = ray.get([sees.options(scheduling_strategy=_at(node)).remote(token) for node in nodes]).count(False)
    finally:
        root.remove(token)
    if blind:
        raise InputError(
            f"{blind} of {len(nodes)} nodes of the Ray cluster do not see what lies below REC_DATA; it must be a "
            "folder that all of them share"
        )


def _is_there(path: Path) -> bool:
    return path.exists()
