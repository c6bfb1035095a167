"""The model's cells, worked out by hand on round figures, and the page that shows what it prints."""

import re
from typing import Any

import pytest

from benchmarks.scale import model
from benchmarks.scale.constants import CONSTANTS, MEASURED, Dataset, categories, everything
from benchmarks.scale.costs import STAGES, Cost, columns, grown, largest
from benchmarks.scale.model import PAGE, filled, number, shard_gb, tables

# 1 M users and 100 k items; at a train share of 0.8 their 10 M interactions leave 8 M.
ROUND = Dataset("round", 5_000_000, 400_000, 20_000_000, 10**9, 10**8, 1_000_000, 100_000, 10_000_000)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A big graph of 2 M users and 500 k items, and one stage that grows as n² in time and as √n in memory."""
    stage = {
        "sizes": [1_000_000, 4_000_000],
        "cpu_seconds": [0.5, 8.0],
        "rss_mb": [50, 100],
        "exponent_time": 2.0,
        "exponent_memory": 0.5,
    }
    evaluate_users = {"cpu_seconds": 100.0, "peak_rss_mb": 1000}
    big: dict[str, Any] = {
        "interactions": 20_000_000,
        "train_pairs": 16_000_000,
        "users": 2_000_000,
        "items": 500_000,
        "step_cpu_seconds": 4.096,
        "judged_users": 20_000,
        "parts": {"steps": {"peak_rss_mb": 8_104}, "evaluation": evaluate_users},
    }
    monkeypatch.setitem(MEASURED, "scale", {"stages": {"interactions": stage}})
    monkeypatch.setitem(MEASURED, "big_graph", big)
    monkeypatch.setitem(MEASURED, "big_graph_gpu", {"step_seconds": {"median": 0.016}})


@pytest.mark.usefixtures("measured")
def test_a_measured_stage_is_carried_on_by_its_exponents() -> None:
    # Ten times the largest size: a hundred times 8 s, √10 times 100 MiB.
    assert grown("interactions", "time", 40_000_000) == pytest.approx(800)
    assert grown("interactions", "memory", 40_000_000) == pytest.approx(10**0.5 * 0.1048576)


def test_what_is_downloaded_is_the_texts_and_the_rest_of_each_review() -> None:
    # (20 M · 223 + 1 G · 5.28 + 0.1 G · 3.1) bytes / 3.8 = (4.46 + 5.28 + 0.31) GB / 3.8
    assert STAGES["download"](ROUND).network == pytest.approx(10.05 / 3.8)


def test_pictures_cost_by_the_item() -> None:
    cost = STAGES["pictures"](ROUND)
    assert cost.disk == cost.network == pytest.approx(2.6478)  # 100,000 · 26,478 bytes
    assert cost.core_hours == pytest.approx(880 / 3600)  # 100,000 / 227.27 a second on two cores


@pytest.mark.usefixtures("measured")
def test_an_epoch_costs_by_the_square_of_its_pairs() -> None:
    cost = STAGES["training, an epoch"](ROUND)
    # 8 M / 2048 = 3,906.25 steps of 4.096 s · 8 M / 16 M, which is 8,000 s.
    assert cost.core_hours == pytest.approx(8000 / 3600)
    # And 3,906.25 of 0.016 s · 8 M / 16 M on a GPU.
    assert cost.gpu_hours == pytest.approx(31.25 / 3600)


@pytest.mark.usefixtures("measured")
def test_a_process_holds_its_dimensions_and_the_whole_graph() -> None:
    # Vectors of 1.1 M nodes: 0.2816 GB. The graph: 16 M entries of 8 bytes and 1.1 M starts of 4: 0.1324 GB.
    assert shard_gb(ROUND, 4)[0] == pytest.approx(0.2816 + 0.1324)
    # In the big graph 8,104 MiB less 16 M · 56 bytes are 7,601,659,904 bytes, of 640,000,000 a copy of the vectors.
    assert shard_gb(ROUND, 4)[1] == pytest.approx(0.2816 / 4 * 7_601_659_904 / 640_000_000 + 0.448)


@pytest.mark.usefixtures("measured")
def test_evaluation_costs_by_the_score() -> None:
    # 100 s for 20,000 · 500,000 scores are 10 ns each; 1 M · 100 k of them are 1,000 s.
    assert STAGES["evaluation"](ROUND).core_hours == pytest.approx(1000 / 3600)


def test_stages_one_after_the_other_need_the_memory_of_the_hungriest() -> None:
    assert Cost(1, 2, 3, 4, 5) + Cost(10, 20, 30, 2, 50) == Cost(11, 22, 33, 4, 55)


def test_the_release_is_what_its_page_says() -> None:
    rows = categories()
    assert [row.name for row in largest()] == [
        "Home_and_Kitchen",
        "Clothing_Shoes_and_Jewelry",
        "Electronics",
        "Books",
        "Tools_and_Home_Improvement",
    ]
    assert len(rows) == 34
    whole = everything()
    # Sums of numbers that are rounded to two or three digits.
    for size in ("reviews", "items", "review_tokens", "metadata_tokens"):
        assert sum(getattr(row, size) for row in rows) == pytest.approx(getattr(whole, size), rel=0.02)


def test_34_graphs_are_the_sum_of_all_and_the_memory_of_the_hungriest() -> None:
    found = columns()["34 graphs"]["training, an epoch"]
    each = [STAGES["training, an epoch"](row) for row in categories()]
    assert found.core_hours == pytest.approx(sum(cost.core_hours for cost in each))
    assert found.memory == max(cost.memory for cost in each)


def test_numbers_have_three_digits() -> None:
    assert [number(amount) for amount in (0, 0.01234, 1.5, 99.96, 1234.5)] == ["", "0.0123", "1.5", "100", "1,234"]


def test_nothing_that_was_not_measured_is_called_measured() -> None:
    sources = [one.source for one in CONSTANTS.values() if one.kind == "measured"]
    assert all(re.search(r"benchmarks\.\w+|du -b|embeddings\.md", source) for source in sources)


def test_the_page_shows_what_is_printed() -> None:
    page = PAGE.read_text()
    assert filled(page) == page
    assert set(re.findall(r"<!-- (?!end)(.+?) -->", page)) == set(tables())


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table 'sizes'"):
        filled("nothing")


def test_the_answer_counts_training_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = dict.fromkeys(STAGES, Cost(disk=1, core_hours=96, gpu_hours=2, memory=3, network=4))
    monkeypatch.setattr(model, "MACHINE_CORES", 2)
    rows = dict(model.answer(costs))
    assert rows["core-hours of all but encoding and training"] == "768"  # of eight stages
    assert rows["the same in days of 2 cores"] == "16"
    assert rows["encoding: core-hours, or GPU hours"] == "192, or 4"
    assert rows["training one model for 20 epochs: core-hours, or GPU hours"] == "1,920, or 40"
