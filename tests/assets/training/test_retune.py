"""When settings are searched anew for a new dump, on sizes and dates written here."""

import pytest

from assets.training.retune import DAY_MS, why_searched

FOUND = {"at": 0, "protocol": "p", "interactions": 1000, "users": 100, "items": 50}


def now(days: float = 1, **changed: object) -> dict[str, object]:
    return FOUND | {"at": int(days * DAY_MS)} | changed


@pytest.mark.parametrize("retune", ["never", "new_core", "monthly"])
def test_a_few_orders_more_are_not_searched_anew(retune: str) -> None:
    assert why_searched(FOUND, now(interactions=1020, users=101), retune) is None
    assert why_searched(FOUND, now(interactions=1199, users=119, items=59), retune) is None


@pytest.mark.parametrize("size", ["interactions", "users", "items"])
def test_a_core_that_changed_by_a_fifth_is_searched_anew(size: str) -> None:
    grown = now(**{size: FOUND[size] * 6 // 5})
    assert why_searched(FOUND, grown, "new_core") == f"the core has +20% {size} since the search before"
    assert why_searched(FOUND, grown, "monthly") == f"the core has +20% {size} since the search before"
    assert why_searched(FOUND, grown, "never") is None
    shrunk = now(**{size: FOUND[size] * 4 // 5})
    assert why_searched(FOUND, shrunk, "new_core") == f"the core has -20% {size} since the search before"


@pytest.mark.parametrize(("retune", "days"), [("new_core", 90), ("monthly", 30)])
def test_an_old_search_is_made_anew(retune: str, days: int) -> None:
    assert why_searched(FOUND, now(days), retune) is None
    assert why_searched(FOUND, now(days + 1), retune) == f"the search before is {days + 1} days old"
    assert why_searched(FOUND, now(10_000), "never") is None


@pytest.mark.parametrize("retune", ["never", "new_core", "monthly", "always"])
def test_other_settings_are_always_searched_anew(retune: str) -> None:
    assert why_searched(None, now(), retune) == "nothing was searched before"
    assert why_searched(FOUND, now(protocol="q"), retune) == "it was searched under other settings"


def test_always_is_always() -> None:
    assert why_searched(FOUND, now(0), "always") == "retune is 'always'"
