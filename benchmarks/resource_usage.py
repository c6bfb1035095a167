"""What a piece of work costs in a process of its own, and how that grows with the size of the work."""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Cost:
    """Seconds of the wall clock and of the processor; MB of resident memory at peak, less those of the imports."""

    seconds: float
    cpu_seconds: float
    rss_mb: float


def resident_mb(what: str = "VmRSS") -> float:
    """Resident memory of this process now, or with "VmHWM" at its peak, in MB (2^20 bytes).

    Not `resource.getrusage`: its peak outlives an exec, so that a child begins with that of its parent.
    """
    found = re.search(rf"^{what}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def now() -> np.ndarray:
    """Wall clock and processor, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def timed(work: Callable[[], object]) -> np.ndarray:
    """What a piece of work took, as `now` counts."""
    started = now()
    work()
    return now() - started


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a module's function in a fresh process. It ends by itself: it may have been begun with SIGTERM ignored."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def cost(measure: Callable[[Path], np.ndarray], folder: Path) -> Cost:
    """To be called in a fresh process: `measure` reads its input from `folder` and says what its work took.

    The input counts to the memory: the work needs it there.
    """
    imports_mb = resident_mb()
    seconds = measure(folder)
    return Cost(float(seconds[0]), float(seconds[1]), resident_mb("VmHWM") - imports_mb)


def median_cost(costs: Sequence[Cost]) -> Cost:
    """The median of each part."""
    return Cost(*(median(part) for part in zip(*((c.seconds, c.cpu_seconds, c.rss_mb) for c in costs), strict=True)))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The p of value = c · size^p that fits best, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
