"""Bad data stops before it trains, in whatever run, and what was there before can be had back."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from assets.checks.table_checks import graph_of_train_alone, looks_ahead
from pipeline.cli.stale_assets import out_of_date
from storage.artifacts.previous_version import find_failed_tables, find_previous, restore_previous
from tests.pipeline.in_process import Pipeline, failures

FEWER = {"raw_reviews": {"sample_users": 150}, "raw_metadata": {"sample_users": 150}}


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root of a dataset that has come to its splits."""
    folder = tmp_path_factory.mktemp("divided") / "data"
    assert Pipeline(folder).run("quick", "*splits").success
    return folder


@pytest.fixture
def pipeline(tmp_path: Path, divided: Path) -> Pipeline:
    shutil.copytree(divided, tmp_path / "data")
    return Pipeline(tmp_path / "data")


def rows_of(pipeline: Pipeline, asset: str) -> int:
    return pq.read_metadata(pipeline.root.path(asset, "quick", ".parquet")).num_rows


def previous_files(pipeline: Pipeline) -> list[str]:
    return [path.name for path in pipeline.root.root.rglob("*.previous.*")]


def test_a_dump_that_lost_its_rows_stops_at_its_table_and_comes_back(pipeline: Pipeline) -> None:
    reviews, interactions = rows_of(pipeline, "reviews"), rows_of(pipeline, "interactions")
    assert previous_files(pipeline) == []
    result = pipeline.run("quick", "*splits", FEWER)
    assert not result.success
    assert rows_of(pipeline, "reviews") < reviews / 2
    assert rows_of(pipeline, "interactions") == interactions  # nothing was built on it
    assert find_failed_tables(pipeline.root, "quick") == ["reviews"]
    previous = find_previous(pipeline.root, "reviews", "quick")
    assert previous is not None and previous.rows == reviews

    again = pipeline.run("quick", "interactions")  # nor is it in a run of its own
    assert "Dataset quick: reviews has failed its check reviews_not_collapsed" in failures(again)["interactions"]

    pipeline.run(
        "quick", "key:raw_reviews or key:reviews", FEWER
    )  # the same again does not push out the one that was good
    assert find_previous(pipeline.root, "reviews", "quick") == previous

    restore_previous(pipeline.root, "reviews", "quick")
    assert rows_of(pipeline, "reviews") == reviews
    assert previous_files(pipeline) == []
    assert pipeline.run("quick", "interactions").success
    assert rows_of(pipeline, "interactions") == interactions


def test_a_dump_that_is_well_again_passes_and_nothing_stays_beside_it(pipeline: Pipeline) -> None:
    reviews = rows_of(pipeline, "reviews")
    assert not pipeline.run("quick", "*splits", FEWER).success
    assert pipeline.run("quick", "*splits").success
    assert rows_of(pipeline, "reviews") == reviews
    assert previous_files(pipeline) == []
    assert find_failed_tables(pipeline.root, "quick") == []


def test_what_comes_later_than_the_begin_of_a_later_part_looks_ahead() -> None:
    group = np.zeros(5, dtype=np.int64)
    time = np.array([1, 2, 2, 3, 4])
    assert looks_ahead(group, np.array([0, 0, 1, 1, 2], dtype=np.int8), time) == 0  # at the same time is not later
    assert looks_ahead(group, np.array([0, 1, 0, 1, 2], dtype=np.int8), time) == 0
    assert looks_ahead(group, np.array([0, 0, 1, 0, 2], dtype=np.int8), time) == 1  # 3 in train, validation from 2
    assert looks_ahead(group, np.array([2, 0, 1, 0, 1], dtype=np.int8), time) == 4  # the test begins before all
    of_users = np.array([0, 0, 1, 1, 1])
    assert looks_ahead(of_users, np.array([0, 2, 0, 1, 2], dtype=np.int8), time) == 0


def test_an_edge_that_is_not_of_train_is_found() -> None:
    splits = pa.table({"user": pa.array([0, 0, 1], pa.int32()), "item": pa.array([0, 1, 1], pa.int32()),
                       "split": pa.array([0, 2, 0], pa.int8())})  # fmt: skip
    train = np.array([[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32)
    check = graph_of_train_alone.node_def.compute_fn.decorated_fn.__wrapped__  # type: ignore[union-attr]
    assert check(sp.csr_matrix(train), splits).passed
    leaking = train.copy()
    leaking[0, 3] = leaking[3, 0] = 1  # user 0 has item 1 in test alone
    assert not check(sp.csr_matrix(leaking), splits).passed
    one_way = train.copy()
    one_way[2, 0] = 0
    assert not check(sp.csr_matrix(one_way), splits).passed


def test_what_is_out_of_date_is_missing_damaged_or_made_of_something_else(pipeline: Pipeline) -> None:
    def stale() -> set[str]:
        return set(out_of_date(pipeline.definitions, pipeline.root, "quick"))

    made = {"raw_reviews", "raw_metadata", "reviews", "items", "interactions", "item_index", "splits"}
    every = {key.path[-1] for key in pipeline.definitions.resolve_asset_graph().materializable_asset_keys}
    assert stale() == every - made
    assert pipeline.run("quick", "key:interactions", {"interactions": {"min_rating": 4.0}}).success
    assert stale() == every - made | {"item_index", "splits"}
    reviews = pipeline.root.path("reviews", "quick", ".parquet")
    reviews.write_bytes(reviews.read_bytes()[:-1])
    assert stale() == every - {"raw_reviews", "raw_metadata", "items"}
