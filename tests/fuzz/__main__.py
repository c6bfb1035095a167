"""The long run: python -m tests.fuzz [--inputs 200000] [--seed 0] [--only NAME]

Prints a line a target, every finding, and one JSON object as its last line. Each target gets as many inputs.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.fuzz.pictures import pictures
from tests.fuzz.readers import READERS
from tests.fuzz.search import Finding, Target, search

KEPT = 5  # findings of a target


def run(target: Target, count: int, seed: int, folder: Path) -> tuple[dict[str, Any], list[Finding]]:
    """What came of `count` inputs for a target."""
    started, done, found = time.perf_counter(), 0, []
    for inputs, finding in search(target, count, seed, folder):
        done += inputs
        if finding is not None:
            found.append(finding)
        if len(found) == KEPT:
            break
    seconds = time.perf_counter() - started
    row = {"target": target.name, "inputs": done, "findings": len(found), "seconds": round(seconds, 1)}
    row["came_of_it"] = dict(target.came_of_it)
    return row, found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    targets: list[Any] = [target for target in (*READERS, pictures()) if given.only in target.name]
    rows, findings = [], []
    in_memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # every batch is a file
    with TemporaryDirectory(dir=in_memory) as folder:
        for target in targets:
            row, found = run(target, given.inputs // len(targets), given.seed, Path(folder))
            rows.append(row)
            findings += found
            told = ", ".join(f"{count:,} {what}" for what, count in sorted(target.came_of_it.items()))
            print(
                f"{target.name:<24}{row['inputs']:>8,} inputs {row['seconds']:>8.1f} s  {len(found)} findings ({told})"
            )
            for one in found:
                print(f"    {one.error}\n    {one.shown()['inputs']}", flush=True)
    total = sum(row["inputs"] for row in rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    shown = [one.shown() for one in findings]
    print(json.dumps({"inputs": total, "seed": given.seed, "peak_mb": peak, "targets": rows, "findings": shown}))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
