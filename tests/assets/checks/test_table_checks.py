"""The check of the reject rate, on manifests and rejects written here."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from assets.checks.table_checks import few_rejects
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.raw.gzip_reader import TRUNCATED
from storage.raw.rejects import DUPLICATE, Rejects, rejects_path


def verdict(folder: Path, reasons: dict[str, int], kept: int, max_reject_rate: float = 0.01) -> tuple[bool, float]:
    root = DataRoot(folder)
    rejects = Rejects()
    for reason, count in reasons.items():
        for line in range(count):
            rejects.add(line, reason, "raw")
    rejects.write(rejects_path(root, "items", "sample"))
    manifest = Manifest(
        asset="items",
        dataset="sample",
        path="items/sample.parquet",
        bytes=0,
        sha256="",
        data_version="",
        recipe=Recipe(code_version="1", settings={"max_reject_rate": max_reject_rate}, inputs={}),
        numbering={},
        facts={},
        seconds=0.0,
        rows=kept,
    )
    root.write_manifest(manifest)
    context = SimpleNamespace(resources=SimpleNamespace(data_root=root), partition_key="sample")
    result = few_rejects(context, "items")  # type: ignore[arg-type]
    return result.passed, result.metadata["reject_rate"].value


@pytest.mark.parametrize(
    ("reasons", "kept", "most", "expected"),
    [
        ({}, 100, 0.01, (True, 0.0)),
        ({"not JSON": 1}, 99, 0.01, (True, 0.01)),
        ({"not JSON": 1, "no item id": 1}, 98, 0.01, (False, 0.02)),
        ({"not JSON": 1, "no item id": 1}, 98, 0.02, (True, 0.02)),
        ({DUPLICATE: 50}, 50, 0.0, (True, 0.0)),
        ({DUPLICATE: 50, "not JSON": 2}, 48, 0.01, (False, 0.02)),
        ({TRUNCATED: 1}, 999, 1.0, (False, 0.001)),
    ],
)
def test_the_rate_counts_what_is_unusable_and_a_stream_that_breaks_off_fails(tmp_path, reasons, kept, most, expected):
    assert verdict(tmp_path, reasons, kept, most) == expected
