"""What goes wrong beside the pictures themselves: a full disk, files that come too fast, hosts that are gone."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from picture_server import LIMITS, Server, fetch, serving, statuses, wanted

from storage.attempts import Shard
from storage.errors import InputError
from storage.pictures import PictureStore


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
