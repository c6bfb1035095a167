"""Our models beside published figures on the split these were measured on:

`python -m benchmarks.literature --folder FOLDER --models bpr_mf,lightgcn`. A folder in the form of the MMRec toolbox is
read, each model is trained with the settings of `benchmarks.tuned` and stopped by validation NDCG@20, and the test part
is ranked once: all items, train items alone masked.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from benchmarks.mmrec import judge_of, new_model, read_split
from benchmarks.tuned import LOSSES, MODELS, PUBLISHED, Loss, tuned
from models.device import device_of
from models.trainer import train

Row = dict[str, Any]


def measured(split: str, parts: Parts, model: str, loss: Loss, seed: int) -> Row:
    """Train one model and judge it on test."""
    settings = tuned(split, model, loss, seed)
    recommender = new_model(parts, settings.recommender, seed)
    score = settings.recommender.score
    on_validation = judge_of(parts, VALIDATION, score)
    started = time.perf_counter()
    history = train(
        recommender,
        *parts.pairs(TRAIN),
        settings.trainer,
        device_of(settings.trainer.device),
        lambda *vectors: on_validation(*vectors)["ndcg", 20],
        lambda: None,
    )
    train_s = time.perf_counter() - started
    found = judge_of(parts, TEST, score)(*recommender.vectors())
    published = PUBLISHED.get((split, model), (None, None))
    return {
        "split": split,
        "model": model,
        "loss": loss,
        "seed": seed,
        "recall@20": round(found["recall", 20], 4),
        "ndcg@20": round(found["ndcg", 20], 4),
        "published_recall@20": published[0],
        "published_ndcg@20": published[1],
        "validation_ndcg@20": round(history.best_value, 4),
        "epochs": len(history.loss),
        "train_s": round(train_s, 1),
    }


def shown(value: Any) -> str:
    return "–" if value is None else f"{value:.4f}" if isinstance(value, float) and value < 1 else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--models", default=",".join(MODELS), help="names with commas between them")
    parser.add_argument("--loss", choices=[*LOSSES, "both"], default="both")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 … N-1")
    given = parser.parse_args()
    models = given.models.split(",")
    if unknown := set(models) - set(MODELS):
        parser.error(f"no model is named {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    losses = LOSSES if given.loss == "both" else (given.loss,)
    split, parts, rows = given.folder.resolve().name, read_split(given.folder), []
    for model in models:
        for loss in losses:
            for seed in range(given.seeds):
                rows.append(measured(split, parts, model, loss, seed))
                if len(rows) == 1:
                    print(" ".join(f"{name:>20}" for name in rows[0]))
                print(" ".join(f"{shown(value):>20}" for value in rows[-1].values()), flush=True)
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
