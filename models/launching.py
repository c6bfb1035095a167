"""Begins the other processes of a team, beside the one that asks for it."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torch import multiprocessing

from models.errors import ModelError
from models.team import ALONE, TIMEOUT_S, Alone, joined

INTERFACE = "GLOO_SOCKET_IFNAME"
END_S = 5.0


@contextmanager
def team_of(size: int, work: Callable[..., object], *given: Any, timeout_s: float = TIMEOUT_S) -> Iterator[Alone]:
    """This process as rank 0, and `size` − 1 new ones on this machine that call `work(team, *given)` meanwhile.

    They talk over loopback alone, and end with this process, or when it leaves.

    Args:
        work, given: what `multiprocessing` can send to a new process.
        timeout_s: a rank that waits longer for another gives up.

    Raises:
        ModelError: a new process ended before it could begin, or a later exchange failed.
    """
    if size == 1:
        yield ALONE
        return
    context = multiprocessing.get_context("spawn")
    before = os.environ.get(INTERFACE)
    os.environ[INTERFACE] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    with tempfile.TemporaryDirectory(prefix="team-") as folder:
        store, helpers = (Path(folder) / "store").as_uri(), []
        try:
            for rank in range(1, size):
                ready, told = context.Pipe(duplex=False)
                place = (store, rank, size, timeout_s)
                helpers.append((context.Process(target=_help, args=(told, place, work, given), daemon=True), ready))
                helpers[-1][0].start()
                told.close()
            for rank, (_, ready) in enumerate(helpers, start=1):
                _wait_for(rank, size, ready)
            with joined(store, 0, size, timeout_s) as team:
                yield team
        finally:
            last = time.monotonic() + END_S  # now that this process has left, the others meet nobody and end
            for helper, _ in helpers:
                helper.join(max(0, last - time.monotonic()))
                helper.kill()
                helper.join()
            os.environ.pop(INTERFACE)
            if before is not None:
                os.environ[INTERFACE] = before


def _wait_for(rank: int, size: int, ready: Connection) -> None:
    try:
        ready.recv_bytes()
    except EOFError:
        raise ModelError(f"process {rank} of the {size} that were to share a training ended at once") from None


def _help(
    told: Connection, place: tuple[str, int, int, float], work: Callable[..., object], given: tuple[Any, ...]
) -> None:
    told.send_bytes(b"ready")
    try:
        with joined(*place) as team:
            work(team, *given)
    except ModelError as error:  # rank 0 has met it too, and tells it
        raise SystemExit(str(error)) from None
