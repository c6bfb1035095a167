"""What may be asked of the web: http and https, and public addresses alone, unless the dataset is a local one."""

import ipaddress
import re
import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from storage.statuses import RefusedError

HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(https?|file|ftp|data|blob|javascript):", re.IGNORECASE)
ENDS_IN_NUMBER = re.compile(r"(^|\.)(\d+|0[xX][0-9a-fA-F]*)\.?$")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that belongs to anybody
TUNNELS = [ipaddress.ip_network(n) for n in ("2001::/32", "2002::/16")]  # Teredo, 6to4: they stand for IPv4 addresses


def is_on_the_web(place: str) -> bool:
    """Whether a place is a URL rather than a path in the dataset's folder; a path may have a colon (`img:1.jpg`)."""
    return HAS_SCHEME.match(place) is not None


def require_allowed(place: URL, local: bool) -> None:
    """Raise RefusedError("forbidden") unless a URL may be asked: http(s), and a name or a public address as its host.

    It looks at the URL as the client will use it: in another spelling an address may look like a name.

    Args:
        local: whether private addresses may be asked as well.
    """
    if place.scheme not in ("http", "https") or not place.host:
        raise RefusedError("forbidden")
    if local:
        return
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
    if found.version == 6 and (found not in GLOBAL_UNICAST or any(found in network for network in TUNNELS)):
        return False
    return found.is_global and not found.is_multicast


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
