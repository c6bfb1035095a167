"""What the report shows of the leaderboard, of comparisons and of tuning."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from assets.evaluation.report.tables import (
    HEADLINE,
    boards,
    in_words,
    leaderboard_rows,
    skipped,
    stratum_bars,
    stratum_rows,
    tuned_rows,
    verdict,
)
from storage.schemas import SCHEMAS

Row = dict[str, Any]


def rows_of(model: str, ndcg: float, **other: Any) -> list[Row]:
    """The rows of one fit: NDCG@20 as given, every other headline figure half of it; intervals are 0.1 to each side."""
    row = {"block": "open", "model": model, "loss": "bpr", "score": "dot", "stratum": "all", "seed": 0, "n_users": 9,
           "trials": 4, "tune_s": 3.0, "train_s": 1.0, "eval_s": 0.5, "device": "cpu", "status": "ok"}  # fmt: skip
    rows = []
    for metric, k in HEADLINE:
        value = ndcg if (metric, k) == ("ndcg", 20) else ndcg / 2
        cell = {"metric": metric, "k": k, "value": value, "ci_low": value - 0.1, "ci_high": value + 0.1}
        rows.append(row | cell | other)
    return rows


SKIPPED = {"block": "open", "model": "ease", "loss": "none", "stratum": "all", "metric": "ndcg", "k": 20, "seed": 0,
           "status": "skipped: 30,000 items are over max_items (25,000)"}  # fmt: skip


def board_of(*fits: list[Row]) -> pd.DataFrame:
    """The table as the report reads it."""
    return pa.Table.from_pylist([row for fit in fits for row in fit], schema=SCHEMAS["leaderboard"]).to_pandas()


def test_models_are_ordered_by_ndcg_at_20() -> None:
    found = leaderboard_rows(board_of(rows_of("worse", 0.1), rows_of("better", 0.3), rows_of("between", 0.2)), "all")
    assert [row["model"] for row in found] == ["better", "between", "worse"]


def test_every_cell_is_a_mean_over_seeds() -> None:
    board = board_of(
        rows_of("m", 0.2, train_s=3.0, eval_s=1.0, trials=16, tune_s=60.0),
        rows_of("m", 0.4, seed=1, train_s=5.0, eval_s=2.0, trials=16, tune_s=60.0),
        rows_of("other", 0.1),
    )
    row, other = leaderboard_rows(board, "all")
    by_name = dict(zip(HEADLINE, row["cells"], strict=True))
    assert by_name["ndcg", 20] == pytest.approx({"value": 0.3, "ci_low": 0.2, "ci_high": 0.4})
    assert by_name["recall", 10] == pytest.approx({"value": 0.15, "ci_low": 0.05, "ci_high": 0.25})
    assert (row["seeds"], row["train_s"], row["eval_s"], row["trials"], row["tune_s"]) == (2, 4.0, 1.5, 16, 60.0)
    assert (other["seeds"], other["train_s"], other["loss"], other["n_users"]) == (1, 1.0, "bpr", 9)


def test_a_p_value_is_shown_where_one_was_worked_out() -> None:
    tested = rows_of("tested", 0.2)
    tested[HEADLINE.index(("ndcg", 20))]["p_holm"] = 0.04
    found = {row["model"]: row["p_holm"] for row in leaderboard_rows(board_of(tested, rows_of("not", 0.1)), "all")}
    assert found == {"tested": 0.04, "not": None}
    assert leaderboard_rows(board_of(rows_of("none at all", 0.1)), "all")[0]["p_holm"] is None


def test_rows_are_of_one_stratum_alone() -> None:
    board = board_of(rows_of("m", 0.2), rows_of("m", 0.8, stratum="users_without_train", n_users=2))
    (row,) = leaderboard_rows(board, "users_without_train")
    assert (row["order"], row["n_users"]) == (pytest.approx(0.8), 2)
    assert leaderboard_rows(board, "all")[0]["order"] == pytest.approx(0.2)
    assert leaderboard_rows(board_of(rows_of("m", 0.2)), "users_without_train") == []


def test_models_that_could_not_be_had_stand_apart_with_the_reason() -> None:
    board = board_of(rows_of("m", 0.2), [SKIPPED])
    assert [row["model"] for row in leaderboard_rows(board, "all")] == ["m"]
    assert skipped(board) == [("ease", "skipped: 30,000 items are over max_items (25,000)")]
    assert skipped(board_of(rows_of("m", 0.2))) == []


def test_boards_are_one_a_loss_and_then_the_best_of_each() -> None:
    board = board_of(
        rows_of("lightgcn", 0.1, block="controlled"),
        rows_of("vbpr", 0.2, block="controlled"),
        rows_of("lightgcn", 0.4, block="controlled", loss="softmax"),
        rows_of("vbpr", 0.3, block="controlled", loss="softmax"),
        rows_of("lightgcn", 0.4, loss="softmax"),
        rows_of("popularity", 0.05, loss="none"),
        [SKIPPED],
    )
    found = {title: [(row["model"], row["loss"], row["order"]) for row in rows] for title, rows in boards(board)}
    assert found == {
        "Every learned model under bpr": [("vbpr", "bpr", 0.2), ("lightgcn", "bpr", 0.1)],
        "Every learned model under softmax": [("lightgcn", "softmax", 0.4), ("vbpr", "softmax", 0.3)],
        "The best of each": [("lightgcn", "softmax", 0.4), ("popularity", "none", 0.05)],
    }
    assert list(found)[-1] == "The best of each"


def recall_row(model: str, stratum: str, value: float, **other: Any) -> Row:
    row = {"block": "open", "model": model, "stratum": stratum, "metric": "recall", "k": 20, "value": value, "seed": 0}
    return row | {"status": "ok"} | other


def test_strata_are_recall_at_20_of_the_best_of_each_as_means_over_seeds() -> None:
    rows = [
        recall_row("worse", "all", 0.1),
        recall_row("worse", "popularity_10", 0.2),
        recall_row("better", "all", 0.3),
        recall_row("better", "all", 0.5, seed=1),
        recall_row("better", "popularity_10", 0.6),
        recall_row("better", "popularity_10", 0.8, seed=1),
        recall_row("better", "cold_items", 0.0),
        recall_row("worse", "all", 9.0, block="controlled"),
        recall_row("worse", "all", 9.0, metric="ndcg"),
        recall_row("worse", "all", 9.0, k=10),
    ]
    strata, found = stratum_rows(board_of(rows, [SKIPPED]))
    assert strata == ["all", "cold_items", "popularity_10"]
    assert found == [
        ("better", [pytest.approx(0.4), 0.0, pytest.approx(0.7)]),
        ("worse", [pytest.approx(0.1), None, pytest.approx(0.2)]),
    ]


def test_bars_are_of_the_best_model_the_gated_ones_and_lightgcn_with_their_intervals() -> None:
    def strata(model: str, **values: float) -> list[Row]:
        return [
            recall_row(model, name, value, ci_low=value - 0.1, ci_high=value + 0.2) for name, value in values.items()
        ]

    rows = [
        *rows_of("ease", 0.5),
        *rows_of("vbpr", 0.4),
        *rows_of("lightgcn", 0.3),
        *rows_of("gated_lightgcn", 0.2),
        *strata("ease", popularity_10=0.5, popularity_02=0.25),
        *strata("vbpr", popularity_10=0.9),
        *strata("lightgcn", cold_items=0.1),
        *strata("gated_lightgcn", cold_items=0.25),
    ]
    apart, tenths = stratum_bars(board_of(rows))
    assert list(apart.cells) == list(tenths.cells) == ["ease", "gated_lightgcn", "lightgcn"]
    assert apart.strata == ["all", "cold_items"]
    assert apart.cells["gated_lightgcn"][1] == pytest.approx((0.25, 0.15, 0.45))
    assert apart.cells["ease"][1] is None
    assert tenths.strata == ["popularity_02", "popularity_10"]
    assert tenths.cells["ease"] == [pytest.approx((0.25, 0.15, 0.45)), pytest.approx((0.5, 0.4, 0.7))]
    assert tenths.cells["lightgcn"] == [None, None]


def comparison(standing: str, model: str, against: str, low: float, high: float, **other: Any) -> dict[str, Any]:
    return {"standing": standing, "model": model, "against": against, "metric": "ndcg", "k": 20, "low": low,
            "high": high, "difference": (low + high) / 2, "p_holm": None} | other  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.001, 0.02, "helps"),
        (-0.02, -0.001, "harms"),
        (-0.01, 0.02, "no certain difference"),
        (0.0, 0.02, "no certain difference"),
        (-0.02, 0.0, "no certain difference"),
    ],
)
def test_a_difference_is_one_where_its_interval_leaves_zero_out(low: float, high: float, words: str) -> None:
    assert in_words({"low": low, "high": high}) == words


def test_the_verdict_answers_each_question_under_each_loss_by_ndcg_at_20() -> None:
    comparisons: list[Mapping[str, Any]] = [
        comparison("softmax", "gated_lightgcn", "lightgcn", 0.01, 0.03),
        comparison("softmax", "gated_lightgcn", "lightgcn", -0.9, -0.8, metric="recall"),
        comparison("softmax", "ablation_text_only", "lightgcn", -0.01, 0.01),
        comparison("bpr", "gated_lightgcn", "ablation_no_gate", -0.03, -0.01),
        comparison("bpr", "lightgcn", "gated_lightgcn", -0.1, 0.1),
        comparison("open", "gated_lightgcn", "lightgcn", 0.5, 0.6),
    ]
    found = verdict(comparisons)
    assert [(row["loss"], row["model"], row["against"], row["says"]) for row in found] == [
        ("softmax", "gated_lightgcn", "lightgcn", "helps"),
        ("softmax", "ablation_text_only", "lightgcn", "no certain difference"),
        ("bpr", "gated_lightgcn", "ablation_no_gate", "harms"),
    ]
    assert [row["difference"] for row in found] == pytest.approx([0.02, 0.0, -0.02])
    assert "the gate" in found[0]["question"]
    assert "texts alone" in found[1]["question"]
    assert "plain mean" in found[2]["question"]
    assert verdict([]) == []


def trial(model: str, loss: str, number: int, value: float, **other: Any) -> Row:
    row = {"model": model, "loss": loss, "trial": number, "validation_ndcg": value, "epochs": 5, "seconds": 2.0}
    return row | {"values": "{}", "ended": "complete", "chosen": False} | other


def test_tuned_rows_say_what_was_chosen_and_what_the_search_cost() -> None:
    chosen = json.dumps({"learning_rate": 0.00212345, "layers": 3, "score": "cosine"})
    trials = [
        trial("lightgcn", "bpr", 0, 0.1, ended="worse"),
        trial("lightgcn", "bpr", 1, 0.3, chosen=True, values=chosen, seconds=7.0),
        trial("lightgcn", "bpr", 2, 0.2, ended="time"),
        trial("ease", "none", 0, 0.25, chosen=True, values=json.dumps({"regularisation": 400.0})),
    ]
    first, second = tuned_rows(pa.Table.from_pylist(trials, schema=SCHEMAS["tuning"]).to_pandas())
    assert first == {
        "model": "lightgcn",
        "loss": "bpr",
        "trials": 3,
        "ended_early": 2,
        "seconds": 11.0,
        "validation": 0.3,
        "values": "learning_rate 0.00212, layers 3, score cosine",
    }
    assert (second["model"], second["ended_early"], second["values"]) == ("ease", 0, "regularisation 400")
    assert list(tuned_rows(SCHEMAS["tuning"].empty_table().to_pandas())) == []
