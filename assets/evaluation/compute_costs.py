"""What every row of the leaderboard cost, and its headline figures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Costs:
    """Trials and seconds by model.

    Attributes:
        tuned: (trials, seconds) by (model, loss).
        trained: seconds of every fit by model.
    """

    tuned: Mapping[tuple[str, str], tuple[int, float]]
    trained: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, tuning: pa.Table, facts: Mapping[str, Mapping[str, Any]]) -> "Costs":
        """From the table `tuning` and what each model's manifest says."""
        grouped = tuning.group_by(["model", "loss"]).aggregate([("trial", "count"), ("seconds", "sum")]).to_pylist()
        tuned = {(row["model"], row["loss"]): (row["trial_count"], row["seconds_sum"]) for row in grouped}
        return cls(tuned, {model: found.get("train_s", {}) for model, found in facts.items()})

    def of_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Trials and seconds of one row's model, loss and seed."""
        trials, tune_s = self.tuned.get((row["model"], row["loss"]), (0, 0.0))
        train_s = self.trained[row["model"]].get(f"{row['loss']}-{row['seed']}", 0.0)
        return {"trials": trials, "tune_s": tune_s, "train_s": train_s}


def headline(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Recall@20 of every model of the open block, as the mean over seeds."""
    values: dict[str, list[float]] = {}
    for row in rows:
        wanted = (row["block"], row["metric"], row["k"], row["stratum"]) == ("open", "recall", 20, "all")
        if wanted:
            values.setdefault(f"recall@20/{row['model']}", []).append(row["value"])
    return {name: float(np.mean(found)) for name, found in values.items()}
