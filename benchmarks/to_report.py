"""What a whole dataset costs, from the raw dump to the report: `python -m benchmarks.to_report --dataset sample`.

The run is `dagster asset materialize` as a user calls it, in processes of its own. For every asset it gives seconds of
the wall clock, processor seconds, and how many cores that keeps busy; and the memory of all processes together at its
peak, what they share counted once. `--data` names a data root that is kept, to measure what a second run costs, or one
that has vectors already; without it everything is made anew below a temporary folder.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from storage.artifacts.data_root import DataRoot
from storage.environment import PROJECT_ROOT
from storage.errors import InputError

EVERY_S = 0.25
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """The processor seconds and the memory of a process and all that it begins, sampled while it lives.

    Attributes:
        times, processor: seconds since the epoch, and the processor seconds until then; peak_bytes: of memory.
    """

    pid: int
    times: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    def sample(self) -> None:
        found = processes_of(self.pid)
        self.times.append(time.time())
        self.processor.append(max(sum(map(seconds_of, found)), self.processor[-1] if self.processor else 0.0))
        self.peak_bytes = max(self.peak_bytes, sum(map(resident_of, found)))

    def follow(self, ended: Event) -> None:
        while not ended.wait(EVERY_S):
            self.sample()

    def between(self, start: float, end: float) -> float:
        """Processor seconds between two moments."""
        places = (min(bisect_left(self.times, moment), len(self.times) - 1) for moment in (start, end))
        first, last = (self.processor[place] for place in places)
        return max(0.0, last - first)


def processes_of(pid: int) -> list[int]:
    """A process and everything that it has begun, as far as it lives."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def seconds_of(pid: int) -> float:
    """Processor seconds of a process, with those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_A_SECOND


def resident_of(pid: int) -> int:
    """Memory of a process in bytes; of what several share, each has its part."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, Watch]:
    """Seconds of a command, and what was seen of it; its output is passed on.

    Raises:
        SystemExit: the command fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=sys.stderr)
    watch, ended = Watch(process.pid), Event()
    follower = Thread(target=watch.follow, args=(ended,), daemon=True)
    follower.start()
    status = process.wait()
    ended.set()
    follower.join()
    if status:
        raise SystemExit(f"the run ended with status {status}")
    return time.perf_counter() - started, watch


def stages(root: DataRoot, dataset: str, since: float, watch: Watch) -> dict[str, dict[str, float]]:
    """What every asset took that was made since a moment, in the order of their end."""
    made = []
    for path in root.root.glob(f"*/{dataset}.manifest.json"):
        try:
            manifest = root.find_manifest(path.parent.name, dataset)
        except InputError:
            continue
        if manifest and manifest.made_at / 1000 >= since:
            made.append(manifest)
    found = {}
    for manifest in sorted(made, key=lambda one: one.made_at):
        end = manifest.made_at / 1000
        processor = watch.between(end - manifest.seconds, end)
        cores = processor / manifest.seconds if manifest.seconds > 1 else 0.0
        found[manifest.asset] = {
            "seconds": round(manifest.seconds, 2), "cpu_seconds": round(processor, 2), "cores": round(cores, 2),
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", default="sample")
    parser.add_argument("--select", default="*report", help="the assets, as on Dagster's command line")
    parser.add_argument("--data", type=Path, help="a data root that is kept; by default one that is made for this")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data, home = given.data or Path(name) / "data", Path(name) / "home"
        home.mkdir()
        (home / "dagster.yaml").write_bytes((PROJECT_ROOT / "deploy" / "dagster.yaml").read_bytes())
        environment = os.environ | {"REC_DATA": str(data), "DAGSTER_HOME": str(home), "GOMP_SPINCOUNT": "1000"}
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "pipeline.definitions"]
        began, load = time.time(), os.getloadavg()[0]
        seconds, watch = measure([*command, "--select", given.select, "--partition", given.dataset], environment)
        found = stages(DataRoot(data), given.dataset, began, watch)
    print(f"{'asset':<24} {'seconds':>9} {'processor':>10} {'cores':>6}")
    for asset, one in sorted(found.items(), key=lambda pair: -pair[1]["seconds"]):
        print(f"{asset:<24} {one['seconds']:>9.2f} {one['cpu_seconds']:>10.2f} {one['cores']:>6.2f}")
    processor = watch.processor[-1]
    figures: dict[str, Any] = {
        "dataset": given.dataset, "select": given.select, "seconds": round(seconds, 1),
        "cpu_seconds": round(processor, 1), "cores": round(processor / seconds, 2), "of_cores": os.cpu_count(),
        "peak_mb": round(watch.peak_bytes / 2**20), "load_before": round(load, 2), "stages": found,
    }  # fmt: skip
    print(f"{seconds:,.0f} s, {figures['cores']} cores, {figures['peak_mb']:,} MB at peak")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
