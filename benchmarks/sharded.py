"""What training shared by embedding dimension costs: `python -m benchmarks.sharded --graph baby`.

Measured on a published split, batch 2048, d = 64, 512 shared negatives, with one, two and four processes of one thread
each: a training step (the wall clock of the fastest of some epochs, over its steps), a full ranking of the test split
(by NDCG@20), and the bytes that a process puts into the exchange of a step. Beside them stand 4·B·(N + 1), the formula
for the scores, and nodes · d · 4, the gradients that data-parallel training would exchange. More processes than free
cores wait for each other, and their seconds mean nothing.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from assets.training.held_out import HeldOut
from benchmarks.mmrec import GRAPHS
from benchmarks.published_split import PublishedSplit
from models.config import LOSSES, RecommenderConfig, TrainerConfig
from models.distributed.launching import start_processes
from models.distributed.process_group import ProcessGroup
from models.model_spec import LEARNED
from models.ranking.ranking import Vectors
from models.training.build_and_fit import TrainSet, fit
from models.training.single_process import SingleProcess

EPOCHS = 4


def work(
    group: SingleProcess,
    recommender: RecommenderConfig,
    config: TrainerConfig,
    data: TrainSet,
    test: HeldOut,
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Train for some epochs and rank once, as one of a group; NDCG@20, and the seconds of the ranking."""
    found = [0.0, 0.0]

    def validate(user_vectors: Any, item_vectors: Any) -> float:
        started = time.perf_counter()
        found[0] = test.ndcg(Vectors(user_vectors, item_vectors, recommender.score), group)
        found[1] = time.perf_counter() - started
        return found[0]

    fit(recommender, config, data, validate, on_epoch, group=group)
    return found[0], found[1]


def row_of(benchmark: PublishedSplit, model: str, loss: str, processes: int) -> dict[str, Any]:
    """One line of the table."""
    given = {"loss": loss, "max_epochs": EPOCHS, "evaluate_every": EPOCHS, "batch_size": 2048, "device": "cpu"}
    recommender, config = RecommenderConfig.model_validate(LEARNED[model].fixed), TrainerConfig.model_validate(given)
    task, moments = (recommender, config, benchmark.data, benchmark.test), [0.0]
    with start_processes(processes, work, *task) as group:
        moments[0] = time.perf_counter()
        ndcg, ranking_s = work(group, *task, lambda: moments.append(time.perf_counter()))
        sent = group.sent if isinstance(group, ProcessGroup) else {}
    pairs = len(benchmark.data.user)
    steps = -(-pairs // config.pairs_a_step(pairs))
    negatives = config.shared_negatives if loss == "softmax" else 0  # BPR: one difference of scores a pair
    exchanged = {what: round(sent[what] / (steps * EPOCHS)) for what in ProcessGroup.IN_A_STEP if what in sent}
    scores = exchanged.get("scores", 0) + exchanged.get("positive_scores", 0)
    return {
        "model": model,
        "loss": loss,
        "processes": processes,
        "step_ms": round(1000 * min(after - before for before, after in pairwise(moments)) / steps, 2),
        "ranking_s": round(ranking_s, 3),
        "ndcg@20": round(ndcg, 6),
        "bytes_scores": scores,
        "bytes_formula": round(4 * pairs / steps * (negatives + 1)) if sent else 0,
        "bytes_norms": exchanged.get("squared_norms", 0),
        "bytes_gradients": exchanged.get("gradients", 0),
        "bytes_penalty": exchanged.get("penalty", 0),
        "bytes_data_parallel": 4 * recommender.dim * (benchmark.data.users + benchmark.data.items),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--graph", default="baby", help="a folder below --folder")
    parser.add_argument("--folder", type=Path, default=GRAPHS)
    parser.add_argument("--model", default="lightgcn", choices=LEARNED)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    torch.set_num_threads(1)
    benchmark = PublishedSplit(given.folder / given.graph, with_content=LEARNED[given.model].content)
    print(
        f"{given.graph}: {benchmark.parts.users:,} users, {benchmark.parts.items:,} items; "
        f"{len(benchmark.data.user):,} train pairs"
    )
    print(f"{os.cpu_count()} cores, 1-minute load {os.getloadavg()[0]:.1f} at the start")
    rows = [row_of(benchmark, given.model, loss, processes) for loss in LOSSES for processes in given.processes]
    shown = [name for name in rows[0] if name != "model"]
    print(" ".join(f"{name.removeprefix('bytes_'):>13}" for name in shown))
    for row in rows:
        print(" ".join(f"{row[name] if isinstance(row[name], str) else format(row[name], ','):>13}" for name in shown))
    print(json.dumps({"graph": given.graph, "cores": os.cpu_count(), "rows": rows}))


if __name__ == "__main__":
    main()
