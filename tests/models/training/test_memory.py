"""Memory is kept while asked for, and given back after; each in a process whose memory nothing else has touched."""

import ctypes
import resource
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import RecommenderConfig, TrainerConfig
from models.recommenders.propagation import normalised_adjacency
from models.training import build_and_fit
from models.training.memory import MMAP_THRESHOLD, keep_memory

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")]


def least_faults_of_an_epoch() -> int:
    """Page faults of the best of some epochs of LightGCN over 40,000 nodes."""
    pairs = np.unique(np.random.default_rng(0).integers(0, 20_000, (10_000, 2)), axis=0).T
    adjacency = normalised_adjacency(pairs[0], pairs[1], 20_000, 20_000)
    data = build_and_fit.TrainSet(pairs[0], pairs[1], 20_000, 20_000, adjacency)
    seen: list[int] = []
    config = TrainerConfig(max_epochs=8, evaluate_every=9)
    faults = lambda: seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)  # noqa: E731
    build_and_fit.fit(RecommenderConfig(), config, data, lambda *_: 0.0, faults)
    return int(np.diff(seen).min())


def not_kept() -> int:
    """The same where arrays above 128 KiB go back at once: glibc moves that threshold by itself, sooner or later."""
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 2**17)
    build_and_fit.keep_memory = nullcontext  # type: ignore[assignment]
    return least_faults_of_an_epoch()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def given_back() -> int:
    """Bytes that go back to the system when 320 MiB were used."""
    with keep_memory():
        arrays = [torch.ones(4 * 2**20) for _ in range(20)]
        held = resident_bytes()
        del arrays
    return held - resident_bytes()


def of_own_process(what: str) -> int:
    done = subprocess.run([sys.executable, __file__, what], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_training_step_takes_the_pages_of_the_one_before() -> None:
    assert of_own_process("least_faults_of_an_epoch") < of_own_process("not_kept") / 10


def test_memory_goes_back_to_the_system_at_the_end() -> None:
    assert of_own_process("given_back") > 200 * 2**20


if __name__ == "__main__":
    print(globals()[sys.argv[1]]())
