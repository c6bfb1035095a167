"""The k-core on integer pairs, against repeated pandas groupby: `python -m benchmarks.kcore --edges 20000000`."""

import argparse
import json
import time

import numpy as np
import pandas as pd

from assets.interactions.kcore import k_core
from benchmarks.scale.synthetic import heavy_tailed

CORE = 5


def edges(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """About `count` distinct pairs of int32 codes, heavy-tailed on both sides, so that the core takes many rounds."""
    rng = np.random.default_rng(seed)
    users, items = count // 6, count // 20
    pair = rng.permutation(np.unique(heavy_tailed(count, users, rng) * items + heavy_tailed(count, items, rng)))
    return (pair // items).astype(np.int32), (pair % items).astype(np.int32)


def pandas_core(user: np.ndarray, item: np.ndarray) -> pd.DataFrame:
    """The usual loop of public scripts: filter by group size until nothing changes."""
    frame = pd.DataFrame({"user": user, "item": item})
    while True:
        before = len(frame)
        frame = frame[frame.groupby("user")["user"].transform("size") >= CORE]
        frame = frame[frame.groupby("item")["item"].transform("size") >= CORE]
        if len(frame) == before:
            return frame


def timed_core(user: np.ndarray, item: np.ndarray) -> tuple[float, np.ndarray]:
    """The median of three runs."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        mask = k_core(user, item, CORE, CORE)
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[1], mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, default=20_000_000)
    count = parser.parse_args().edges

    per_edge = []
    print(f"{'edges':>12} {'core':>12} {'seconds':>9} {'ns an edge':>11}")
    for size in (count // 10, count):
        user, item = edges(size)
        ours_s, mask = timed_core(user, item)
        per_edge.append(ours_s / len(user) * 1e9)
        print(f"{len(user):>12,} {mask.sum():>12,} {ours_s:>9.3f} {per_edge[-1]:>11.1f}")

    started = time.perf_counter()
    expected = pandas_core(user, item)
    pandas_s = time.perf_counter() - started
    print(f"{len(user):>12,} {len(expected):>12,} {pandas_s:>9.3f} {pandas_s / len(user) * 1e9:>11.1f}   pandas")
    if not np.array_equal(np.flatnonzero(mask), expected.index):
        raise SystemExit("the two cores differ")
    figures = {
        "pandas_s": round(pandas_s, 3),
        "ours_s": round(ours_s, 3),
        "speedup": round(pandas_s / ours_s, 2),
        "ns_an_edge_at_a_tenth": round(per_edge[0], 1),
        "ns_an_edge": round(per_edge[1], 1),
        "growth_an_edge": round(per_edge[1] / per_edge[0], 2),
        "rows": int(mask.sum()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
