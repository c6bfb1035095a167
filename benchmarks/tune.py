"""Searches settings on a published split, without its test part: the same trials and epochs for every model.

`python -m benchmarks.tune --folder FOLDER --models lightgcn --loss softmax`; `--write` keeps what was best in
`tuned.json`, which `benchmarks.literature` trains with.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from assets.core.settings import ModelSettings
from assets.training.jobs import Shared
from assets.training.search import Study, grid, plan_search
from assets.training.side_by_side import run_here, trainings_at_once
from benchmarks.published_split import PublishedSplit
from benchmarks.tuned import FILE, search_settings, shipped
from models.config import LOSSES, Loss
from models.model_spec import LEARNED, NAMES
from models.training.search_spaces import COUNTED_SPACES


def keep(split: str, found: Study) -> None:
    """Put what was best into tuned.json."""
    every: dict[str, Any] = json.loads(FILE.read_text())
    values = found.best.values
    every.setdefault(split, {"training": shipped(split)["training"], "models": {}})
    every[split]["models"].setdefault(found.model, {})[found.loss] = values
    FILE.write_text(json.dumps(every, indent=1, sort_keys=True) + "\n")


def studies(benchmark: PublishedSplit, settings: ModelSettings, model: str, losses: Iterable[str]) -> list[Study]:
    """The searches for a model, side by side where it is learned."""
    if model in COUNTED_SPACES:
        return [grid(settings, model, benchmark.validation)]
    shared = Shared(model, benchmark.data, benchmark.validation)
    at_once = trainings_at_once(None, settings.device, settings.threads, settings.dim, benchmark.data)
    with TemporaryDirectory() as name:
        folder = Path(name)

        def plans() -> dict[str, Any]:
            return {loss: plan_search(settings, model, cast(Loss, loss), folder) for loss in losses}

        *_, found = run_here(plans, shared, at_once, folder)
    assert found is not None
    return [study for study, _ in found.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--models", default="lightgcn", help="names with commas between them")
    parser.add_argument("--loss", choices=[*LOSSES, "both"], default="both")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--write", action="store_true", help="keep what was best in tuned.json")
    given = parser.parse_args()
    models, searched = given.models.split(","), [name for name in NAMES if name in LEARNED or name in COUNTED_SPACES]
    if unknown := set(models) - set(searched):
        parser.error(f"nothing is searched for {', '.join(sorted(unknown))}; there are {', '.join(searched)}")
    benchmark, rows = PublishedSplit(given.folder), list[dict[str, Any]]()
    settings = search_settings(benchmark.split, given.trials)
    for model in models:
        for found in studies(benchmark, settings, model, benchmark.losses(model, given.loss)):
            for row, seconds in zip(found.rows(), found.seconds, strict=True):
                rows.append({"split": benchmark.split, **row, "seconds": seconds})
                print(f"{model} {found.loss} {row['trial']:>3} {row['validation_ndcg']:.4f} {row['epochs']:>4} epochs "
                      f"{seconds:7.1f} s {row['ended']:<9} {row['values']}", flush=True)  # fmt: skip
            if given.write:
                keep(benchmark.split, found)
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
