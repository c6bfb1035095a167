"""How what each stage costs grows with the size of its input: `python -m benchmarks.scale.growth`.

Every stage is measured at 1×, 4× and 16× of a synthetic input, by the project's own functions on one thread, each size
in fresh processes. Its exponent is the p of cost = c · size^p that fits best: of the seconds of the processor, which a
busy machine moves least, and of the resident memory at peak beyond what the imports take, inputs included. Full
ranking and exact neighbours compare everything with everything, so they are given for a million scores as well.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.resource_usage import Cost, cost, exponent, in_own_process, median_cost
from benchmarks.scale.stages import STAGES, Stage

TIMES = (1, 4, 16)


def measured(stage: Stage, size: int, repeats: int) -> Cost:
    """The medians of some fresh processes."""
    with tempfile.TemporaryDirectory() as name:
        in_own_process(stage.make, size, Path(name))
        return median_cost([in_own_process(cost, stage.measure, Path(name)) for _ in range(repeats)])


def grown(stage: Stage, times: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """What a stage costs at every size, printed as it comes, and its exponents."""
    sizes, costs = [stage.once * factor for factor in times], []
    for size in sizes:
        costs.append(measured(stage, size, repeats))
        last = costs[-1]
        print(f"{stage.name:<17} {size:>11,} {last.seconds:>9.3f} {last.cpu_seconds:>9.3f} {last.rss_mb:>9,.0f}")
    found: dict[str, Any] = {
        "exponent_time": round(exponent(sizes, [one.cpu_seconds for one in costs]), 3),
        "exponent_memory": round(exponent(sizes, [one.rss_mb for one in costs]), 3),
        "size": stage.unit,
        "sizes": sizes,
        "seconds": [round(one.seconds, 3) for one in costs],
        "cpu_seconds": [round(one.cpu_seconds, 3) for one in costs],
        "rss_mb": [round(one.rss_mb) for one in costs],
    }
    if stage.scores:
        millions = stage.scores(sizes[-1]) / 1e6
        found["cpu_seconds_a_million_scores"] = round(costs[-1].cpu_seconds / millions, 5)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stages", default=",".join(stage.name for stage in STAGES))
    parser.add_argument("--times", default=",".join(map(str, TIMES)), help="multiples of the size of each stage")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    chosen, times = given.stages.split(","), tuple(int(factor) for factor in given.times.split(","))
    unknown = set(chosen) - {stage.name for stage in STAGES}
    if unknown:
        parser.error(f"no stage is called {', '.join(sorted(unknown))}")
    load = os.getloadavg()[0]
    print(f"{'stage':<17} {'size':>11} {'seconds':>9} {'processor':>9} {'MB':>9}")
    stages = {stage.name: grown(stage, times, given.repeats) for stage in STAGES if stage.name in chosen}
    print(f"\n{'stage':<17} {'time':>6} {'memory':>7}   exponents; size is")
    for name, found in stages.items():
        per_million = found.get("cpu_seconds_a_million_scores")
        tail = f"; {per_million * 1e3:.2f} ms a million scores" if per_million else ""
        print(f"{name:<17} {found['exponent_time']:>6.2f} {found['exponent_memory']:>7.2f}   {found['size']}{tail}")
    print(json.dumps({"stages": stages, "load_before": round(load, 2), "load_after": round(os.getloadavg()[0], 2)}))


if __name__ == "__main__":
    main()
