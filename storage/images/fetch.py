"""Fetches product pictures, from the web or the dataset's own folder; every item gets a row that says how it went.

A URL is asked once: what is known of it from an earlier run, or from another item, counts. Memory is bounded: items
are taken from an iterator, so many at a time.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from storage.images.attempts import Attempts
from storage.images.client import FetchLimits, PictureClient
from storage.images.decoding import Picture, is_too_thin
from storage.images.local_files import LocalPictures
from storage.images.statuses import EXCLUDED, MISSING, NO_METADATA, OK, PASSING, RefusedError
from storage.images.store import Attempt
from storage.images.url_policy import can_be_asked, is_on_the_web
from storage.progress import Progress
from storage.schemas import SCHEMAS

# Items in progress for each picture that may be asked at a time: those that wait for one host leave others something.
ITEMS_PER_PLACE = 32
ROWS_PER_BATCH = 4096

Again = Literal["passing", "failed", "everything"]


@dataclass(frozen=True)
class Wanted:
    """An item and its pictures, the main one first; of each the places where it may be, the largest first.

    `pictures` is None where no metadata name the item.
    """

    item_id: str
    pictures: Sequence[Sequence[str]] | None


@dataclass(frozen=True)
class Source:
    """Where a dataset's pictures may come from.

    Attributes:
        folder: where relative paths are looked up; None if the dataset has none.
        links: a second folder, into which symbolic links below the first may lead; None: they may not leave it.
        local: whether URLs may lead to private addresses, because it is a dataset of this machine's owner.
    """

    folder: Path | None
    local: bool
    links: Path | None = None


@dataclass(frozen=True)
class Fetched:
    """The table `item_images`, how many URLs were asked for it, and how often an earlier run's answer was used."""

    table: pa.Table
    asked: int
    from_store: int


def fetch_pictures(
    wanted: Iterable[Wanted],
    source: Source,
    attempts: Attempts,
    limits: FetchLimits,
    progress: Progress,
    pictures_per_item: int = 1,
    again: Again = "passing",
) -> Fetched:
    """Fetch the first usable pictures of each item, of each picture the first usable place.

    An item without any gets one row, with the status of its first failure, one that may pass before one for good.

    Args:
        again: which URLs that were asked in an earlier run are asked again: those that failed for a reason that may
            pass, all that failed, or all. A local file is read again if it has changed.

    Raises:
        InputError: a shard cannot be written.
    """
    fetch = _Fetch(source, attempts, limits, progress, pictures_per_item, again)
    try:
        asyncio.run(fetch.run(iter(wanted)))
    finally:  # what has arrived is kept whatever ends the run
        attempts.flush()
    return Fetched(fetch.rows.table(), len(fetch.asked), fetch.from_store)


class _Fetch:
    """One run over the items of a dataset."""

    def __init__(
        self,
        source: Source,
        attempts: Attempts,
        limits: FetchLimits,
        progress: Progress,
        pictures_per_item: int,
        again: Again,
    ):
        self.local, self.files = source.local, LocalPictures(source.folder, source.links)
        self.attempts, self.limits, self.progress = attempts, limits, progress
        self.pictures_per_item, self.again = pictures_per_item, again
        self.rows = _Rows()
        self.asked: set[str] = set()
        self.from_store = 0
        self._underway: dict[str, asyncio.Task[Attempt]] = {}

    async def run(self, wanted: Iterator[Wanted]) -> None:
        self._writing, self._reading = asyncio.Lock(), asyncio.Semaphore(self.limits.concurrency)
        numbered = enumerate(wanted)
        async with PictureClient(self.limits, self.local) as self._client:
            count = ITEMS_PER_PLACE * self.limits.concurrency
            workers = [asyncio.create_task(self._work(numbered)) for _ in range(count)]
            writing = asyncio.create_task(self._write_in_time())
            ends = (asyncio.gather(*workers), writing, _interruption())
            try:
                for end in (await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED))[0]:
                    end.result()
            finally:  # nobody goes on against a client that closes: what it says then would be recorded
                tasks = (*workers, writing, *self._underway.values())
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, ends[0], return_exceptions=True)

    async def _work(self, numbered: Iterator[tuple[int, Wanted]]) -> None:
        """Take the next item as long as there is one; many of these share the iterator."""
        for number, item in numbered:
            kept, failed = await self._pictures(item)
            without = NO_METADATA if item.pictures is None else MISSING
            self.rows.add(number, item.item_id, kept, failed, without)
            self.progress.advance()

    async def _pictures(self, item: Wanted) -> tuple[list[Attempt], Attempt | None]:
        """The usable pictures of an item, no more than are wanted and each once, and the failure that says most."""
        kept: list[Attempt] = []
        failed: Attempt | None = None
        for places in item.pictures or ():
            if len(kept) == self.pictures_per_item:
                break
            for url in places:
                attempt = await self._attempt(url)
                if attempt.sha256 in self.limits.excluded:  # nor any other place of it
                    failed = failed or attempt._replace(status=EXCLUDED)
                    break
                if attempt.status == OK:
                    if all(attempt.sha256 != other.sha256 for other in kept):
                        kept.append(attempt)
                    break
                if failed is None or (attempt.status in PASSING and failed.status not in PASSING):
                    failed = attempt
        return kept, failed

    async def _attempt(self, url: str) -> Attempt:
        """What is known of a URL, or what asking it now brings; items that share it ask once."""
        task = self._underway.get(url)
        if task is None:
            task = self._underway[url] = asyncio.create_task(self._settle(url))
            task.add_done_callback(lambda _: self._underway.pop(url))
        return await task

    async def _settle(self, url: str) -> Attempt:
        known = self.attempts.latest(url)
        if known is not None:
            if url in self.asked:
                return known
            if await self._holds(known):
                self.from_store += 1
                return known
        return await self._ask(url)

    async def _holds(self, known: Attempt) -> bool:
        """Whether asking again would say the same, under the limits of today, or need not be tried."""
        limits = self.limits
        if self.again == "everything" or not await self._is_unchanged(known):
            return False
        if known.status == OK:
            return self._is_within_limits(known)
        if self.again == "failed" or known.status in PASSING:
            return False
        if known.status == "too_large":
            return known.bytes is None or known.bytes > limits.max_bytes
        if known.status == "bad_url" or (known.status == "forbidden" and known.url.lstrip().startswith("//")):
            return not can_be_asked(known.url)  # more of them are than once were
        if known.status == "too_small":
            return min(known.width or 0, known.height or 0) < limits.min_side
        if known.status == "too_many_pixels":
            return known.width is None or _pixels(known) > limits.max_pixels
        return not (known.status in ("forbidden", "symbolic_link") and self.local)

    def _is_within_limits(self, known: Attempt) -> bool:
        """Whether a picture would be usable today."""
        width, height = known.width or 0, known.height or 0
        is_small = (known.bytes or 0) <= self.limits.max_bytes and _pixels(known) <= self.limits.max_pixels
        return is_small and min(width, height) >= self.limits.min_side and not is_too_thin(width, height)

    async def _is_unchanged(self, known: Attempt) -> bool:
        """Whether a local file is the one that was read; the web is taken at its word."""
        if is_on_the_web(known.url):
            return True
        try:
            return known.mark == await asyncio.to_thread(self.files.mark, known.url)
        except RefusedError:
            return False

    async def _ask(self, url: str) -> Attempt:
        on_the_web = is_on_the_web(url)
        mark = None
        outcome: Picture | RefusedError
        # Files come as fast as the disk reads: their place is held until what waits to be written has room for more.
        async with nullcontext() if on_the_web else self._reading:
            try:
                if on_the_web:
                    outcome = await self._client.get(url)
                else:
                    mark = await asyncio.to_thread(self.files.mark, url)
                    outcome = await self._client.decode(partial(self.files.read, url, self.limits.max_bytes))
            except RefusedError as refused:
                outcome = refused
            self.asked.add(url)
            known = self.attempts.latest(url)
            if outcome.status in PASSING and known and known.status == OK and self._is_within_limits(known):
                return known  # what was had from there once is worth more than a failure that passes
            attempt = self.attempts.add(url, mark, outcome)
            if self.attempts.are_due:
                await self._write()
        return attempt

    async def _write(self) -> None:
        """Write a shard beside the fetching; whoever has the next one full waits for it."""
        async with self._writing:
            if self.attempts.are_due:
                await asyncio.to_thread(self.attempts.write, self.attempts.take())

    async def _write_in_time(self) -> None:
        while True:
            await asyncio.sleep(self.attempts.shard_seconds)
            if self.attempts.are_due:
                await self._write()


def _interruption() -> asyncio.Future[None]:
    """What a signal handler raises while the loop runs a callback, where asyncio would log it and go on."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[None] = loop.create_future()

    def look(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None or isinstance(error, Exception) or found.done():
            loop.default_exception_handler(context)
        else:
            found.set_exception(error)

    loop.set_exception_handler(look)
    return found


def _pixels(attempt: Attempt) -> int:
    return (attempt.width or 0) * (attempt.height or 0)


class _Rows:
    """The rows of `item_images`, in whatever order they come."""

    def __init__(self) -> None:
        self._schema = SCHEMAS["item_images"].insert(0, pa.field("number", pa.int64()))
        self._batches: list[pa.RecordBatch] = []
        self._open: list[tuple[Any, ...]] = []

    def add(
        self, number: int, item_id: str, kept: Sequence[Attempt], failed: Attempt | None, without: str = MISSING
    ) -> None:
        """The rows of the item that is `number` among all; `without` is its status where no picture was asked for."""
        for position, got in enumerate(kept):
            size = (got.bytes, got.width, got.height)
            self._open.append((number, item_id, position, got.url, OK, *size, got.sha256))
        if not kept:
            url, status = (failed.url, failed.status) if failed else (None, without)
            self._open.append((number, item_id, 0, url, status, None, None, None, None))
        if len(self._open) >= ROWS_PER_BATCH:
            self._pack()

    def table(self) -> pa.Table:
        """All rows in the order of their items."""
        self._pack()
        table = pa.Table.from_batches(self._batches, self._schema)
        return table.sort_by([("number", "ascending"), ("position", "ascending")]).drop_columns("number")

    def _pack(self) -> None:
        if self._open:
            columns = zip(*self._open, strict=True)
            self._batches.append(
                pa.record_batch(
                    [pa.array(c, t) for c, t in zip(columns, self._schema.types, strict=True)], self._schema
                )
            )
            self._open = []
