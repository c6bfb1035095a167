"""What is known of every URL that was asked for a picture, and what waits to be written down."""

import sys
import time
from collections.abc import Sequence

from storage.errors import InputError
from storage.images.decoding import Picture
from storage.images.statuses import RefusedError
from storage.images.store import Attempt, PictureStore

SHARD_BYTES = 1 << 26
SHARD_ATTEMPTS = 4096
SHARD_SECONDS = 30.0

Shard = Sequence[tuple[Attempt, bytes | None]]


class Attempts:
    """The latest attempt at every URL of a dataset, those of earlier runs and those of this one.

    Attempts wait in memory until there is enough for a shard, or the oldest has waited long enough; a run that is
    killed loses no more than these. About half a kilobyte a URL is kept in memory.
    """

    def __init__(
        self,
        store: PictureStore,
        shard_bytes: int = SHARD_BYTES,
        shard_attempts: int = SHARD_ATTEMPTS,
        shard_seconds: float = SHARD_SECONDS,
    ):
        self.store, self.shard_seconds = store, shard_seconds
        self._shard_bytes, self._shard_attempts = shard_bytes, shard_attempts
        self._latest: dict[str, Attempt] = {}
        self._stored: set[str] = set()
        for attempt, has_content in store.attempts():
            last = self._latest.get(attempt.url)
            if last is None or last.asked_at <= attempt.asked_at:
                self._latest[attempt.url] = attempt._replace(status=sys.intern(attempt.status))
            if has_content and attempt.sha256 is not None:
                self._stored.add(attempt.sha256)
        self._restart()

    def latest(self, url: str) -> Attempt | None:
        """The last attempt at a URL; None if there was none, or what it brought is lost."""
        last = self._latest.get(url)
        is_lost = last is not None and last.sha256 is not None and last.sha256 not in self._stored
        return None if is_lost else last

    def add(self, url: str, mark: str | None, outcome: Picture | RefusedError) -> Attempt:
        """Remember what came of asking for a URL just now. What says the same as the last time is not written again."""
        last = self._latest.get(url)
        asked_at = time.time_ns() // 1_000_000
        if last is not None:  # a clock that was set back makes no attempt older than the one before it
            asked_at = max(asked_at, last.asked_at + 1)
        content = sha256 = None
        if isinstance(outcome, Picture):
            sha256 = outcome.sha256
            content = None if sha256 in self._stored else outcome.content
            self._stored.add(sha256)
        attempt = Attempt(url, asked_at, mark, outcome.status, outcome.width, outcome.height, outcome.size, sha256)
        self._latest[url] = attempt
        if content is not None or last is None or last[2:] != attempt[2:]:
            self._waiting.append((attempt, content))
            self._waiting_bytes += len(content or b"")
        return attempt

    @property
    def are_due(self) -> bool:
        """Whether what waits should be written now."""
        return bool(self._waiting) and (
            self._waiting_bytes >= self._shard_bytes
            or len(self._waiting) >= self._shard_attempts
            or time.monotonic() - self._since >= self.shard_seconds
        )

    def take(self) -> Shard:
        """What waits, for whoever writes it; from then on it no longer does."""
        waiting = self._waiting
        self._restart()
        return waiting

    def write(self, shard: Shard) -> None:
        """Write what was taken.

        Raises:
            InputError: there is no room for it, or no permission; nothing of it is written.
        """
        try:
            self.store.publish(shard)
        except OSError as error:
            where = f"{error.strerror or error} ({error.filename or self.store.folder})"
            raise InputError(f"the pictures cannot be kept: {where}; REC_DATA says where they go") from error

    def flush(self) -> None:
        """Write what waits."""
        self.write(self.take())

    def _restart(self) -> None:
        self._waiting: list[tuple[Attempt, bytes | None]] = []
        self._waiting_bytes = 0
        self._since = time.monotonic()
