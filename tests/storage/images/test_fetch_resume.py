"""A run that is killed, stopped or out of disk: what its finished shards hold is not asked again."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from storage.environment import PROJECT_ROOT
from storage.errors import InputError
from storage.images.fetch import Wanted
from storage.images.store import PictureStore
from tests.storage.picture_server import LIMITS, Answer, Server, fetch, in_background, serving, statuses, wanted

COUNT = 60
SCRIPT = """
import json, signal, sys
from dataclasses import replace
from pathlib import Path
from tests.storage.picture_server import LIMITS, fetch, statuses, wanted

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been started with SIGINT ignored
folder, urls = json.loads(sys.argv[1])
patient = replace(LIMITS, timeout_s=60)
found = fetch(wanted(*urls), Path(folder), limits=patient, shards={"shard_attempts": 5})
print(json.dumps({"statuses": statuses(found), "asked": found.asked, "from_store": found.from_store}))
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        server.script = {f"/{n}": [Answer(b"gone", 404)] for n in range(0, COUNT, 7)}
        server.script |= {f"/{n}": [Answer(b"<html>", 200)] for n in range(3, COUNT, 20)}
        yield server


def urls(server: Server) -> list[str]:
    return [f"{server.url}/{n}" for n in range(COUNT)]


def in_shards(folder: Path) -> set[str]:
    return {attempt.url for attempt, _ in PictureStore(folder).attempts()}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@contextmanager
def started(server: Server, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that fetches everything, a shard every five attempts, and prints its statuses."""
    arguments = json.dumps([str(folder), urls(server)])
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, arguments], cwd=PROJECT_ROOT, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.process
def test_a_killed_run_loses_no_finished_shard(server: Server, tmp_path: Path) -> None:
    undisturbed = fetch(wanted(*urls(server)), tmp_path / "undisturbed").table
    server.asked.clear()
    folder = tmp_path / "killed"
    server.gate.clear()
    server.passing = 32
    with started(server, folder) as process:
        wait_for(lambda: len(in_shards(folder)) >= 20, "no shard was written")
        wait_for(lambda: len(server.asked) == 32 + LIMITS.host_concurrency, "too little was asked")
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    kept = in_shards(folder)
    assert 20 <= len(kept) < COUNT
    server.gate.set()
    wait_for(lambda: server.at_once[""] == 0, "what the killed process had asked is never answered")
    server.asked.clear()
    with started(server, folder) as process:
        said = json.loads(process.communicate()[0])
    assert process.returncode == 0
    assert sorted(server.asked) == sorted(f"/{n}" for n in range(COUNT) if f"{server.url}/{n}" not in kept)
    assert said["statuses"] == undisturbed["status"].to_pylist()
    assert (said["asked"], said["from_store"]) == (COUNT - len(kept), len(kept))
    server.asked.clear()
    again = fetch(wanted(*urls(server)), folder)
    assert again.table.equals(undisturbed)
    assert server.asked == []
    keys = [key for key in undisturbed["sha256"].to_pylist() if key]
    assert dict(PictureStore(folder).read(keys)) == dict(PictureStore(tmp_path / "undisturbed").read(keys))


@pytest.mark.process
def test_a_run_that_is_stopped_keeps_what_has_arrived(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    server.gate.clear()
    server.passing = 3
    with started(server, folder) as process:
        wait_for(lambda: len(server.asked) == 3 + LIMITS.host_concurrency, "too little was asked")
        process.send_signal(signal.SIGINT)
        assert process.wait() != 0
    assert len(in_shards(folder)) == 3


class Interrupted(BaseException):
    """What Dagster's signal handler raises, wherever the process is just then."""


def test_a_signal_that_comes_in_a_callback_of_the_loop_ends_the_run_as_well(server: Server, tmp_path: Path) -> None:
    server.gate.clear()
    server.passing = 5

    def interrupt() -> None:
        if len(server.asked) == 5 + LIMITS.host_concurrency:
            raise Interrupted
        asyncio.get_running_loop().call_later(0.01, interrupt)

    def items() -> Iterator[Wanted]:
        interrupt()
        yield from wanted(*urls(server))

    with pytest.raises(Interrupted):
        fetch(items(), tmp_path / "shards", limits=replace(LIMITS, timeout_s=60))
    assert len(in_shards(tmp_path / "shards")) == 5


def test_a_shard_is_written_in_time_though_nothing_else_arrives(server: Server, tmp_path: Path) -> None:
    server.gate.clear()
    server.passing = 3
    seen: set[str] = set()

    def look() -> None:
        wait_for(lambda: len(in_shards(tmp_path / "slow")) == 3, "no shard was written")
        seen.update(in_shards(tmp_path / "slow"))
        server.gate.set()

    with in_background(look):
        slow = replace(LIMITS, timeout_s=60)
        found = fetch(wanted(*urls(server)[:9]), tmp_path / "slow", limits=slow, shards={"shard_seconds": 0.1})
    assert len(seen) == 3
    assert len(statuses(found)) == 9


def test_a_shard_that_cannot_be_written_ends_the_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PictureStore, "publish", full)
    for shards in ({"shard_attempts": 5}, {"shard_seconds": 0.05}, {}):
        with pytest.raises(InputError, match=r"the pictures cannot be kept: No space left on device .*REC_DATA"):
            fetch(wanted(*urls(server)), tmp_path / "full", shards=shards)


def test_shards_are_closed_while_the_run_goes_on(server: Server, tmp_path: Path) -> None:
    fetch(wanted(*urls(server)), tmp_path / "shards", shards={"shard_attempts": 10})
    assert 2 <= len(list((tmp_path / "shards").glob("*.parquet"))) <= 6  # what comes during a write joins the next
    assert in_shards(tmp_path / "shards") == set(urls(server))
