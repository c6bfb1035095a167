"""Fetches product pictures, from the web or the dataset's own folder; every item gets a row that says how it went.

What comes back is hostile until it is decoded: sizes are bounded, a URL reaches public addresses alone, and a path
never leaves the dataset's folder.
"""

import asyncio
import ipaddress
import logging
import re
import socket
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import pyarrow as pa
from aiohttp.abc import AbstractResolver, ResolveResult
from PIL import Image

from storage.pictures import PictureStore
from storage.progress import Progress
from storage.schemas import SCHEMAS

HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 16
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = ("timeout", "unreachable", "broken_off", "http_429", "http_5")  # beginnings of what another try may mend

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of one picture, and how many are fetched at a time."""

    timeout_s: float
    max_bytes: int
    max_pixels: int
    concurrency: int


@dataclass(frozen=True)
class Wanted:
    """An item and the places where its picture may be, the most wanted first."""

    item_id: str
    urls: Sequence[str]


class RefusedError(Exception):
    """A picture that is not had; the message is the status of its row."""


def fetch_pictures(
    wanted: Sequence[Wanted],
    base: Path | None,
    store: PictureStore,
    limits: FetchLimits,
    earlier: dict[str, dict[str, Any]],
    progress: Progress,
) -> pa.Table:
    """Fetch the first usable picture of each item into `store`.

    Args:
        base: the folder in which relative paths are looked up; None if the dataset has none.
        earlier: rows of an earlier table by item; what came from the web then, or failed for good, is not asked again.

    Returns:
        The table `item_images`: one row an item, in the order given.
    """
    rows = asyncio.run(_fetch_all(wanted, base, store, limits, earlier, progress))
    store.flush()
    return pa.Table.from_pylist(rows, schema=SCHEMAS["item_images"])


async def _fetch_all(
    wanted: Sequence[Wanted],
    base: Path | None,
    store: PictureStore,
    limits: FetchLimits,
    earlier: dict[str, dict[str, Any]],
    progress: Progress,
) -> list[dict[str, Any]]:
    places = asyncio.Semaphore(limits.concurrency)
    connector = aiohttp.TCPConnector(resolver=PublicResolver(), limit=limits.concurrency)
    timeout = aiohttp.ClientTimeout(total=limits.timeout_s)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def one(item: Wanted) -> dict[str, Any]:
            async with places:
                last = earlier.get(item.item_id)
                row = last if last and _settled(last, item, store) else await _fetch(item, base, store, limits, session)
            progress.advance()
            return row

        return await asyncio.gather(*map(one, wanted))


def _settled(last: dict[str, Any], item: Wanted, store: PictureStore) -> bool:
    """Whether asking again would give the same: a local file may have changed, a web picture is kept by its URL."""
    if last["url"] not in item.urls or not HAS_SCHEME.match(last["url"]):
        return False
    return last["sha256"] in store if last["status"] == "ok" else not last["status"].startswith(PASSING)


async def _fetch(
    item: Wanted, base: Path | None, store: PictureStore, limits: FetchLimits, session: aiohttp.ClientSession
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMAS["item_images"].names)
    row |= {"item_id": item.item_id, "status": "missing"}
    for url in item.urls:
        try:
            content = await _download(url, limits, session) if HAS_SCHEME.match(url) else _read(url, base, limits)
            width, height = await asyncio.to_thread(decoded_size, content, limits.max_pixels)
        except RefusedError as refused:
            if row["url"] is None:
                row |= {"url": url, "status": str(refused)}
            continue
        key = store.add(content)
        return row | {
            "url": url, "status": "ok", "bytes": len(content), "width": width, "height": height, "sha256": key
        }  # fmt: skip
    return row


def decoded_size(content: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height of a picture that decodes to its last row.

    Raises:
        RefusedError: `undecodable`, or `too_many_pixels` before any of them is decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content)) as image:
                if image.width * image.height > max_pixels:
                    raise RefusedError("too_many_pixels")
                image.load()
                return image.size
    except Image.DecompressionBombError:
        raise RefusedError("too_many_pixels") from None
    except RefusedError:
        raise
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        logger.debug("undecodable picture: %s", type(error).__name__)
        raise RefusedError("undecodable") from None


def _read(path: str, base: Path | None, limits: FetchLimits) -> bytes:
    if base is None:
        raise RefusedError("forbidden")
    file = (base / path).resolve()
    if not file.is_relative_to(base.resolve()):
        raise RefusedError("forbidden")
    if not file.is_file():
        raise RefusedError("not_found")
    if file.stat().st_size > limits.max_bytes:
        raise RefusedError("too_large")
    return file.read_bytes()


async def _download(url: str, limits: FetchLimits, session: aiohttp.ClientSession) -> bytes:
    """The body of a URL, following redirects one by one so that each place is looked at before it is asked."""
    try:
        for _ in range(MAX_REDIRECTS):
            require_public_url(url)
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status in REDIRECTS and "Location" in answer.headers:
                    url = urljoin(url, answer.headers["Location"])
                    continue
                if answer.status != 200:
                    raise RefusedError(f"http_{answer.status}")
                content = bytearray()
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    content += chunk
                    if len(content) > limits.max_bytes:
                        raise RefusedError("too_large")
                return bytes(content)
        raise RefusedError("too_many_redirects")
    except TimeoutError:
        raise RefusedError("timeout") from None
    except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError):
        raise RefusedError("unreachable") from None
    except aiohttp.ClientPayloadError:
        raise RefusedError("broken_off") from None
    except aiohttp.ClientError:
        raise RefusedError("bad_answer") from None
    except ValueError:
        raise RefusedError("bad_url") from None


def require_public_url(url: str) -> None:
    """Raise RefusedError("forbidden") unless a URL is http(s) and its host is a name or a public address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RefusedError("forbidden")
    try:
        ipaddress.ip_address(parts.hostname)
    except ValueError:
        return  # a name: PublicResolver looks at what it stands for
    if not is_public(parts.hostname):
        raise RefusedError("forbidden")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet rather than to this machine or its network."""
    return ipaddress.ip_address(address).is_global


class PublicResolver(AbstractResolver):
    """Resolves host names to public addresses alone."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [address for address in found if is_public(address["host"])]
        if found and not public:
            raise RefusedError("forbidden")
        return public

    async def close(self) -> None:
        await self._resolver.close()
