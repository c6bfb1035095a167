"""Which processors a model runs on, and how much memory there is."""

import os
import sys
from pathlib import Path

import torch

from models.errors import ModelError


def device_of(name: str) -> torch.device:
    """The device that a setting names; `auto` is a GPU where there is one.

    Raises:
        ModelError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ModelError(f"device is {name!r}, and this machine has none of that name") from None
    return device


def devices_of(name: str) -> list[torch.device]:
    """All devices that a setting names, for work that can be divided: `auto` and `cuda` are every GPU of this machine.

    Raises:
        ModelError: there is no such device here.
    """
    device = device_of(name)
    if device.type != "cuda" or device.index is not None:
        return [device]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def cores() -> int:
    """How many processors this process may use; all of the machine, where a system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes() -> int:
    """Memory of this machine that is available, or of the container that this process is in if that has less.

    Where a system does not tell as Linux does, no limit is known.
    """
    if sys.platform != "linux":
        return sys.maxsize
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free
    return free if limit == "max" else min(free, int(limit) - int(used))
