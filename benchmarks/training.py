"""What training and judging LightGCN cost on one core: `python -m benchmarks.training --graph baby`.

Measured on a published split, batch 2048, d = 64, two layers: an epoch of BPR, a full ranking of the test split with
every metric and K up to 50, and the time, judging included, until a look at validation shows the asked Recall@20 with
the settings of `benchmarks.tuned`. Seconds are of the wall clock, the least of some repeats; seconds of the processor
stand beside them, since a core that is shared with others makes the former mean little.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from benchmarks.mmrec import GRAPHS
from benchmarks.published_split import PublishedSplit
from benchmarks.tuned import settings_of
from models.config import RecommenderConfig, TrainerConfig
from models.ranking.ranking import CUTOFFS, Vectors
from models.recommenders.recommender import VectorModel
from models.training.build_and_fit import fit

REPEATS = 3
EPOCHS = 4


class GoodEnough(Exception):  # noqa: N818
    """Validation is as good as was asked for."""


def least(seconds: list[tuple[float, float]]) -> tuple[float, float]:
    """The least wall-clock seconds and the least seconds of the processor."""
    wall, processor = zip(*seconds, strict=True)
    return min(wall), min(processor)


def now() -> np.ndarray:
    """Wall clock and processor, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def epoch_seconds(benchmark: PublishedSplit, device: str) -> tuple[VectorModel, tuple[float, float]]:
    """A model after some epochs of BPR, and what one of them took."""
    moments = [now()]
    given = {"max_epochs": EPOCHS, "evaluate_every": EPOCHS + 1, "batch_size": 2048, "device": device}
    recommender, config = RecommenderConfig.model_validate({"layers": 2}), TrainerConfig.model_validate(given)
    model, _ = fit(recommender, config, benchmark.data, lambda *_: 0.0, lambda: moments.append(now()))
    return model, least([tuple(after - before) for before, after in pairwise(moments)])


def judging_seconds(benchmark: PublishedSplit, model: VectorModel, cutoffs: tuple[int, ...]) -> tuple[float, float]:
    """What ranking the test split and all metrics of it took."""
    scorer, test = Vectors(*model.vectors()), benchmark.test
    return least([tuple(timed(lambda: test.metrics(scorer, cutoffs))) for _ in range(REPEATS)])


def timed(work: Callable[[], object]) -> np.ndarray:
    started = now()
    work()
    return now() - started


def quality_seconds(benchmark: PublishedSplit, recall: float, device: str) -> tuple[np.ndarray | None, int]:
    """Time until validation Recall@20 is `recall`, none if it never is, and epochs till then."""
    recommender, training = settings_of(benchmark.split, "lightgcn", "softmax")
    validation = benchmark.validation
    epochs: list[None] = []

    def validate(user_vectors: np.ndarray, item_vectors: np.ndarray) -> float:
        found = validation.metrics(Vectors(user_vectors, item_vectors, recommender.score), (20,))
        if found["recall", 20].mean() >= recall:
            raise GoodEnough
        return float(found["ndcg", 20].mean())

    started = now()
    try:
        fit(
            recommender,
            training.model_copy(update={"device": device}),
            benchmark.data,
            validate,
            lambda: epochs.append(None),
        )
    except GoodEnough:
        return now() - started, len(epochs)
    return None, len(epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--graph", default="baby", help="a folder below --folder")
    parser.add_argument("--folder", type=Path, default=GRAPHS)
    parser.add_argument("--recall", type=float, default=0.0830, help="validation Recall@20 to be reached")
    parser.add_argument("--device", default="cpu", help="that trains; judging is the processor's")
    given = parser.parse_args()
    torch.set_num_threads(1)
    benchmark = PublishedSplit(given.folder / given.graph)
    model, epoch = epoch_seconds(benchmark, given.device)
    figures = {
        "epoch": epoch,
        "eval": judging_seconds(benchmark, model, CUTOFFS),
        "eval_20": judging_seconds(benchmark, model, (20,)),
    }
    quality, epochs = quality_seconds(benchmark, given.recall, given.device)
    if quality is not None:
        figures["to_quality"] = tuple(quality)
    print(
        f"{given.graph}: {benchmark.parts.users:,} users, {benchmark.parts.items:,} items; "
        f"{epochs} epochs to the quality asked"
    )
    print(f"{'':<12} {'seconds':>9} {'processor':>10}")
    for what, (wall, processor) in figures.items():
        print(f"{what:<12} {wall:>9.3f} {processor:>10.3f}")
    keys = {f"{what}_s": round(float(wall), 3) for what, (wall, _) in figures.items()}
    keys |= {f"{what}_cpu_s": round(float(processor), 3) for what, (_, processor) in figures.items()}
    peak_rss_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps({"to_quality_s": None, **keys, "peak_rss_mb": peak_rss_mb}))


if __name__ == "__main__":
    main()
