"""How much is asked of one host at a time, and when it is left alone."""

import asyncio
import time

from storage.http_policy import Retries
from storage.images.statuses import RefusedError

MAX_SILENT = 16  # failures in a row, beyond what is asked at a time, after which a host that is not there is left alone
SILENT_S = 5.0  # and no sooner: a server that restarts fails as often in a moment
MAX_FRUITLESS = 8  # pauses in a row after which a host that gives nothing is left alone for the rest of the run


class BusyError(RefusedError):
    """The host wants to be left alone.

    Attributes:
        for_good: whether it is not worth waiting for, in this run.
    """

    def __init__(self, status: str, for_good: bool):
        super().__init__(status)
        self.for_good = for_good


class Host:
    """One host: places for what is asked of it at a time, and the pause that it has asked for.

    A refusal for being busy (429, or 503 with Retry-After) is the host's, not the URL's: everything that would be
    asked of it waits, and the URL may ask again as long as the host gives anything between two pauses.

    A host that does not answer at all is left alone as well, once that has lasted.
    """

    def __init__(self, concurrency: int, retries: Retries):
        self.places = asyncio.Semaphore(concurrency)
        self._retries = retries
        self._open_at = 0.0  # time.monotonic()
        self._status = ""
        self._pauses = self._fruitless = 0
        self._max_silent = MAX_SILENT + concurrency
        self._silent = 0
        self._silent_since = 0.0

    async def opened(self) -> int:
        """Wait until the host may be asked, and tell how many pauses it has made.

        Raises:
            BusyError: it will not be open before patience ends.
        """
        while (left := self._open_at - time.monotonic()) > 0:
            if left > self._retries.patience_s:
                raise BusyError(self._status, for_good=True)
            await asyncio.sleep(left)
        return self._pauses

    def gave(self) -> None:
        """Note an answer that was no refusal."""
        self._fruitless = self._silent = 0

    def was_silent(self, status: str) -> None:
        """Note that no answer came at all; a host that goes on like that is left alone for the rest of the run."""
        now = time.monotonic()
        if self._silent == 0:
            self._silent_since = now
        self._silent += 1
        if self._silent >= self._max_silent and now - self._silent_since >= SILENT_S:
            self._open_at, self._status = float("inf"), status

    def refused(self, status: str, wait_s: float, pauses: int) -> BusyError:
        """Pause for as long as the host asks, but longer from one fruitless pause to the next.

        Args:
            pauses: what `opened` said before the host was asked. Several refusals of what was asked at the same time
                are one pause.
        """
        self._silent = 0
        if pauses == self._pauses:
            self._pauses += 1
            self._fruitless += 1
        wait_s = max(wait_s, self._retries.wait_s(self._fruitless))
        if self._fruitless > MAX_FRUITLESS:
            wait_s = float("inf")
        self._open_at = max(self._open_at, time.monotonic() + wait_s)
        self._status = status
        is_tired = self._fruitless >= self._retries.attempts
        return BusyError(status, for_good=is_tired or wait_s > self._retries.patience_s)
