"""What the report shows of the leaderboard: means over seeds, what the gate is worth, and what tuning chose."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from assets.evaluation.evaluate import WITHOUT_TRAIN
from assets.evaluation.new_item_mixing import MIXED_METRICS
from assets.evaluation.new_items import NEW_ITEM_METRICS
from models.model_spec import BEST_MODEL, PAPER_MODEL

HEADLINE = (("recall", 10), ("recall", 20), ("ndcg", 10), ("ndcg", 20), ("map", 20), ("hit_rate", 20))
# What the gate is worth, as (model, what it is set against, what the difference says).
QUESTIONS = (
    (PAPER_MODEL, "lightgcn", "pictures and texts through the gate, against IDs alone"),
    (PAPER_MODEL, "ablation_no_gate", "the gate, against the plain mean of both views"),
    ("ablation_visual_only", "lightgcn", "pictures alone, against IDs alone"),
    ("ablation_text_only", "lightgcn", "texts alone, against IDs alone"),
)

APART = ("all", "cold_items", "lacking_picture", "lacking_text")


@dataclass(frozen=True)
class Bars:
    """Recall@20 of a few models in some strata.

    Attributes:
        cells: by model, of every stratum its value and the ends of its interval, or None without test items.
    """

    strata: list[str]
    cells: dict[str, list[tuple[float, float, float] | None]]


def boards(leaderboard: pd.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """Every block with its title: all learned models under each loss, then the best of each."""
    controlled = leaderboard[leaderboard["block"] == "controlled"]
    under = [
        (f"Every learned model under {loss}", leaderboard_rows(found, "all"))
        for loss, found in controlled.groupby("loss", sort=False)
    ]
    best = leaderboard_rows(leaderboard[leaderboard["block"] == "open"], "all")
    return [*under, ("The best of each", best)]


def leaderboard_rows(board: pd.DataFrame, stratum: str) -> list[dict[str, Any]]:
    """One row a model, the best NDCG@20 first; every cell a value and its interval, as means over seeds."""
    rows, board = [], board[(board["stratum"] == stratum) & (board["status"] == "ok")]
    for model, found in board.groupby("model", sort=False):
        cells = found.groupby(["metric", "k"])[["value", "ci_low", "ci_high"]].mean()
        by_key = cells.to_dict("index")
        shown = [by_key[wanted] for wanted in HEADLINE]
        first, seeds = found.iloc[0], found.drop_duplicates("seed")
        p_holm = found["p_holm"].dropna()
        rows.append(
            {"model": model, "cells": shown, "order": by_key["ndcg", 20]["value"]}
            | {name: first[name] for name in ("loss", "score", "n_users", "trials", "tune_s", "device")}
            | {"seeds": len(seeds), "p_holm": p_holm.iloc[0] if len(p_holm) else None}
            | {name: seeds[name].mean() for name in ("train_s", "eval_s")}
        )
    return sorted(rows, key=lambda row: -row["order"])


def skipped(leaderboard: pd.DataFrame) -> list[tuple[str, str]]:
    """Models that could not be made, and why."""
    missing = leaderboard[leaderboard["status"] != "ok"]
    return list(zip(missing["model"], missing["status"], strict=True))


def stratum_rows(leaderboard: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[float | None]]]]:
    """Recall@20 of the best of each by stratum: the names of the strata that have test items, and a row a model."""
    there = leaderboard[
        (leaderboard["block"] == "open") & (leaderboard["metric"] == "recall") & (leaderboard["k"] == 20)
    ]
    table = there.pivot_table(index="model", columns="stratum", values="value", aggfunc="mean")
    table = table.sort_values("all", ascending=False)
    strata = sorted(table.columns.drop(["all", WITHOUT_TRAIN], errors="ignore"))
    rows = [
        (str(model), [None if pd.isna(value) else float(value) for value in values])
        for model, values in zip(table.index, table[["all", *strata]].to_numpy(), strict=True)
    ]
    return ["all", *strata], rows


def stratum_bars(leaderboard: pd.DataFrame) -> tuple[Bars, Bars]:
    """The strata of what items lack, and the tenths by popularity: the best model, both gated ones, and LightGCN."""
    board = leaderboard[leaderboard["block"] == "open"]
    ordered = [row["model"] for row in leaderboard_rows(board, "all")]
    shown = [name for name in dict.fromkeys([*ordered[:1], BEST_MODEL, PAPER_MODEL, "lightgcn"]) if name in ordered]
    recall = board[(board["metric"] == "recall") & (board["k"] == 20) & board["model"].isin(shown)]
    cells = recall.groupby(["stratum", "model"])[["value", "ci_low", "ci_high"]].mean()
    there = set(recall["stratum"])
    tenths = sorted(name for name in there if name.startswith("popularity_"))
    return _bars(cells, shown, [name for name in APART if name in there]), _bars(cells, shown, tenths)


def _bars(cells: pd.DataFrame, models: list[str], strata: list[str]) -> Bars:
    found = {key: (row["value"], row["ci_low"], row["ci_high"]) for key, row in cells.iterrows()}
    return Bars(strata, {model: [found.get((stratum, model)) for stratum in strata] for model in models})


def verdict(comparisons: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the gate is worth under each loss: the difference in NDCG@20, its interval, and that in words."""
    ndcg = {
        (one["standing"], one["model"], one["against"]): one
        for one in comparisons
        if (one["metric"], one["k"]) == ("ndcg", 20)
    }
    rows = []
    for loss in dict.fromkeys(standing for standing, _, _ in ndcg if standing != "open"):
        for model, against, question in QUESTIONS:
            found = ndcg.get((loss, model, against))
            if found:
                rows.append({"loss": loss, "question": question, **found, "says": in_words(found)})
    return rows


def in_words(comparison: Mapping[str, Any]) -> str:
    """Whether a difference is one."""
    if comparison["low"] > 0:
        return "helps"
    return "harms" if comparison["high"] < 0 else "no certain difference"


def tuned_rows(tuning: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """What was chosen for each model under each loss, and what the search cost."""
    for (model, loss), found in tuning.groupby(["model", "loss"], sort=False):
        chosen = found[found["chosen"]].iloc[0]
        values = json.loads(chosen["values"])
        yield {
            "model": model,
            "loss": loss,
            "trials": len(found),
            "ended_early": int((found["ended"] != "complete").sum()),
            "seconds": found["seconds"].sum(),
            "validation": chosen["validation_ndcg"],
            "values": ", ".join(f"{name} {_shown(value)}" for name, value in values.items()),
        }


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def new_item_rows(new_item_recall: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a method of placing new items; every cell a value and its interval, in the order of NEW_ITEM_METRICS."""
    by_key = new_item_recall.set_index(["method", "metric", "k"]).to_dict("index")
    methods = [one for one in new_item_recall["method"].unique() if (one, *NEW_ITEM_METRICS[0]) in by_key]
    return [{"method": one, "cells": [by_key[one, *wanted] for wanted in NEW_ITEM_METRICS]} for one in methods]


def mixed_rows(new_item_recall: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a share of the list that may be new: the recall of new items, and that of the others."""
    mixed = new_item_recall[new_item_recall["method"].str.startswith("share ")]
    return [
        {
            "share": float(str(method).removeprefix("share ")),
            "cells": [found[found["metric"] == metric].to_dict("records")[0] for metric in MIXED_METRICS],
        }
        for method, found in mixed.groupby("method", sort=False)
    ]
