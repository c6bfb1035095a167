"""What goes wrong beside the pictures themselves: a full disk, files that come too fast, hosts that are gone."""

import asyncio
import itertools
import logging
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.errors import InputError
from storage.http_policy import Retries
from storage.images import host_limits
from storage.images.attempts import Attempts, Shard
from storage.images.decoding import Picture, decode_picture
from storage.images.host_limits import MAX_SILENT, SILENT_S, BusyError, Host
from storage.images.local_files import LocalPictures
from storage.images.store import Attempt, PictureStore
from tests.storage.picture_server import LIMITS, Answer, Server, fetch, jpeg, serving, statuses, wanted


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tmp_path / "shards"


class TestFullDisk:
    @pytest.mark.parametrize("heals", [False, True])
    def test_nothing_is_recorded_that_no_server_said(
        self,
        server: Server,
        shards: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        heals: bool,
    ) -> None:
        publish, written = PictureStore.publish, []

        def full(store: PictureStore, shard: Shard) -> None:
            written.append(len(shard))
            if len(written) == 2 or (len(written) > 2 and not heals):
                raise OSError(28, "No space left on device", "/data/x")
            publish(store, shard)

        server.delay_s = 0.02
        urls = [f"{server.url}/{n}" for n in range(400)]
        many = replace(LIMITS, concurrency=32, host_concurrency=16)
        monkeypatch.setattr(PictureStore, "publish", full)
        sentence = r"the pictures cannot be kept: No space left on device \(/data/x\); REC_DATA says where they go"
        with caplog.at_level(logging.WARNING), pytest.raises(InputError, match=sentence):
            fetch(wanted(*urls), shards, limits=many, shards={"shard_attempts": 40})
        assert caplog.text == ""
        monkeypatch.undo()
        assert Counter(attempt.status for attempt, _ in PictureStore(shards).attempts()).keys() == {"ok"}
        assert {path.suffix for path in shards.iterdir()} == {".parquet"}
        assert set(statuses(fetch(wanted(*urls), shards))) == {"ok"}


class TestFiles:
    @pytest.mark.parametrize("slow", ["decoding", "writing"])
    def test_no_more_are_in_memory_than_there_are_places(
        self, tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch, slow: str
    ) -> None:
        names = [f"{n}.jpg" for n in range(100)]
        for name in names:
            (tmp_path / name).write_bytes(jpeg(name))
        held: set[str] = set()
        most = 0
        read, add, write = LocalPictures.read, Attempts.add, Attempts.write

        def reading(files: LocalPictures, path: str, max_bytes: int) -> bytes:
            nonlocal most
            held.add(path)
            most = max(most, len(held))
            return read(files, path, max_bytes)

        def adding(attempts: Attempts, url: str, *given: Any) -> Attempt:
            attempt = add(attempts, url, *given)
            if not attempts.are_due:
                held.discard(url)
            return attempt

        def writing(attempts: Attempts, shard: Shard) -> None:
            time.sleep(0.02 if slow == "writing" else 0)
            write(attempts, shard)
            held.difference_update(attempt.url for attempt, _ in shard)

        monkeypatch.setattr(LocalPictures, "read", reading)
        monkeypatch.setattr(Attempts, "add", adding)
        monkeypatch.setattr(Attempts, "write", writing)
        if slow == "decoding":

            def slowly(content: bytes, *limits: int) -> Picture:
                time.sleep(0.01)
                return decode_picture(content, *limits)

            monkeypatch.setattr("storage.images.client.decode_picture", slowly)
        few = replace(LIMITS, concurrency=3)
        found = fetch(wanted(*names), shards, base=tmp_path, limits=few, shards={"shard_attempts": 5})
        assert statuses(found) == ["ok"] * 100
        assert most <= 2 * 3  # those of a shard that is being written, and those that wait for the next


class TestSilence:
    """Of a host that does not answer."""

    CONCURRENCY = 4
    ENOUGH = MAX_SILENT + CONCURRENCY

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        clock = [1000.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        return clock

    def host(self) -> Host:
        return Host(self.CONCURRENCY, Retries(3))

    def silent(self, host: Host, now: list[float], times: int, seconds: float) -> None:
        for _ in range(times):
            host.was_silent("timeout")
            now[0] += seconds / (times - 1)

    def test_it_is_left_alone_for_good_once_that_has_lasted(self, now: list[float]) -> None:
        host = self.host()
        self.silent(host, now, self.ENOUGH - 1, SILENT_S + 1)
        asyncio.run(host.opened())
        host.was_silent("unreachable")
        now[0] += 1e9
        with pytest.raises(BusyError, match="unreachable") as refused:
            asyncio.run(host.opened())
        assert refused.value.for_good

    def test_what_fails_in_a_moment_may_be_back_in_the_next(self, now: list[float]) -> None:
        host = self.host()
        self.silent(host, now, 50 * self.ENOUGH, SILENT_S / 2)
        asyncio.run(host.opened())

    def test_few_failures_are_not_enough_however_long_they_take(self, now: list[float]) -> None:
        host = self.host()
        self.silent(host, now, self.ENOUGH - 1, 1e6)
        asyncio.run(host.opened())

    def test_any_answer_between_begins_anew(self, now: list[float]) -> None:
        host = self.host()
        for _ in range(10):
            self.silent(host, now, self.ENOUGH - 1, 1e6)
            host.gave()
        self.silent(host, now, self.ENOUGH - 1, 1e6)
        pauses = asyncio.run(host.opened())
        host.refused("http_429", 0.0, pauses)  # even one that refuses
        now[0] += 1e6
        self.silent(host, now, self.ENOUGH - 1, 1e6)
        asyncio.run(host.opened())

    def test_a_dead_host_costs_a_run_little(
        self, server: Server, shards: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(host_limits, "SILENT_S", 0.2)
        short = replace(LIMITS, timeout_s=0.2)
        with socket.socket() as dead:  # takes connections and says nothing
            dead.bind(("127.0.0.1", 0))
            dead.listen(1000)
            urls = [f"http://127.0.0.1:{dead.getsockname()[1]}/{n}" for n in range(300)]
            found = fetch(wanted(*urls, f"{server.at_host('127.0.0.2')}/a"), shards, limits=short)
            assert 0 < accepted(dead) < 100  # without giving it up: 300 pictures, 3 tries each
        assert statuses(found) == ["timeout"] * 300 + ["ok"]


def accepted(listening: socket.socket) -> int:
    """How many connections wait at a socket that has accepted none."""
    listening.setblocking(False)
    for count in itertools.count():
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
    raise AssertionError("a backlog ends")


class TestEverythingAgain:
    """What is had already, where it is asked for once more."""

    def test_a_failure_that_passes_leaves_the_picture_in_use_and_one_for_good_does_not(
        self, server: Server, shards: Path
    ) -> None:
        items = wanted(*(f"{server.url}/{n}" for n in range(4)))
        first = fetch(items, shards)
        server.script = {"/0": [Answer(status=503)], "/1": [Answer(status=404)], "/2": [Answer(jpeg("new"))]}
        again = fetch(items, shards, again="everything")
        assert again.asked == 4
        for found in (again, fetch(items, shards)):
            assert statuses(found) == ["ok", "http_404", "ok", "ok"]
            before, after = (table["sha256"].to_pylist() for table in (first.table, found.table))
            assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False, True]
            assert set(dict(PictureStore(shards).read(filter(None, after)))) == set(after) - {None}

    def test_but_not_one_that_is_lost_or_that_is_too_large_today(self, server: Server, shards: Path) -> None:
        items = wanted(f"{server.url}/0")
        fetch(items, shards)
        server.script = {"/0": [Answer(status=503)]}
        small = replace(LIMITS, max_pixels=10)
        assert statuses(fetch(items, shards, limits=small, again="everything")) == ["http_503"]
        server.script = {}
        fetch(items, shards, again="everything")
        server.script = {"/0": [Answer(status=503)]}
        for shard in shards.glob("*.parquet"):
            shard.unlink()
        assert statuses(fetch(items, shards, again="everything")) == ["http_503"]
