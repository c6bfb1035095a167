"""One way to tell how far a long loop is: done, rate, waiting and time left, every few seconds, by plain logging."""

import logging
import time
from types import TracebackType

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 5.0


class Progress:
    """Counts work and logs `NAME: 1,200/5,000 items, 310/s, 4% waiting, 12 s left` at most every `every` seconds.

    >>> with Progress("text_embeddings sample", total=2, unit="items") as progress:
    ...     progress.advance(2)
    """

    def __init__(self, name: str, total: int | None = None, unit: str = "rows", every: float = REPORT_EVERY_S):
        self.name, self.total, self.unit, self.every = name, total, unit, every
        self.done = self._from = 0
        self.waited: float | None = None
        self._started = self._reported_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was entered or resumed."""
        return time.monotonic() - self._started

    @property
    def share_waiting(self) -> float:
        """Of the time gone by, between 0 and 1."""
        return (self.waited or 0.0) / max(self.seconds, 1e-9)

    def advance(self, count: int = 1, waited: float | None = None) -> None:
        """Count `count` more units as done, for which the work waited `waited` seconds, if that is known."""
        self.done += count
        if waited is not None:
            self.waited = (self.waited or 0.0) + waited
        now = time.monotonic()
        if now - self._reported_at >= self.every:
            self._reported_at = now
            logger.info(self._line(now))

    def resume(self, done: int) -> None:
        """Go on from units that were done before; they do not count in the rate."""
        self.done = self._from = done
        self._started = time.monotonic()

    def _line(self, now: float) -> str:
        rate = (self.done - self._from) / max(now - self._started, 1e-9)
        of_total = "" if self.total is None else f"/{self.total:,}"
        line = f"{self.name}: {self.done:,}{of_total} {self.unit}, {rate:,.4g}/s"
        line += self._waiting()
        if self.total is not None and rate > 0:
            line += f", {(self.total - self.done) / rate:,.0f} s left"
        return line

    def _waiting(self) -> str:
        return "" if self.waited is None else f", {self.share_waiting:.0%} waiting"

    def __enter__(self) -> "Progress":
        self._started = self._reported_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            logger.info(f"{self.name}: {self.done:,} {self.unit} in {self.seconds:,.1f} s{self._waiting()}")
