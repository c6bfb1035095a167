"""Begins the other processes of a group, beside the one that asks for it."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import multiprocessing

from models.distributed.sharding import ShardedTraining
from models.errors import LostProcessError, ModelError
from models.training.single_process import SINGLE_PROCESS, SingleProcess

TIMEOUT_S = 600.0  # longer than ranks are ever apart: while rank 0 writes a checkpoint, the others wait
INTERFACE = "GLOO_SOCKET_IFNAME"
END_S = 5.0


@contextmanager
def start_processes(
    size: int, work: Callable[..., object], *given: Any, timeout_s: float = TIMEOUT_S
) -> Iterator[SingleProcess]:
    """This process as rank 0, and `size` − 1 new ones on this machine that call `work(group, *given)` meanwhile.

    They talk over loopback alone, and end with this process, or when it leaves.

    Args:
        work, given: what `multiprocessing` can send to a new process.
        timeout_s: a rank that waits longer for another gives up.

    Raises:
        ModelError: a new process ended before it could begin, or a later exchange failed.
    """
    if size == 1:
        yield SINGLE_PROCESS
        return
    context = multiprocessing.get_context("spawn")
    before = os.environ.get(INTERFACE)
    os.environ[INTERFACE] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    with tempfile.TemporaryDirectory(prefix="processes-") as folder:
        store, helpers = (Path(folder) / "store").as_uri(), []
        try:
            for rank in range(1, size):
                receiver, sender = context.Pipe(duplex=False)
                place = (store, rank, size, timeout_s)
                helpers.append(
                    (context.Process(target=_help, args=(sender, place, work, given), daemon=True), receiver)
                )
                helpers[-1][0].start()
                sender.close()
            for rank, (_, receiver) in enumerate(helpers, start=1):
                _wait_for(rank, size, receiver)
            with join_processes(store, 0, size, timeout_s) as group:
                yield group
        finally:
            last = time.monotonic() + END_S  # now that this process has left, the others meet nobody and end
            for helper, _ in helpers:
                helper.join(max(0, last - time.monotonic()))
                helper.kill()
                helper.join()
            os.environ.pop(INTERFACE)
            if before is not None:
                os.environ[INTERFACE] = before


def _wait_for(rank: int, size: int, receiver: Connection) -> None:
    try:
        receiver.recv_bytes()
    except EOFError:
        raise ModelError(f"process {rank} of the {size} that were to share a training ended at once") from None


def _help(
    sender: Connection, place: tuple[str, int, int, float], work: Callable[..., object], given: tuple[Any, ...]
) -> None:
    sender.send_bytes(b"ready")
    try:
        with join_processes(*place) as group:
            work(group, *given)
    except ModelError as error:  # rank 0 has met it too, and tells it
        raise SystemExit(str(error)) from None


@contextmanager
def join_processes(
    store: str = "env://", rank: int = -1, size: int = -1, timeout_s: float = TIMEOUT_S
) -> Iterator[ShardedTraining]:
    """Be one of the processes that meet at `store`, an `init_method` of torch.distributed, while this lasts.

    `env://`, which knows rank and size by itself, is where `torchrun` has its processes meet.

    Args:
        timeout_s: a rank that waits longer for another gives up.

    Raises:
        LostProcessError: not all of them came in time.
    """
    waiting, started = timedelta(seconds=timeout_s), time.monotonic()
    try:
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=waiting)
    except RuntimeError as error:
        if time.monotonic() - started < timeout_s:
            raise LostProcessError("a process lost another before all that share the training had met") from error
        raise LostProcessError(
            f"the processes that were to share a training did not all meet within {timeout_s:g} s"
        ) from error
    try:
        yield ShardedTraining()
    finally:
        dist.destroy_process_group()
