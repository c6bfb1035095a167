"""What goes wrong beside the pictures themselves: a full disk, files that come too fast, hosts that are gone."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from picture_server import LIMITS, Server, fetch, jpeg, serving, statuses, wanted

from storage.attempts import Attempts, Shard
from storage.decoding import Picture, decoded
from storage.errors import InputError
from storage.local_pictures import LocalPictures
from storage.pictures import Attempt, PictureStore


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

            def slowly(content: bytes, max_pixels: int) -> Picture:
                time.sleep(0.01)
                return decoded(content, max_pixels)

            monkeypatch.setattr("storage.client.decoded", slowly)
        few = replace(LIMITS, concurrency=3)
        found = fetch(wanted(*names), shards, base=tmp_path, limits=few, shards={"shard_attempts": 5})
        assert statuses(found) == ["ok"] * 100
        assert most <= 2 * 3  # those of a shard that is being written, and those that wait for the next
