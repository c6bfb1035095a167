"""Waiting before a server is asked again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from storage.http_policy import Retries, retry_after_s


def test_waits_double_up_to_the_longest_and_are_spread_over_their_upper_half() -> None:
    longest = Retries(draw=lambda: 1.0)
    assert [longest.wait_s(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    shortest = Retries(draw=lambda: 0.0)
    assert [shortest.wait_s(n) for n in (1, 2, 7)] == [0.5, 1.0, 30.0]


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (None, 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("\u0663", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
)
def test_a_retry_after_is_a_number_of_seconds_and_anything_else_is_none(asked: str | None, seconds: float) -> None:
    assert retry_after_s(asked) == seconds


@pytest.mark.parametrize("days", [-400, 0, 400])
def test_a_date_counts_from_the_time_that_the_server_tells_whatever_this_clock_says(days: int) -> None:
    its_time = datetime.now(UTC) + timedelta(days=days)
    until = format_datetime(its_time + timedelta(seconds=300), usegmt=True)
    assert retry_after_s(until, format_datetime(its_time, usegmt=True)) == 300


@pytest.mark.parametrize("its_time", [None, "", "half past ten"])
def test_without_it_this_clock_has_to_do(its_time: str | None) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    assert 290 < retry_after_s(until, its_time) <= 300


def test_a_retry_after_may_be_a_date() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    assert 298 < retry_after_s(until) <= 300
