"""Fetches product pictures, from the web or the dataset's own folder; every item gets a row that says how it went.

What comes back is hostile until it is decoded: sizes are bounded, a URL reaches public addresses alone, and a path
never leaves the dataset's folder.
"""

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
from aiohttp.abc import AbstractResolver, ResolveResult
from PIL import Image
from yarl import URL

from storage.pictures import PictureStore
from storage.progress import Progress
from storage.schemas import SCHEMAS

HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
ENDS_IN_NUMBER = re.compile(r"(^|\.)(\d+|0[xX][0-9a-fA-F]*)\.?$")
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
# IPv6 networks whose addresses stand for IPv4 ones, private ones too: mapped, NAT64, Teredo, 6to4.
TUNNELS = [
    ipaddress.ip_network(n) for n in ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
]
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
    # Bodies are taken as they are: one that inflates could be far larger than it was sent.
    plain = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=plain, auto_decompress=False
    ) as session:

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
    """The row of an item: its first usable picture, or the first failure, one that may pass before one for good."""
    row: dict[str, Any] = dict.fromkeys(SCHEMAS["item_images"].names)
    row |= {"item_id": item.item_id, "status": "missing"}
    for url in item.urls:
        try:
            content = await _download(url, limits, session) if HAS_SCHEME.match(url) else _read(url, base, limits)
            width, height = await asyncio.to_thread(decoded_size, content, limits.max_pixels)
        except RefusedError as refused:
            status = str(refused)
            if row["url"] is None or (status.startswith(PASSING) and not row["status"].startswith(PASSING)):
                row |= {"url": url, "status": status}
            continue
        key = store.add(content)
        return row | {
            "url": url, "status": "ok", "bytes": len(content), "width": width, "height": height, "sha256": key
        }  # fmt: skip
    return row


def decoded_size(content: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height of a picture of a common format that decodes to its last row.

    Raises:
        RefusedError: `undecodable`, or `too_many_pixels` before any of them is decoded.
    """
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise RefusedError("too_many_pixels")
            image.load()
            return image.size
    except (RefusedError, Image.DecompressionBombError) as error:
        raise RefusedError("too_many_pixels") from error
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        logger.debug("undecodable picture: %s", type(error).__name__)
        raise RefusedError("undecodable") from None


def _read(path: str, base: Path | None, limits: FetchLimits) -> bytes:
    if base is None:
        raise RefusedError("forbidden")
    try:
        file = (base / path).resolve()
        if not file.is_relative_to(base.resolve()):
            raise RefusedError("forbidden")
        if not file.is_file():
            raise RefusedError("not_found")
        if file.stat().st_size > limits.max_bytes:
            raise RefusedError("too_large")
        return file.read_bytes()
    except (OSError, ValueError):  # a path that no file system takes, or a file that may not be read
        raise RefusedError("bad_path") from None


async def _download(url: str, limits: FetchLimits, session: aiohttp.ClientSession) -> bytes:
    """The body of a URL, following redirects one by one so that each place is looked at before it is asked."""
    try:
        place = URL(url)
        for _ in range(MAX_REDIRECTS):
            require_public(place)
            async with session.get(place, allow_redirects=False) as answer:
                if answer.status in REDIRECTS and "Location" in answer.headers:
                    place = place.join(URL(answer.headers["Location"]))
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


def require_public(place: URL) -> None:
    """Raise RefusedError("forbidden") unless a URL is http(s) and its host is a name or a public address.

    It looks at the URL as the client will use it: in another spelling an address may look like a name.
    """
    if place.scheme not in ("http", "https") or not place.host:
        raise RefusedError("forbidden")
    try:
        ipaddress.ip_address(place.host)
    except ValueError:
        if ENDS_IN_NUMBER.search(place.host):  # an address in a spelling that only some resolvers know
            raise RefusedError("forbidden") from None
        return  # a name: PublicResolver looks at what it stands for
    if not is_public(place.host):
        raise RefusedError("forbidden")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet rather than to this machine or its network."""
    found = ipaddress.ip_address(address)
    return found.is_global and not found.is_multicast and not any(found in network for network in TUNNELS)


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
