"""Memory is kept while asked for, and given back after."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from models.memory import kept_memory

LARGE = 4 * 2**20  # floats: 16 MiB, which the C library maps anew each time

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_second_array_takes_the_pages_of_the_first() -> None:
    with kept_memory():
        torch.ones(LARGE)
        before = faults()
        for _ in range(10):
            torch.ones(LARGE)
        assert faults() - before < 1000  # of 40,960 pages


def test_memory_goes_back_to_the_system_at_the_end() -> None:
    before = resident_bytes()
    with kept_memory():
        arrays = [torch.ones(LARGE) for _ in range(8)]
        del arrays
        assert resident_bytes() - before > 100 * 2**20
    assert resident_bytes() - before < 40 * 2**20
