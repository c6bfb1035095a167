"""A big graph for real: `python -m benchmarks.big_graph`: 20 M interactions of 2 M users with 300 k items, d = 64.

In one process, by the project's own code: the graph is built, an epoch of LightGCN begins as the trainer begins it (two
layers, softmax with 512 shared negatives, batches of 2048) and ends after its first steps, and 20,000 users of the test
split are judged at K = 20 and 50. The interactions are made in a process of their own. It fails above 12 GB resident.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assets.interactions.splits import TEST, TRAIN, random_split
from assets.training.held_out import HeldOut
from benchmarks.measuring import in_own_process, now, resident_mb
from benchmarks.stages import CUTOFFS, graph_of, lightgcn, read_parts, seconds_of_steps
from benchmarks.synthetic import power_law_pairs
from models.fitting import TrainSet, new_model
from models.ranking import Vectors

LIMIT_MB = 12_000


def make(interactions: int, users: int, items: int, folder: Path) -> None:
    """Write the parts of a seeded graph."""
    user, item = power_law_pairs(interactions, users, items)
    np.save(folder / "parts.npy", np.stack([user, item, random_split(user, 0)]).astype(np.int32))


def measured(folder: Path, steps: int, judged: int, threads: int) -> dict[str, Any]:
    """Seconds and the peak of resident memory after each part of the work."""
    torch.set_num_threads(threads)
    found: dict[str, Any] = {"imports_mb": round(resident_mb())}
    parts = read_parts(folder)
    started = now()
    data = TrainSet(*parts.pairs(TRAIN), parts.users, parts.items, graph_of(parts))
    found |= told("graph", now() - started)
    made_of, training = lightgcn(threads)
    taken = seconds_of_steps(made_of, training, data, steps)
    found |= told("steps", taken.sum(axis=0)) | {"step_s": round(float(np.median(taken[:, 0])), 3)}
    found["step_cpu_s"] = round(float(np.median(taken[:, 1])), 3)
    started = now()
    user, item = new_model(made_of, data, training.seed).vectors()  # weights cost the same whatever they are
    found |= told("vectors", now() - started)
    started = now()
    test = HeldOut.of(parts, TEST)
    some = replace(test, users=test.users[:judged])
    metrics = some.metrics(Vectors(user, item, "cosine"), CUTOFFS)
    assert len(metrics["recall", max(CUTOFFS)]) == judged
    return found | told("evaluation", now() - started) | {"train": len(data.user)}


def told(what: str, seconds: np.ndarray) -> dict[str, float]:
    """What a part took and the peak until its end, printed."""
    peak = resident_mb("VmHWM")
    print(f"{what:<11} {seconds[0]:>9.1f} s {seconds[1]:>9.1f} s of processors {peak:>8,.0f} MB", flush=True)
    return {f"{what}_s": round(float(seconds[0]), 2), f"{what}_cpu_s": round(float(seconds[1]), 2), f"{what}_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--interactions", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=2_000_000)
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--judged", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        in_own_process(make, given.interactions, given.users, given.items, Path(name))
        load = os.getloadavg()[0]
        found = in_own_process(measured, Path(name), given.steps, given.judged, given.threads)
    peak = found["evaluation_mb"]
    about = {"peak_rss_mb": round(peak), "within_12gb": peak <= LIMIT_MB}
    loads = {"load_before": round(load, 2), "load_after": round(os.getloadavg()[0], 2)}
    print(json.dumps(vars(given) | found | about | loads))
    if peak > LIMIT_MB:
        sys.exit(f"{peak:,.0f} MB are resident at the peak, and {LIMIT_MB:,} are allowed")


if __name__ == "__main__":
    main()
