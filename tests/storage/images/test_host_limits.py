"""When a host is left alone, and for how long."""

import asyncio
import time

import pytest

from storage.http_policy import Retries
from storage.images.host_limits import MAX_FRUITLESS, BusyError, Host


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, which goes on only where somebody sleeps."""
    clock = [1000.0]

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return clock


def host(retries: int = 2) -> Host:
    return Host(4, Retries(retries + 1, first_s=1, longest_s=60, patience_s=60, draw=lambda: 1.0))


def opened_at(of: Host, now: list[float]) -> float:
    asyncio.run(of.opened())
    return now[0] - 1000


def test_a_host_that_has_said_nothing_is_open(now: list[float]) -> None:
    assert opened_at(host(), now) == 0


@pytest.mark.parametrize(("asked", "waited"), [(0, 1), (0.5, 1), (7, 7), (60, 60)])
def test_it_is_open_again_after_what_it_asks_for_or_a_little_longer(
    now: list[float], asked: float, waited: float
) -> None:
    busy = host()
    assert not busy.refused("http_429", asked, 0).for_good
    assert opened_at(busy, now) == waited


def test_a_longer_pause_than_patience_is_not_waited_for(now: list[float]) -> None:
    busy = host()
    assert busy.refused("http_503", 61, 0).for_good
    with pytest.raises(BusyError, match="http_503") as refused:
        asyncio.run(busy.opened())
    assert refused.value.for_good
    now[0] += 61
    assert asyncio.run(busy.opened()) == 1


def test_refusals_of_what_was_asked_at_the_same_time_are_one_pause(now: list[float]) -> None:
    busy = host()
    assert not any(busy.refused("http_429", 0, 0).for_good for _ in range(16))
    assert asyncio.run(busy.opened()) == 1
    assert now[0] == 1001


def test_pauses_without_anything_between_them_grow_until_the_host_is_left_alone(now: list[float]) -> None:
    busy = host(retries=2)
    tired, lengths = [], []
    for pauses in range(MAX_FRUITLESS):
        before = now[0]
        tired.append(busy.refused("http_429", 0, pauses).for_good)
        assert asyncio.run(busy.opened()) == pauses + 1
        lengths.append(now[0] - before)
    assert lengths == [1, 2, 4, 8, 16, 32, 60, 60]
    assert tired == [False, False, True, True, True, True, True, True]  # a URL is asked three times
    busy.refused("http_429", 0, MAX_FRUITLESS)
    now[0] += 1e9
    with pytest.raises(BusyError):
        asyncio.run(busy.opened())


def test_whatever_it_gives_between_two_pauses_begins_anew(now: list[float]) -> None:
    busy = host(retries=0)
    for pauses in range(3):
        busy.gave()
        before = now[0]
        assert busy.refused("http_429", 0, pauses).for_good
        asyncio.run(busy.opened())
        assert now[0] - before == 1
