"""Vectors for other programs: rows and scores are the model's, and the index finds what an exact search finds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from usearch.index import Index, MetricKind

from assets.exports.search import search
from assets.exports.vectors import Side, item_index, scored_by_product, write_vectors

SCORES = pytest.mark.parametrize(("score", "metric"), [("dot", MetricKind.IP), ("cosine", MetricKind.Cos)])


def sides() -> tuple[Side, Side]:
    users = Side("user", pa.array(["ann", "bob"]), np.array([[1, 0], [0, 2]], np.float32), np.array([True, False]))
    items = np.array([[3, 4], [1, 0], [0, 0], [0, 1]], np.float32)
    return users, Side("item", pa.array(["A", "B", "C", "D"]), items, np.ones(4, bool))


def taste(n: int, seed: int) -> np.ndarray:
    """float32 [n, 32] of few directions and very different lengths, as what models learn has."""
    rng = np.random.default_rng(seed)
    low = rng.normal(size=(n, 6)) @ np.random.default_rng(99).normal(size=(6, 32)) + 0.3 * rng.normal(size=(n, 32))
    return (low * rng.lognormal(sigma=0.8, size=(n, 1))).astype(np.float32)


def recall(items: np.ndarray, users: np.ndarray, score: str) -> float:
    """The share of the ten best items by exact search that the index finds; equal scores count as equal."""
    items, users = scored_by_product(items, score), scored_by_product(users, score)
    exact = users.astype(np.float64) @ items.astype(np.float64).T
    tenth = np.sort(exact, axis=1)[:, -10]
    found = item_index(items, score).search(users, 10, threads=1)
    scores = np.take_along_axis(exact, found.keys.astype(np.int64), axis=1)
    return float((scores >= tenth[:, None] - 1e-9).mean())


@SCORES
def test_files_hold_what_the_model_scores_by(tmp_path: Path, score: str, metric: MetricKind) -> None:
    write_vectors(tmp_path, *sides(), score, {"model": "some"})
    users, items = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("users", "items"))
    assert users.column_names == ["user", "user_id", "in_train", "vector"]
    assert items["item"].to_pylist() == [0, 1, 2, 3]
    assert items["item_id"].to_pylist() == ["A", "B", "C", "D"]
    assert users["in_train"].to_pylist() == [True, False]
    assert items.schema.field("vector").type == pa.list_(pa.float32(), 2)
    found = np.array(users["vector"].to_pylist()) @ np.array(items["vector"].to_pylist()).T
    wanted = {"dot": [[3, 1, 0, 0], [8, 0, 0, 2]], "cosine": [[0.6, 1, 0, 0], [0.8, 0, 0, 1]]}
    np.testing.assert_allclose(found, wanted[score], atol=1e-6)
    facts = {key.decode(): value.decode() for key, value in items.schema.metadata.items() if key != b"ARROW:schema"}
    assert facts == {"model": "some", "score": score, "metric": {"dot": "ip", "cosine": "cos"}[score]}
    index = Index.restore(str(tmp_path / "items.usearch"))
    assert index is not None
    assert (len(index), index.ndim, index.metric_kind) == (4, 2, metric)


@SCORES
def test_the_example_runs_beside_the_files_without_this_project(tmp_path: Path, score: str, metric: MetricKind) -> None:
    write_vectors(tmp_path, *sides(), score, {})
    command = [sys.executable, "-I", str(tmp_path / "search.py"), "bob", "2"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path.parent, check=True).stdout
    wanted = {"dot": "A\t8.0000\nD\t2.0000\n", "cosine": "D\t1.0000\nA\t0.8000\n"}
    assert shown == wanted[score]


def test_a_user_whom_nobody_knows_has_no_result(tmp_path: Path) -> None:
    write_vectors(tmp_path, *sides(), "dot", {})
    with pytest.raises(KeyError, match="carl"):
        search(tmp_path, "carl", 2)
    assert len(search(tmp_path, "ann", 10)) == 4


@SCORES
def test_the_index_finds_what_an_exact_search_finds(score: str, metric: MetricKind) -> None:
    assert recall(taste(6000, 0), taste(300, 1), score) >= 0.95


def test_many_equal_items_do_not_bar_the_way_to_others() -> None:
    items = taste(6000, 0)
    items[np.random.default_rng(2).random(6000) < 0.5] = items[0]
    assert recall(items, taste(300, 1), "dot") >= 0.95


@SCORES
def test_the_index_is_the_same_every_time(tmp_path: Path, score: str, metric: MetricKind) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_vectors(tmp_path / name, *sides(), score, {})
    for file in ("items.usearch", "items.parquet", "users.parquet"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
