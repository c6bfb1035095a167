"""Jobs divided among lanes: in order, bounded, and without a hang where one fails."""

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from models.encoders.device_scheduler import Halving, through_lanes


def test_results_come_in_the_order_of_the_jobs_though_lanes_differ_in_speed() -> None:
    def slow(job: int) -> str:
        time.sleep(0.02)
        return f"slow {job}"

    results = [result for result, _ in through_lanes(iter(range(30)), [slow, lambda job: f"fast {job}"])]
    assert [int(result.split()[1]) for result in results] == list(range(30))
    assert {result.split()[0] for result in results} == {"slow", "fast"}


def test_no_more_than_two_jobs_a_lane_are_taken_before_one_is_asked_for() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for job in itertools.count():
            taken.append(job)
            yield job

    results = through_lanes(jobs(), [abs, abs, abs])
    assert next(results)[0] == 0
    assert taken == [0, 1, 2, 3, 4, 5]
    results.close()


def test_what_a_lane_raises_ends_everything() -> None:
    begun: list[int] = []

    def lane(job: int) -> int:
        begun.append(job)
        if job == 3:
            raise ZeroDivisionError("of job 3")
        return job

    results = through_lanes(itertools.count(), [lane, lane])
    with pytest.raises(ZeroDivisionError, match="of job 3"):
        list(results)
    assert max(begun) < 8
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_what_the_jobs_raise_is_raised() -> None:
    def jobs() -> Iterator[int]:
        yield 1
        raise KeyError("of the jobs")

    with pytest.raises(KeyError, match="of the jobs"):
        list(through_lanes(jobs(), [abs]))


def test_a_lane_is_idle_while_it_waits_for_jobs_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = PlayedClock()
    monkeypatch.setattr("models.encoders.device_scheduler.perf_counter", clock.read)

    def jobs() -> Iterator[float]:
        yield 0.3  # seconds that the job takes
        yield 0.0  # asked for while the first is in progress or done, and handed over at once
        clock.wait_until_read(7)  # by now the lane has finished both
        clock.seconds += 0.2
        yield 0.0

    def lane(seconds: float) -> None:
        clock.seconds += seconds

    assert [idle for _, idle in through_lanes(jobs(), [lane])] == pytest.approx([0, 0, 0.2])


class PlayedClock:
    """A clock that moves only when it is told to, and knows how often it was read."""

    def __init__(self) -> None:
        self.seconds, self._read, self._changed = 0.0, 0, threading.Condition()

    def read(self) -> float:
        with self._changed:
            self._read += 1
            self._changed.notify_all()
            return self.seconds

    def wait_until_read(self, times: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._read >= times, timeout=60)


def test_a_batch_that_runs_out_of_memory_is_halved_for_good_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The step stands in for a GPU that is not here."""
    tried: list[int] = []

    def step(size: int) -> str:
        tried.append(size)
        if size > 8:
            raise torch.OutOfMemoryError
        return f"{size} fit"

    halving = Halving(20, "image_batch")
    assert [halving(step), halving(step)] == ["5 fit", "5 fit"]
    assert tried == [20, 10, 5, 5]
    assert [record.message for record in caplog.records] == [
        "image_batch: a batch of 20 is too large for the device; 10 from here on",
        "image_batch: a batch of 10 is too large for the device; 5 from here on",
    ]


def test_not_even_one_fits() -> None:
    def step(size: int) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        Halving(4, "image_batch")(step)
