"""Searches settings on a published split, without its test part: the same trials and seconds for every model.

`python -m benchmarks.tune --folder FOLDER --models lightgcn --loss softmax`; `--write` keeps what was best in
`tuned.json`, which `benchmarks.literature` trains with.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from assets.training.search import Study, study
from benchmarks.published_split import PublishedSplit
from benchmarks.tuned import FILE, shipped, tuning_settings
from models.config import LOSSES
from models.model_spec import LEARNED, NAMES
from models.training.search_spaces import COUNTED_SPACES
from models.training.successive_halving import best_of


def keep(split: str, found: Study) -> None:
    """Put what was best into tuned.json."""
    every: dict[str, Any] = json.loads(FILE.read_text())
    values = best_of(found.trials).values
    every.setdefault(split, {"training": shipped(split)["training"], "models": {}})
    every[split]["models"].setdefault(found.model, {})[found.loss] = values
    FILE.write_text(json.dumps(every, indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--models", default="lightgcn", help="names with commas between them")
    parser.add_argument("--loss", choices=[*LOSSES, "both"], default="both")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--write", action="store_true", help="keep what was best in tuned.json")
    given = parser.parse_args()
    models, searched = given.models.split(","), [name for name in NAMES if name in LEARNED or name in COUNTED_SPACES]
    if unknown := set(models) - set(searched):
        parser.error(f"nothing is searched for {', '.join(sorted(unknown))}; there are {', '.join(searched)}")
    benchmark, rows = PublishedSplit(given.folder), list[dict[str, Any]]()
    settings = tuning_settings(benchmark.split, given.trials, given.seconds)
    for model in models:
        for loss in benchmark.losses(model, given.loss):
            found = Study(model, loss, study(settings, model, loss, benchmark.data, benchmark.validation))
            if not found.trials:
                print(f"{model} {loss}: not made for {benchmark.parts.items:,} items, or no trials asked for")
                continue
            for row in found.rows():
                rows.append({"split": benchmark.split, **row})
                print(f"{model} {loss} {row['trial']:>3} {row['validation_ndcg']:.4f} {row['epochs']:>4} epochs "
                      f"{row['seconds']:7.1f} s {row['ended']:<9} {row['values']}", flush=True)  # fmt: skip
            if given.write:
                keep(benchmark.split, found)
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
