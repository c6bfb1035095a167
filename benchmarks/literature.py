"""Our models beside published figures on the split these were measured on:

`python -m benchmarks.literature --folder FOLDER --models bpr_mf,lightgcn`. A folder in the form of the MMRec toolbox is
read, each model is trained with the settings shipped for it in `tuned.json` and stopped by validation NDCG@20, and the
test part is ranked once: all items, train items alone masked.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from assets.evaluation.evaluate import Evaluation
from assets.evaluation.leaderboard import over_seeds
from assets.evaluation.significance import bootstrap_intervals
from benchmarks.published import PUBLISHED, published_of
from benchmarks.published_split import PublishedSplit
from benchmarks.tuned import is_tuned
from models.config import LOSSES
from models.model_spec import LEARNED, NAMES

Row = dict[str, Any]
WIDTH = 22


def row_of(benchmark: PublishedSplit, evaluation: Evaluation, train_s: float) -> Row:
    """One model, loss and seed as it came out, beside what was published of it."""
    published, config = published_of(benchmark.split, evaluation.model), evaluation.fit.config
    return {
        "split": benchmark.split,
        "model": evaluation.model,
        "loss": evaluation.loss,
        "seed": config["seed"],
        "recall@20": round(float(evaluation.by_user["recall", 20].mean()), 4),
        "ndcg@20": round(float(evaluation.by_user["ndcg", 20].mean()), 4),
        "published_recall@20": published.recall if published else None,
        "published_ndcg@20": published.ndcg if published else None,
        "validation_ndcg@20": round(config.get("validation_ndcg@20", 0.0), 4),
        "epochs": len(config.get("loss_curve", [])),
        "tuned": is_tuned(benchmark.split, evaluation.model, evaluation.loss),
        "train_s": round(train_s, 1),
    }


def differences(evaluations: dict[tuple[str, str], list[Evaluation]], against: str) -> list[Row]:
    """Every model less `against` under the same loss, on the same users: the mean and its 95 % interval."""
    rows = []
    for (model, loss), fits in evaluations.items():
        other = evaluations.get((against, loss))
        if other is None or model == against:
            continue
        for metric in (("recall", 20), ("ndcg", 20)):
            values = (over_seeds(fits, metric) - over_seeds(other, metric))[:, None]
            low, high = (float(end[0]) for end in bootstrap_intervals(values, 0))
            figures = {"difference": float(values.mean()), "low": low, "high": high}
            named = {"model": model, "against": against, "loss": loss, "metric": f"{metric[0]}@{metric[1]}"}
            rows.append(named | {name: round(value, 5) for name, value in figures.items()})
    return rows


def shown(value: Any) -> str:
    return "–" if value is None else f"{value:.4f}" if isinstance(value, float) and abs(value) < 1 else str(value)


def print_published(split: str) -> None:
    for row in PUBLISHED:
        if row.split == split:
            kind = "with content" if row.content else "interactions alone"
            print(f"  {row.model:<20} {row.recall:.4f} / {shown(row.ndcg):<8} {kind}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--models", default="bpr_mf,lightgcn", help="names with commas between them")
    parser.add_argument("--loss", choices=[*LOSSES, "both"], default="both")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 … N-1")
    parser.add_argument("--against", choices=NAMES, help="also show the other models less this one")
    given = parser.parse_args()
    models = given.models.split(",")
    if unknown := set(models) - set(NAMES):
        parser.error(f"no model is named {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    benchmark, rows = (
        PublishedSplit(given.folder, any(LEARNED[model].content for model in models if model in LEARNED)),
        list[Row](),
    )
    evaluations: dict[tuple[str, str], list[Evaluation]] = {}
    for model in models:
        for loss in benchmark.losses(model, given.loss):
            for seed in range(given.seeds if loss != "none" else 1):
                one = benchmark.evaluate(model, loss, seed)
                evaluations.setdefault((model, loss), []).append(one)
                rows.append(row_of(benchmark, one, benchmark.fit(model, loss, seed)[1]))
                if len(rows) == 1:
                    print(" ".join(f"{name:>{WIDTH}}" for name in rows[0]))
                print(" ".join(f"{shown(value):>{WIDTH}}" for value in rows[-1].values()), flush=True)
    for (model, loss), fits in evaluations.items():
        if len(fits) > 1:
            means = (np.mean([fit.by_user[metric, 20].mean() for fit in fits]) for metric in ("recall", "ndcg"))
            print(f"{model} {loss}, mean of {len(fits)} seeds: " + " / ".join(f"{mean:.4f}" for mean in means))
    print(f"\nPublished on {benchmark.split}, Recall@20 / NDCG@20 (chosen on test; ours on validation):")
    print_published(benchmark.split)
    apart = differences(evaluations, given.against) if given.against else []
    for row in apart:
        print(f"{row['model']} - {row['against']} ({row['loss']}), {row['metric']}: "
              f"{row['difference']:+.4f}, 95 % {row['low']:+.4f} to {row['high']:+.4f}")  # fmt: skip
    print(json.dumps({"rows": rows, "differences": apart}))


if __name__ == "__main__":
    main()
