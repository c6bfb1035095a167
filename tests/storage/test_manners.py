"""Waiting before a server is asked again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from storage.manners import Retries, retry_after_s


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


def test_a_retry_after_may_be_a_date() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    assert 298 < retry_after_s(until) <= 300
