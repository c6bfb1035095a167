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

from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from benchmarks.mmrec import GRAPHS, judge_of, new_model, read_split
from benchmarks.tuned import tuned
from models.config import RecommenderConfig, TrainerConfig
from models.ranking import CUTOFFS
from models.recommender import Recommender
from models.trainer import train

CPU = torch.device("cpu")
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


def epoch_seconds(parts: Parts) -> tuple[Recommender, tuple[float, float]]:
    """A model after some epochs of BPR, and what one of them took."""
    model = new_model(parts, RecommenderConfig.model_validate({"layers": 2}), seed=0)
    moments = [now()]
    config = TrainerConfig.model_validate({"max_epochs": EPOCHS, "evaluate_every": EPOCHS + 1, "batch_size": 2048})
    train(model, *parts.pairs(TRAIN), config, CPU, lambda *_: 0.0, lambda: moments.append(now()))
    return model, least([tuple(after - before) for before, after in pairwise(moments)])


def judging_seconds(parts: Parts, model: Recommender, cutoffs: tuple[int, ...]) -> tuple[float, float]:
    """What ranking the test split and all metrics of it took."""
    judge = judge_of(parts, TEST, "dot", cutoffs)
    vectors = model.vectors()
    return least([tuple(timed(lambda: judge(*vectors))) for _ in range(REPEATS)])


def timed(work: Callable[[], object]) -> np.ndarray:
    started = now()
    work()
    return now() - started


def quality_seconds(parts: Parts, graph: str, recall: float) -> tuple[np.ndarray | None, int]:
    """Time until validation Recall@20 is `recall`, none if it never is, and epochs till then."""
    settings = tuned(graph, "lightgcn", "softmax")
    model = new_model(parts, settings.recommender, seed=0)
    judge = judge_of(parts, VALIDATION, settings.recommender.score)
    epochs: list[None] = []

    def validate(user_vectors: np.ndarray, item_vectors: np.ndarray) -> float:
        found = judge(user_vectors, item_vectors)
        if found["recall", 20] >= recall:
            raise GoodEnough
        return found["ndcg", 20]

    started = now()
    try:
        train(model, *parts.pairs(TRAIN), settings.trainer, CPU, validate, lambda: epochs.append(None))
    except GoodEnough:
        return now() - started, len(epochs)
    return None, len(epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--graph", default="baby", help="a folder below --folder")
    parser.add_argument("--folder", type=Path, default=GRAPHS)
    parser.add_argument("--recall", type=float, default=0.0830, help="validation Recall@20 to be reached")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts = read_split(given.folder / given.graph)
    model, epoch = epoch_seconds(parts)
    figures = {
        "epoch": epoch,
        "eval": judging_seconds(parts, model, CUTOFFS),
        "eval_20": judging_seconds(parts, model, (20,)),
    }
    quality, epochs = quality_seconds(parts, given.graph, given.recall)
    if quality is not None:
        figures["to_quality"] = tuple(quality)
    print(f"{given.graph}: {parts.users:,} users, {parts.items:,} items; {epochs} epochs to the quality asked")
    print(f"{'':<12} {'seconds':>9} {'processor':>10}")
    for what, (wall, processor) in figures.items():
        print(f"{what:<12} {wall:>9.3f} {processor:>10.3f}")
    keys = {f"{what}_s": round(float(wall), 3) for what, (wall, _) in figures.items()}
    keys |= {f"{what}_cpu_s": round(float(processor), 3) for what, (_, processor) in figures.items()}
    peak_rss_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps({"to_quality_s": None, **keys, "peak_rss_mb": peak_rss_mb}))


if __name__ == "__main__":
    main()
