"""A run on a full disk fails with one sentence, and completes when there is room again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import Disk, small_disk
from tests.pipeline.in_process import Pipeline, failures

LEFT = 1 << 12
SMALL = {"raw_reviews": {"sample_users": 200, "sample_items": 100}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "data") as disk:
        yield disk


def partials(disk: Disk) -> list[Path]:
    return [path for path in disk.folder.rglob("*") if "partial" in path.name]


def test_an_asset_that_has_no_room_is_made_when_there_is_some(disk: Disk) -> None:
    pipeline = Pipeline(disk.folder)
    assert pipeline.run("quick", "key:raw_reviews", SMALL).success
    with disk.full(LEFT):
        result = pipeline.run("quick", "key:reviews")
    said = failures(result)["reviews"]
    assert said.startswith(f"Dataset quick: {disk.folder / 'reviews' / 'quick.parquet'} cannot be written (")
    assert said.endswith("or let REC_DATA name another place.")
    assert "\n" not in said
    assert pipeline.root.find_manifest("reviews", "quick") is None
    assert partials(disk) == []
    result = pipeline.run("quick", "key:reviews")
    assert result.success, failures(result)
    assert pipeline.root.find_sound("reviews", "quick")


def test_an_asset_whose_manifest_cannot_be_written_is_not_there(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REC_WORK", str(disk.folder.parent / "work"))  # where a run keeps its lock
    pipeline = Pipeline(disk.folder)
    write = type(pipeline.root).write_manifest

    def without_room(*given: object) -> None:
        with disk.read_only():
            write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(type(pipeline.root), "write_manifest", without_room)
    said = failures(pipeline.run("quick", "key:raw_reviews", SMALL))["raw_reviews"]
    assert said.startswith("Dataset quick: ")
    assert "raw_reviews/quick.manifest.json cannot be written (Read-only file system); make it writable" in said
    assert pipeline.root.find_manifest("raw_reviews", "quick") is None
    monkeypatch.undo()
    assert pipeline.run("quick", "key:raw_reviews", SMALL).success
