"""An iterator that runs ahead yields what it would have yielded."""

import threading
from collections.abc import Iterator

import pytest

from storage.prefetch import ahead


def numbers(made: list[int]) -> Iterator[int]:
    for number in range(6):
        made.append(number)
        yield number


def test_items_come_in_order_and_at_most_depth_ahead():
    made: list[int] = []
    for number in ahead(numbers(made), depth=2):
        assert len(made) <= number + 4  # this one, two ahead, and one being made
    assert made == list(range(6))


def test_an_error_comes_in_its_place():
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="second"):
        next(items)


def test_the_thread_ends_with_a_reader_that_stops_early():
    before = threading.active_count()
    items = ahead(numbers([]))
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
