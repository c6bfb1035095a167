"""Asks the web for pictures, over connections that stay open, no faster than its hosts like it.

Everything that comes back is hostile until it is decoded; whatever goes wrong is a RefusedError.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType

import aiohttp
from yarl import URL

from storage.http_policy import HEADERS, Retries, retry_after_s
from storage.images.decoding import Picture, decode_picture
from storage.images.host_limits import BusyError, Host
from storage.images.lookups import Lookups
from storage.images.statuses import PASSING, RefusedError
from storage.images.url_policy import follow_redirect, is_address, require_allowed, url_of

MAX_REDIRECTS = 5
MAX_PAUSES = 20  # of a host, that one URL waits for
REDIRECTS = (301, 302, 303, 307, 308)
CHUNK_BYTES = 1 << 16
DRAIN_S = 1.0
KEEP_ALIVE_S = 30.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of one picture, how many are fetched at a time, and how often one is tried again."""

    timeout_s: float
    max_bytes: int
    max_pixels: int
    concurrency: int
    host_concurrency: int
    retries: int
    min_side: int = 1
    excluded: frozenset[str] = frozenset()  # SHA-256 of pictures that stand for none, such as a shop's placeholder
    first_wait_s: float = 0.5  # before the first retry; it doubles
    patience_s: float = 60.0  # the longest pause that a host is granted

    def shared_by(self, fetchers: int) -> "FetchLimits":
        """The bounds of each of several fetchers, which together ask no more at a time than one would.

        Args:
            fetchers: at most `most_fetchers`.
        """
        return replace(
            self, concurrency=self.concurrency // fetchers, host_concurrency=self.host_concurrency // fetchers
        )

    @property
    def most_fetchers(self) -> int:
        """Among how many fetchers the bounds can be divided."""
        return min(self.concurrency, self.host_concurrency)


class PictureClient:
    """Gets pictures from URLs; `async with` opens and closes its connections.

    Args:
        local: whether private addresses may be asked.
    """

    def __init__(self, limits: FetchLimits, local: bool):
        self._limits, self._local = limits, local
        self._retries = Retries(limits.retries + 1, limits.first_wait_s, patience_s=limits.patience_s)
        self._places = asyncio.Semaphore(limits.concurrency)
        self._hosts: dict[str | None, Host] = defaultdict(lambda: Host(limits.host_concurrency, self._retries))
        self._decoders = ThreadPoolExecutor(cores(), "decoder")

    async def __aenter__(self) -> "PictureClient":
        self._lookups = Lookups(self._local)
        # The places of the hosts bound the connections: waiting for one must not count as the time of a request.
        connector = aiohttp.TCPConnector(
            resolver=self._lookups, limit=0, use_dns_cache=False, keepalive_timeout=KEEP_ALIVE_S
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._limits.timeout_s),
            headers=HEADERS,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._lookups.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)

    async def get(self, url: str) -> Picture:
        """The picture at a URL, asked for again where that may help.

        Raises:
            RefusedError: there is none, or none that may be asked for.
        """
        failures = pauses = 0
        while True:
            try:
                return await self._follow(url_of(url))
            except BusyError as busy:
                pauses += 1
                if busy.for_good or pauses > MAX_PAUSES:
                    raise
            except RefusedError as refused:
                if refused.status not in PASSING or failures == self._limits.retries:
                    raise
                failures += 1
                await asyncio.sleep(self._retries.wait_s(failures))
            except Exception as error:  # nothing that a URL may be costs more than its picture
                logger.warning("a URL could not be asked for a picture (%s)", type(error).__name__)
                raise RefusedError("bad_url") from None

    async def decode(self, read: Callable[[], bytes]) -> Picture:
        """Decode what `read` gives, both in one of the decoding threads, so that no content waits."""
        loop, limits = asyncio.get_running_loop(), self._limits
        return await loop.run_in_executor(
            self._decoders, lambda: decode_picture(read(), limits.max_pixels, limits.min_side)
        )

    async def _follow(self, place: URL) -> Picture:
        """The picture behind a URL and its redirects; each place is looked at before it is asked."""
        for _ in range(MAX_REDIRECTS + 1):
            require_allowed(place, self._local)
            found = await self._ask(place)
            if isinstance(found, Picture):
                return found
            place = found
        raise RefusedError("too_many_redirects")

    async def _ask(self, place: URL) -> Picture | URL:
        """A picture, or where it is said to be. A place is held until the bytes are decoded, so that few wait."""
        host = self._hosts[place.raw_host]
        await self._look_up(place, host)
        async with host.places:
            pauses = await host.opened()
            async with self._places:
                found = await self._request(place, host, pauses)
                return found if isinstance(found, URL) else await self.decode(lambda: found)

    async def _look_up(self, place: URL, host: Host) -> None:
        """Have the addresses of a host before a place is taken, so that a silent name server costs nobody a place."""
        name = place.raw_host or ""
        if is_address(name):
            return
        await host.opened()  # of one that is left alone nothing is asked any more
        try:
            await self._lookups.resolve(name)
        except OSError:
            host.was_silent("unreachable")
            raise RefusedError("unreachable") from None

    async def _request(self, place: URL, host: Host, pauses: int) -> bytes | URL:
        answered = False
        try:
            async with self._session.get(place, allow_redirects=False) as answer:
                answered = True
                wait = answer.headers.get("Retry-After")
                if answer.status == 429 or (answer.status == 503 and wait is not None):
                    raise host.refused(f"http_{answer.status}", retry_after_s(wait, answer.headers.get("Date")), pauses)
                host.gave()
                return await self._read(place, answer)
        except RefusedError:
            raise
        except TimeoutError:
            if not answered:
                host.was_silent("timeout")
            raise RefusedError("timeout") from None
        except aiohttp.ClientSSLError:
            raise RefusedError("bad_tls") from None
        except aiohttp.ClientConnectorError:
            host.was_silent("unreachable")
            raise RefusedError("unreachable") from None
        except ValueError:  # a host or a port that only turns out to be none when it is asked
            raise RefusedError("bad_url") from None
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, OSError):
            raise RefusedError("broken_off") from None
        except aiohttp.ClientError:
            raise RefusedError("bad_answer") from None
        except Exception as error:  # a mistake in the client library costs one picture, not the run
            logger.warning("a URL could not be asked for a picture (%s)", type(error).__name__)
            raise RefusedError("bad_answer") from None

    async def _read(self, place: URL, answer: aiohttp.ClientResponse) -> bytes | URL:
        """The body, if it is a picture's and not too large, or the place that a redirect names."""
        if answer.status != 200:
            await _drain(answer)
            if answer.status in REDIRECTS and "Location" in answer.headers:
                return follow_redirect(place, answer.headers["Location"])
            raise RefusedError(f"http_{answer.status}")
        if (answer.content_length or 0) > self._limits.max_bytes:
            raise RefusedError("too_large", size=answer.content_length)
        content = bytearray()
        async for chunk in answer.content.iter_any():
            content += chunk
            if len(content) > self._limits.max_bytes:
                raise RefusedError("too_large", size=len(content))
        return bytes(content)


def cores() -> int:
    """How many processors this process may use, where the system says so; else how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Take what little a refusal says, so that its connection can be used again."""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(DRAIN_S):
            await answer.content.read(CHUNK_BYTES)
