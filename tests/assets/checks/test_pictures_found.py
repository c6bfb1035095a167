"""The check that warns where not one of the pictures that items name could be fetched."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa
import pytest

from assets.checks.table_checks import pictures_found


@pytest.mark.parametrize(
    ("statuses", "passed"),
    [
        (["ok", "http_404"], True),
        (["missing", "ok"], True),
        (["http_404", "missing"], False),
        (["timeout"], False),
        (["missing", "missing"], True),  # nobody promised any
        ([], True),
    ],
)
def test_it_fails_where_items_name_pictures_and_none_is_found(statuses: Sequence[str], passed: bool) -> None:
    found = pictures_found.op.compute_fn.decorated_fn.__wrapped__(pa.table({"status": pa.array(statuses, pa.string())}))
    assert (found.passed, found.severity) == (passed, dg.AssetCheckSeverity.WARN)
