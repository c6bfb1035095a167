"""Ports of this machine for servers that tests start, and whether one answers."""

import itertools
import os
import socket
import urllib.error
import urllib.request

FIRST, PORTS_OF_A_WORKER = 20_000, 100  # below those that the system gives to whoever asks for any
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_offered = itertools.cycle(range(FIRST + _WORKER * PORTS_OF_A_WORKER, FIRST + (_WORKER + 1) * PORTS_OF_A_WORKER))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; no other worker is offered them, and this one is not offered them again soon."""
    return [next(port for port in _offered if _is_free(port)) for _ in range(count)]


def answers(url: str) -> bool:
    """Whether a server answers at a URL."""
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
