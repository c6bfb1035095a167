"""The line that long loops log."""

import logging

import pytest

from storage import progress
from storage.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_done_rate_and_time_left_every_few_seconds(monkeypatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    caplog.set_level(logging.INFO, logger="storage.progress")
    with Progress("reading sample", total=100, unit="rows", every=5) as told:
        clock.now += 4
        told.advance(10)  # too early for a line
        clock.now += 1
        told.advance(10)
        clock.now += 5
        told.advance(80)
    assert caplog.messages == [
        "reading sample: 20/100 rows, 4/s, 20 s left",
        "reading sample: 100/100 rows, 10/s, 0 s left",
        "reading sample: 100 rows in 10.0 s",
    ]


def test_without_a_total_no_time_left_is_made_up(monkeypatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    caplog.set_level(logging.INFO, logger="storage.progress")
    told = Progress("download", unit="bytes", every=5)
    clock.now += 5
    told.advance(1000)
    assert caplog.messages == ["download: 1,000 bytes, 200/s"]
