"""Which failures another try may mend."""

import pytest

from storage.images.statuses import PASSING


@pytest.mark.parametrize("status", ["http_408", "http_425", "http_429", "http_500", "http_507", "http_522", "timeout"])
def test_what_may_pass(status: str) -> None:
    assert status in PASSING


@pytest.mark.parametrize("status", ["http_403", "http_404", "http_410", "http_600", "undecodable", "forbidden", "ok"])
def test_what_is_so_for_good(status: str) -> None:
    assert status not in PASSING
