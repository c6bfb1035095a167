"""How the project behaves towards servers: who it says it is, and how long it waits before it asks again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

# Bodies are taken as they are: one that inflates could be far larger than it was sent.
HEADERS = {"User-Agent": "gated-rec-pipeline", "Accept-Encoding": "identity"}

PASSING_CODES = frozenset({408, 425, 429, *range(500, 600)})  # statuses after which the same request may succeed


@dataclass(frozen=True)
class Retries:
    """How often a request is tried again after one that brought nothing new, and how long is waited before.

    Attributes:
        attempts: tries in a row without a new byte before it is given up.
        first_s, longest_s: the wait doubles from the one to the other; from half of it to all of it is drawn.
        patience_s: the longest wait that a server may ask for by `Retry-After`.
    """

    attempts: int = 6
    first_s: float = 1.0
    longest_s: float = 60.0
    patience_s: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return min(self.first_s * 2 ** (failures - 1), self.longest_s) * (1 + self.draw()) / 2


def retry_after_s(asked: str | None, its_time: str | None = None) -> float:
    """Seconds that a server asks to be left alone, by its `Retry-After`: a number, or until a date; else 0.

    Args:
        its_time: what time it is by the server's `Date`; without it, this machine's clock has to do.
    """
    if asked is None:
        return 0.0
    if asked.isascii() and asked.isdigit():
        return float(asked)
    until, now = _date(asked), _date(its_time) or datetime.now(UTC)
    return 0.0 if until is None else max((until - now).total_seconds(), 0.0)


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        return None


def without_secrets(source: str) -> str:
    """A source as it may be shown: a URL without the name, password, query and fragment that it may carry."""
    parts = urlsplit(source)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else source
