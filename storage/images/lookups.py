"""Looks host names up, many at a time and none for long, so that dead names hold up nobody but who asked for them."""

import asyncio
import socket
import time

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from storage.images import url_policy
from storage.images.statuses import RefusedError

LOOKUP_S = 5.0  # for one name
TRIES = 2
AT_ONCE = 256
KEPT_S = 300.0


def system_resolver() -> AbstractResolver:
    """Asks the name servers of this machine, without a thread a name."""
    return aiohttp.AsyncResolver(timeout=LOOKUP_S / TRIES, tries=TRIES)


class Lookups(AbstractResolver):
    """The addresses of host names, kept for five minutes; who asks for a name that is being looked up waits for that.

    Args:
        local: whether private addresses may be asked.
    """

    def __init__(self, local: bool):
        self._local = local
        self._resolver = system_resolver()
        self._of_network = aiohttp.ThreadedResolver()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._known: dict[tuple[str, int], tuple[float, list[ResolveResult]]] = {}
        self._underway: dict[tuple[str, int], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host that may be asked.

        Raises:
            OSError: it has none, or none that came in time.
            RefusedError: `forbidden`, all of them are private.
        """
        key = (host, family)
        until, found = self._known.get(key, (0.0, []))
        if time.monotonic() >= until:
            task = self._underway.get(key)
            if task is None:
                task = self._underway[key] = asyncio.create_task(self._look_up(host, family))
                task.add_done_callback(lambda _: self._underway.pop(key))
            found = await asyncio.shield(task)
            self._known[key] = time.monotonic() + KEPT_S, found
        allowed = [address for address in found if self._local or url_policy.is_public(address["host"])]
        if found and not allowed:
            raise RefusedError("forbidden")
        return [{**address, "port": port} for address in allowed]

    async def _look_up(self, host: str, family: socket.AddressFamily) -> list[ResolveResult]:
        async with self._places:
            try:
                async with asyncio.timeout(LOOKUP_S + 1):
                    return await (self._of_network if self._is_own(host) else self._resolver).resolve(host, 0, family)
            except TimeoutError:
                raise OSError(None, "the name was not looked up in time") from None

    def _is_own(self, host: str) -> bool:
        """Whether a name may be known to this machine and its network alone, by other means than DNS."""
        return self._local and ("." not in host.rstrip(".") or host.rstrip(".").endswith(".local"))

    async def close(self) -> None:
        for task in list(self._underway.values()):
            task.cancel()
        await self._resolver.close()
