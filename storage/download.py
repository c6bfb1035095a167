"""Downloads a raw dump over HTTP."""

from pathlib import Path

import requests

from storage.errors import InputError
from storage.progress import Progress
from storage.publish import publishing

TIMEOUT_S = 30
CHUNK_BYTES = 1 << 20
AS_IT_IS = {"Accept-Encoding": "identity"}


def download(url: str, target: Path, max_bytes: int, progress: Progress) -> None:
    """Download `url` to `target`, which appears when all of it has arrived.

    Raises:
        InputError: the server cannot be reached, refuses, sends more than `max_bytes`, or breaks off.
    """
    try:
        with requests.get(url, stream=True, timeout=TIMEOUT_S, headers=AS_IT_IS) as answer:
            answer.raise_for_status()
            promised = int(answer.headers.get("Content-Length", 0))
            progress.total = promised or None
            with publishing(target) as partial, partial.open("wb") as file:
                for chunk in answer.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    progress.advance(len(chunk))
                    if progress.done > max_bytes:
                        raise InputError(f"{url} is larger than max_dump_bytes ({max_bytes:,})")
                if promised and progress.done != promised:
                    raise InputError(f"{url} broke off after {progress.done:,} of {promised:,} bytes")
    except requests.RequestException as error:
        raise InputError(
            f"{url} cannot be downloaded ({type(error).__name__}); a local path works in its place"
        ) from error
