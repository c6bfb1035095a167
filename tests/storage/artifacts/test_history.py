"""One dataset over time: a row a run, none lost."""

import logging
import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import pytest

from storage.artifacts.data_root import DataRoot
from storage.artifacts.history import Run, append_run, read_history
from storage.artifacts.manifest import Manifest, Recipe

FIRST = Run("a", 1_000, 9_878, 500, 150.0, 0.25, "0123456789ab")


def manifest(asset: str, run: str, seconds: float, rows: int | None = None, **settings: object) -> Manifest:
    recipe = Recipe(code_version="1", settings=settings, inputs={})
    return Manifest(
        asset=asset, dataset="shop", path="", bytes=100, sha256="", data_version="1", recipe=recipe, numbering={},
        facts={}, seconds=seconds, rows=rows, run=run,
    )  # fmt: skip


def append_ten(folder: Path, name: str) -> None:
    for number in range(10):
        append_run(DataRoot(folder), "shop", replace(FIRST, run=f"{name}{number}"))


def test_a_run_sums_what_it_made_itself() -> None:
    lineage = [
        manifest("reviews", "old", 40.0, 12),
        manifest("interactions", "new", 2.0, 9, user_core=5),
        manifest("leaderboard", "new", 3.5, 70),
    ]
    before = time.time_ns() // 1_000_000
    run = Run.of("new", lineage, None)
    assert before <= run.time <= time.time_ns() // 1_000_000
    assert (run.rows, run.bytes, run.seconds, run.recall_at_20) == (9, 300, 5.5, None)
    assert run.settings_hash == Run.of("other", lineage, 0.5).settings_hash
    changed = [lineage[0], manifest("interactions", "new", 2.0, 9, user_core=6), lineage[2]]
    assert run.settings_hash != Run.of("new", changed, None).settings_hash


def test_a_run_has_one_row_its_last(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    assert read_history(root, "shop").num_rows == 0
    for run in (FIRST, replace(FIRST, run="b"), replace(FIRST, recall_at_20=None)):
        append_run(root, "shop", run)
    append_run(root, "other", FIRST)
    found = read_history(root, "shop").to_pylist()
    assert [(row["run"], row["recall_at_20"]) for row in found] == [("b", 0.25), ("a", None)]


def test_runs_at_the_same_time_lose_no_row(tmp_path: Path) -> None:
    started = [multiprocessing.get_context("fork").Process(target=append_ten, args=(tmp_path, name)) for name in "xyz"]
    for process in started:
        process.start()
    for process in started:
        process.join()
    found = read_history(DataRoot(tmp_path), "shop")["run"].to_pylist()
    assert sorted(found) == sorted(f"{name}{number}" for name in "xyz" for number in range(10))


@pytest.mark.parametrize("damage", ["cut", "other columns"])
def test_a_damaged_history_is_kept_aside_with_one_warning(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = DataRoot(tmp_path)
    append_run(root, "shop", FIRST)
    path = tmp_path / "history" / "shop.parquet"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        pq.write_table(pa.table({"run": ["a"]}), path)
    damaged = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        append_run(root, "shop", replace(FIRST, run="b"))
        assert read_history(root, "shop")["run"].to_pylist() == ["b"]
    (aside,) = (tmp_path / "history").glob("shop.damaged-*.parquet")
    assert aside.read_bytes() == damaged
    (record,) = caplog.records
    assert str(path) in record.message
    assert aside.name in record.message
    assert "\n" not in record.message


def test_a_clock_that_was_set_back_loses_no_run_and_changes_no_order(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    for run, moment in (("a", 3_000), ("b", 1_000), ("c", 1_000), ("d", 2_000)):
        append_run(root, "shop", replace(FIRST, run=run, time=moment))
    assert read_history(root, "shop")["run"].to_pylist() == ["a", "b", "c", "d"]
