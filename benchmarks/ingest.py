"""From a raw gzipped dump to the 5-core as Parquet: `python -m benchmarks.ingest --rows 1500000`.

Compared are `gzip -dc` to nowhere (the floor of whoever reads the file), a plain Python loop as public scripts write
it, and the project's path: reviews as Parquet, read again as numbers, core, interactions as Parquet. The project's
path runs in a process of its own, so that its memory is its own; neither side's time has the imports in it.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import pyarrow.parquet as pq

from assets.core.settings import CoreSettings
from assets.interactions.build_core import core_interactions
from benchmarks.dump import write_dump
from benchmarks.resource_usage import in_own_process, resident_mb
from storage.artifacts.tables import read_coded_reviews, write_table
from storage.raw.amazon import read_reviews
from storage.raw.rejects import Rejects

CORE = 5
REPEATS = 3

Result = TypeVar("Result")
Row = tuple[str, str, float, int]


def floor(dump: Path) -> None:
    """Inflate the file and look at nothing."""
    subprocess.run(["gzip", "-dc", dump], stdout=subprocess.DEVNULL, check=True)


def naive(dump: Path) -> list[Row]:
    """Parse every line, keep the earliest review of a pair in a dictionary, filter until nothing changes."""
    earliest: dict[tuple[str, str], tuple[float, int]] = {}
    with gzip.open(dump, "rt") as file:
        for line in file:
            review = json.loads(line)
            pair = (review["user_id"], review["parent_asin"])
            if pair not in earliest or review["timestamp"] < earliest[pair][1]:
                earliest[pair] = (review["rating"], review["timestamp"])
    rows = [(*pair, *rest) for pair, rest in earliest.items()]
    while True:
        users, items = Counter(row[0] for row in rows), Counter(row[1] for row in rows)
        left = [row for row in rows if users[row[0]] >= CORE and items[row[1]] >= CORE]
        if len(left) == len(rows):
            break
        rows = left
    return sorted(rows)


def ours(dump: Path, folder: Path) -> tuple[Path, float]:
    """The assets `reviews` and `interactions`, without Dagster around them, and MB at peak of the former."""
    reviews, interactions = folder / "reviews.parquet", folder / "interactions.parquet"
    write_table(reviews, "reviews", read_reviews(dump, "amazon2023", Rejects()))
    reading_mb = resident_mb("VmHWM")
    core = core_interactions(
        read_coded_reviews(reviews), CoreSettings.model_validate({"user_core": CORE, "item_core": CORE})
    )
    write_table(interactions, "interactions", core.stream())
    return interactions, reading_mb


def timed(function: Callable[..., Result], *arguments: Path) -> tuple[float, Result]:
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def measured_ours(dump: Path, folder: Path) -> tuple[float, Path, float, float]:
    """Seconds, the table, and MB at peak of a process that does nothing else: while it reads, and in all."""
    seconds, (table, reading_mb) = timed(ours, dump, folder)
    return seconds, table, reading_mb, resident_mb("VmHWM")


def same_rows(table: Path, expected: list[Row]) -> bool:
    columns = pq.read_table(table, columns=["user_id", "item_id", "rating", "timestamp"]).to_pydict().values()
    return set(zip(*columns, strict=True)) == set(expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_500_000)
    count = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dump = folder / "dump.jsonl.gz"
        size = write_dump(dump, count)
        print(f"{count:,} reviews, {size / count:.0f} bytes a line, {size / dump.stat().st_size:.1f} : 1 gzipped")
        rounds = []
        for _ in range(REPEATS):  # all in turn, so that a busy machine slows each of them
            ours_s, table, *peaks = in_own_process(measured_ours, dump, folder)
            naive_s, expected = timed(naive, dump)
            rounds.append((timed(floor, dump)[0], ours_s, naive_s, *peaks))
        floor_s, ours_s, naive_s, reading_mb, peak_rss_mb = (median(column) for column in zip(*rounds, strict=True))
        if not same_rows(table, expected):
            sys.exit("the two cores differ")
        bytes_a_row = {
            path.stem: round(path.stat().st_size / pq.read_metadata(path).num_rows, 1)
            for path in folder.glob("*.parquet")
        }
    for what, seconds in (("gzip -dc", floor_s), ("project", ours_s), ("plain Python", naive_s)):
        print(f"{what:<14} {seconds:>8.2f} s {count / seconds / 1e6:>7.2f} M reviews/s")
    figures = {
        "floor_s": round(floor_s, 3),
        "naive_s": round(naive_s, 3),
        "ours_s": round(ours_s, 3),
        "speedup": round(naive_s / ours_s, 2),
        "over_floor": round(ours_s / floor_s, 2),
        "peak_rss_mb": round(peak_rss_mb),
        "reading_rss_mb": round(reading_mb),
        "rows": len(expected),
        "bytes_a_row": bytes_a_row,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
