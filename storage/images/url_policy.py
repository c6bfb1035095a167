"""What may be asked of the web, and how a place in a dump becomes the URL that is asked.

http and https alone, and public addresses alone, unless the dataset is a local one. What is looked at is what is asked:
a URL that can be sent as it stands is never written anew, since servers may sign it.
"""

import ipaddress
import re
from urllib.parse import quote, urljoin

from yarl import URL

from storage.images.statuses import RefusedError
from storage.limits import MAX_URL_CHARACTERS

HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(https?|file|ftp|data|blob|javascript):", re.IGNORECASE)
ENDS_IN_NUMBER = re.compile(r"(^|\.)(\d+|0[xX][0-9a-fA-F]*)\.?$")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that belongs to anybody
TUNNELS = [ipaddress.ip_network(n) for n in ("2001::/32", "2002::/16")]  # Teredo, 6to4: they stand for IPv4 addresses
MAX_HOST_CHARACTERS = 253
MAX_PORT = 65_535

_BLANKS_WITHIN = re.compile(r"[\t\r\n]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?:(?P<user>[^/?#]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]]*)(?::(?P<port>[0-9]*))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.DOTALL,
)
_ASCII_HOST = re.compile(r"[A-Za-z0-9._-]+")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SENT_AS_IT_STANDS = "%!$&'()*+,;=:@/?[]"  # besides letters, digits and -._~


def is_on_the_web(place: str) -> bool:
    """Whether a place is a URL rather than a path in the dataset's folder; a path may have a colon (`img:1.jpg`).

    One that begins with // names a host and lacks its scheme.
    """
    start = place[:MAX_URL_CHARACTERS].lstrip()
    return start.startswith("//") or HAS_SCHEME.match(start) is not None


def url_of(place: str) -> URL:
    """The URL that a place is asked by: as it stands, but for what cannot be sent, which is percent-encoded.

    Blanks at its ends go, and line breaks within, as in a browser; one without a scheme gets https. Its fragment is not
    sent.

    Raises:
        RefusedError: `forbidden`, of another scheme or without a host; `bad_url`, of no URL or one that is too long.
    """
    if len(place) > 2 * MAX_URL_CHARACTERS:  # before anything looks at it
        raise RefusedError("bad_url")
    text = _BLANKS_WITHIN.sub("", place.strip())
    text = f"https:{text}" if text.startswith("//") else text
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[1].lower() not in ("http", "https"):
        raise RefusedError("forbidden" if scheme else "bad_url")
    found = _URL.fullmatch(text)
    if found is None or len(text) > MAX_URL_CHARACTERS or int(found["port"] or 0) > MAX_PORT:
        raise RefusedError("bad_url")
    if not found["host"]:
        raise RefusedError("forbidden")
    try:
        user = f"{_sendable(found['user'])}@" if found["user"] else ""
        port = f":{found['port']}" if found["port"] else ""
        path, query = _sendable(found["path"] or "/"), _sendable(found["query"] or "")
        return URL(f"{scheme[1].lower()}://{user}{_host(found['host'])}{port}{path}{query}", encoded=True)
    except Exception:  # whatever the library finds wrong with it, it is no URL
        raise RefusedError("bad_url") from None


def can_be_asked(place: str) -> bool:
    """Whether a place becomes a URL that can be asked."""
    try:
        url_of(place)
    except RefusedError:
        return False
    return True


def follow_redirect(place: URL, location: str) -> URL:
    """Where a redirect leads: its Location, which may be relative to the URL that was asked, as it stands.

    Raises:
        RefusedError: as in `url_of`.
    """
    if len(location) > MAX_URL_CHARACTERS:
        raise RefusedError("bad_url")
    try:
        return url_of(urljoin(str(place), location.strip()))
    except ValueError:
        raise RefusedError("bad_url") from None


def _sendable(part: str) -> str:
    """A part of a URL in which what stands there encoded stays so, and what cannot be sent is encoded."""
    return quote(_STRAY_PERCENT.sub("%25", part), safe=_SENT_AS_IT_STANDS, errors="surrogateescape")


def _host(host: str) -> str:
    """A host as it is asked: an address, or a name in ASCII.

    Raises:
        ValueError: it is neither.
    """
    if len(host) > MAX_HOST_CHARACTERS:  # turning long international names into ASCII takes quadratic time
        raise ValueError("too long")
    if host.startswith("["):
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    if _ASCII_HOST.fullmatch(host):
        return host.lower()
    name = URL.build(scheme="http", host=host).raw_host or ""
    if not _ASCII_HOST.fullmatch(name):
        raise ValueError("no host name")
    return name.lower()


def require_allowed(place: URL, local: bool) -> None:
    """Raise RefusedError("forbidden") unless a URL may be asked: a name, or a public address, as its host.

    It looks at the URL as the client will use it: in another spelling an address may look like a name.

    Args:
        place: of `url_of`.
        local: whether private addresses may be asked as well.
    """
    if local:
        return
    host = place.raw_host or ""
    if is_address(host):
        if not is_public(host):
            raise RefusedError("forbidden")
    elif ENDS_IN_NUMBER.search(host):  # an address in a spelling that only some resolvers know
        raise RefusedError("forbidden")


def is_address(host: str) -> bool:
    """Whether a host is an IP address; a name is looked up, and storage.images.lookups looks at what it stands for."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet rather than to this machine or its network."""
    found = ipaddress.ip_address(address)
    if found.version == 6 and (found not in GLOBAL_UNICAST or any(found in network for network in TUNNELS)):
        return False
    return found.is_global and not found.is_multicast
