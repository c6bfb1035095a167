"""The table of blocking checks names each one that there is: none is forgotten where its module is not imported."""

import dagster as dg
import pytest

from assets.checks.check_decorator import dataset_check
from assets.core.blocking_checks import BLOCKING, blocking_checks
from pipeline.definitions import defs


def test_the_table_names_every_blocking_check_of_the_project_and_no_other() -> None:
    graph, found = defs.resolve_asset_graph(), dict[str, set[str]]()
    for key in graph.asset_check_keys:
        if graph.get(key).blocking:
            found.setdefault(key.asset_key.path[-1], set()).add(key.name)
    assert found == BLOCKING


@pytest.mark.parametrize(
    ("name", "blocking"), [("not_in_the_table", True), ("reviews_usable", False)], ids=["missing", "not blocking"]
)
def test_a_check_that_the_table_contradicts_cannot_be_defined(name: str, blocking: bool) -> None:
    def check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    check.__name__ = name
    with pytest.raises(ValueError, match=f"says otherwise of {name}, a check of reviews"):
        dataset_check("reviews", "What it says.", blocking=blocking)(check)


def test_a_process_that_imports_no_check_knows_which_have_to_pass() -> None:
    assert blocking_checks("recommendations") == {"fit_to_send"}
    assert blocking_checks("popularity") == frozenset()
