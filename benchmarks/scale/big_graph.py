"""A graph as big as a large category's core, for real: `python -m benchmarks.scale.big_graph`.

20 M interactions of 2 M users with 300 k items, synthetic: drawn, split, made a graph, trained on by the project's own
trainer for the first steps of an epoch of LightGCN (two layers, d = 64, softmax with 512 shared negatives, batches of
2,048), and what those steps made judged on users of test by a full ranking. All of it happens in one process, whose
resident memory must stay below 12 GB.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from assets.interactions.splits import TEST, TRAIN, Parts, random_split
from assets.training.held_out import HeldOut
from benchmarks.resource_usage import now, resident_mb
from benchmarks.scale.stages import graph_of, lightgcn, seconds_of_steps
from benchmarks.scale.synthetic import power_law_pairs
from models.config import RecommenderConfig, TrainerConfig
from models.ranking.ranking import CUTOFFS, Vectors
from models.recommenders.propagation import Propagation
from models.training.build_and_fit import TrainSet

INTERACTIONS, USERS, ITEMS = 20_000_000, 2_000_000, 300_000
ALLOWED_MB = 12 * 1024
STEPS_A_LINE = 10
FORGET_PEAK = "5"  # see proc_pid_clear_refs(5)

T = TypeVar("T")


@dataclass
class Ledger:
    """What every part took: seconds of the wall clock and of the processor, and MB resident at its own peak."""

    parts: dict[str, dict[str, float]] = field(default_factory=dict)

    def enter(self, part: str, work: Callable[[], T]) -> T:
        """Do the work of a part, and write down and print what it took; its inputs count to its memory."""
        Path("/proc/self/clear_refs").write_text(FORGET_PEAK)
        started = now()
        made = work()
        wall, processor = now() - started
        self.parts[part] = {
            "seconds": round(float(wall), 2),
            "cpu_seconds": round(float(processor), 2),
            "peak_rss_mb": round(resident_mb("VmHWM")),
        }
        print(f"{part:<12} {wall:>9.2f} {processor:>9.2f} {self.parts[part]['peak_rss_mb']:>9,}", flush=True)
        return made

    @property
    def peak_rss_mb(self) -> float:
        return max(part["peak_rss_mb"] for part in self.parts.values())


def parts_of(interactions: int, users: int, items: int) -> Parts:
    """Drawn pairs, divided by the random rule."""
    user, item = power_law_pairs(interactions, users, items)
    return Parts(user, item, random_split(user, 0), users, items)


def train_set_of(parts: Parts) -> TrainSet:
    """What the trainer takes, with the graph of train."""
    return TrainSet(*parts.pairs(TRAIN), parts.users, parts.items, graph_of(parts))


def first_steps(
    data: TrainSet, recommender: RecommenderConfig, trainer: TrainerConfig, steps: int
) -> tuple[Vectors, np.ndarray]:
    """The final vectors after the first steps of an epoch, and what every step took as `seconds_of_steps` gives it."""
    tables: list[torch.Tensor] = []
    taken = count(1)

    def keep(optimiser: torch.optim.Optimizer, *_: object) -> None:
        tables[:] = [table.detach() for table in optimiser.param_groups[0]["params"]]
        if (step := next(taken)) in (1, 2) or step % STEPS_A_LINE == 0:
            print(f"step {step:<7} {time.process_time():>19.2f} {resident_mb('VmHWM'):>9,.0f}", flush=True)

    hook = register_optimizer_step_post_hook(keep)
    try:
        took = seconds_of_steps(recommender, trainer, data, steps)
    finally:
        hook.remove()
    nodes = data.users + data.items
    final = Propagation(data.adjacency, nodes, recommender.layers, tables[0].device).everywhere(*tables).cpu().numpy()
    return Vectors(final[: data.users], final[data.users :], recommender.score), took


def evaluate_users(parts: Parts, scorer: Vectors, users: int) -> tuple[int, dict[str, float]]:
    """How many users of test were judged, and the means of all metrics at all cutoffs."""
    test = HeldOut.of(parts, TEST)
    chosen = np.random.default_rng(0).choice(test.users, min(users, len(test.users)), replace=False)
    found = replace(test, users=np.sort(chosen)).metrics(scorer, CUTOFFS)
    return len(chosen), {f"{metric}@{cutoff}": float(by_user.mean()) for (metric, cutoff), by_user in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=float, default=1.0, help="of the full size, users and items too")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=2048, help="pairs of a step")
    parser.add_argument("--users", type=int, default=20_000, help="to be judged")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu", help="that takes the steps; all else is the processor's")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    sizes = [round(full * given.times) for full in (INTERACTIONS, USERS, ITEMS)]
    load, ledger = os.getloadavg()[0], Ledger()
    print(f"{'part':<12} {'seconds':>9} {'processor':>9} {'MB':>9}")
    parts = ledger.enter("inputs", lambda: parts_of(*sizes))
    data = ledger.enter("graph", lambda: train_set_of(parts))
    recommender, trainer = lightgcn(given.threads, given.device)
    trainer = trainer.model_copy(update={"batch_size": given.batch})
    scorer, took = ledger.enter("steps", lambda: first_steps(data, recommender, trainer, given.steps))
    judged_users, metrics = ledger.enter("evaluation", lambda: evaluate_users(parts, scorer, given.users))
    step = {"first": took[0, 0], "median": np.median(took[:, 0]), "least": took[:, 0].min()}
    print(f"a step: median {step['median']:.2f} s, least {step['least']:.2f} s; {judged_users:,} users judged")
    figures: dict[str, Any] = {
        "interactions": sizes[0],
        "users": sizes[1],
        "items": sizes[2],
        "train_pairs": len(data.user),
        "steps": len(took),
        "batch": given.batch,
        "judged_users": judged_users,
        "threads": given.threads,
        "device": given.device,
        "gpu_peak_mb": round(torch.cuda.max_memory_allocated() / 2**20) if torch.cuda.is_initialized() else None,
        "parts": ledger.parts,
        "step_seconds": {name: round(float(value), 3) for name, value in step.items()},
        "step_cpu_seconds": round(float(np.median(took[:, 1])), 3),
        "metrics": {name: round(value, 6) for name, value in metrics.items()},
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "peak_rss_mb": ledger.peak_rss_mb,
        "within_12gb": ledger.peak_rss_mb <= ALLOWED_MB,
    }
    print(json.dumps(figures))
    if not figures["within_12gb"]:
        raise SystemExit(f"{ledger.peak_rss_mb:,.0f} MB were resident at peak; {ALLOWED_MB:,} are allowed")


if __name__ == "__main__":
    main()
