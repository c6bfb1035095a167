"""Memory is kept while asked for, and given back after."""

import resource
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import RecommenderConfig, TrainerConfig
from models.fitting import TrainSet, fit
from models.memory import kept_memory
from models.propagation import normalised_adjacency

LARGE = 4 * 2**20  # floats: 16 MiB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def faults_of_an_epoch(monkeypatch: pytest.MonkeyPatch | None) -> int:
    """Page faults of an epoch of LightGCN over 40,000 nodes, once it has its memory; patched: without keeping it."""
    if monkeypatch:
        monkeypatch.setattr("models.fitting.kept_memory", nullcontext)
    pairs = np.unique(np.random.default_rng(0).integers(0, 20_000, (40_000, 2)), axis=0).T
    adjacency = normalised_adjacency(pairs[0], pairs[1], 20_000, 20_000)
    data = TrainSet(pairs[0], pairs[1], 20_000, 20_000, adjacency)
    seen: list[int] = []
    config = TrainerConfig(max_epochs=4, evaluate_every=5)
    fit(RecommenderConfig(), config, data, lambda *_: 0.0, lambda: seen.append(faults()))
    return seen[-1] - seen[-2]


def test_a_training_step_takes_the_pages_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = faults_of_an_epoch(None)
    assert kept < faults_of_an_epoch(monkeypatch) / 3


def test_memory_goes_back_to_the_system_at_the_end() -> None:
    with kept_memory():
        arrays = [torch.ones(LARGE) for _ in range(20)]
        held = resident_bytes()
        del arrays
    assert held - resident_bytes() > 200 * 2**20  # of 320 MiB
