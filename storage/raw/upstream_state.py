"""Whether raw files have changed where they come from: asked all at once, within seconds, and never fetched for it."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from storage.errors import InputError, OutOfReachError
from storage.http_policy import HEADERS, without_secrets
from storage.raw.partial import State

ASK_S = 5.0  # for one source in all, however slowly it answers
NO_HEAD = {403, 405, 501}  # answers of servers that give a file but not its head alone


def ask_states(sources: Iterable[str], timeout_s: float = ASK_S) -> dict[str, str | InputError]:
    """A mark of the state of each source, which changes when the file does, or why there is none."""
    return asyncio.run(_all_marks(list(dict.fromkeys(sources)), aiohttp.ClientTimeout(total=timeout_s)))


async def _all_marks(sources: list[str], timeout: aiohttp.ClientTimeout) -> dict[str, str | InputError]:
    async with aiohttp.ClientSession(headers=HEADERS, timeout=timeout, trust_env=True) as session:
        found = await asyncio.gather(*(_mark(session, source) for source in sources))
    return dict(zip(sources, found, strict=True))


async def _mark(session: aiohttp.ClientSession, source: str) -> str | InputError:
    try:
        match urlsplit(source).scheme:
            case "http" | "https":
                return await _mark_of_url(session, source, without_secrets(source))
            case "sample":
                return source
            case "":
                stat = Path(source).stat()
                return f"{stat.st_size} bytes of {stat.st_mtime_ns}"
        return InputError(f"{without_secrets(source)} is neither a path nor a URL with http or https")
    except (TimeoutError, aiohttp.ServerDisconnectedError) as error:
        return OutOfReachError(f"{without_secrets(source)} does not answer ({type(error).__name__})")
    except (OSError, aiohttp.ClientError, ValueError) as error:
        return OutOfReachError(f"{without_secrets(source)} cannot be reached ({type(error).__name__})")


async def _mark_of_url(session: aiohttp.ClientSession, url: str, shown: str) -> str | InputError:
    async with session.head(url, allow_redirects=True) as answer:
        status, state = answer.status, _state(answer)
    if status in NO_HEAD:
        async with session.get(url, headers={"Range": "bytes=0-0"}) as answer:
            status, state = answer.status, _state(answer)
    if status not in (200, 206):
        return OutOfReachError(f"{shown} answers {status}")
    if not any(state.model_dump().values()):
        return InputError(f"{shown} tells neither ETag nor date nor size, so that a change cannot be seen")
    return state.model_dump_json()


def _state(answer: aiohttp.ClientResponse) -> State:
    """What an answer says of the whole file; of a part, its size stands behind the range."""
    headers = answer.headers
    size = (
        headers.get("Content-Range", "").rpartition("/")[2] if answer.status == 206 else headers.get("Content-Length")
    )
    known = int(size) if size and size.isascii() and size.isdigit() else None
    return State(etag=headers.get("ETag"), last_modified=headers.get("Last-Modified"), bytes=known)
