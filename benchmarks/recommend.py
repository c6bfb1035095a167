"""What recommending costs: `python -m benchmarks.recommend --users 100000 --items 50000`.

The twenty best of all items for every user, train items left out, as rows of the table `recommendations` on disk;
vectors of 64 dimensions, 20 train items a user. On some of the users, in the same run: the floor is the product of the
vectors alone; the peer is a loop over users with NumPy's argpartition.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import torch

from assets.serving.recommend import Recommending
from models.ranking.ranking import Vectors, block_users, matrix_of
from storage.artifacts.tables import write_table
from storage.schemas import SCHEMAS

DIM, HISTORY, TOP = 64, 20, 20
SOME = 2048  # users of the floor and of the peer


def vectors_of(users: int, items: int) -> tuple[Vectors, sp.csr_matrix]:
    """Seeded vectors and histories."""
    rng = np.random.default_rng(0)
    user, item = (rng.standard_normal((size, DIM), dtype=np.float32) for size in (users, items))
    return Vectors(user, item), matrix_of(
        np.repeat(np.arange(users), HISTORY), rng.integers(items, size=users * HISTORY), users, items
    )


def written(scorer: Vectors, seen: sp.csr_matrix, folder: Path) -> int:
    """All recommendations, as a table; its rows."""
    users, items = seen.shape
    user_ids, item_ids = (pa.array([f"{kind}{n}" for n in range(size)]) for kind, size in (("u", users), ("i", items)))
    recommending = Recommending(seen, scorer, user_ids, item_ids, TOP)
    rows = pa.RecordBatchReader.from_batches(SCHEMAS["recommendations"], recommending.batches())
    return write_table(folder / "recommendations.parquet", "recommendations", rows).rows


def floor(scorer: Vectors, users: int) -> None:
    """The scores of some users, a block at a time, looked at by nobody."""
    size = block_users(scorer.items)
    out = torch.empty(size, scorer.items)
    for start in range(0, users, size):
        block = np.arange(start, min(start + size, users))
        scorer.write(block, out[: len(block)])


def peer(scorer: Vectors, seen: sp.csr_matrix, users: int) -> None:
    """Each user's best by NumPy."""
    for user in range(users):
        scores = scorer.item_vectors @ scorer.user_vectors[user]
        scores[seen.indices[seen.indptr[user] : seen.indptr[user + 1]]] = -np.inf
        best = np.argpartition(-scores, TOP)[:TOP]
        best[np.argsort(-scores[best])]


def users_a_second(work: Callable[[], object], users: int) -> float:
    started = time.perf_counter()
    work()
    return users / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    scorer, seen = vectors_of(given.users, given.items)
    some = min(SOME, given.users)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        found["recommend"] = users_a_second(lambda: written(scorer, seen, Path(folder)), given.users)
        size = Path(folder, "recommendations.parquet").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["floor"] = users_a_second(lambda: floor(scorer, some), some)
    found["peer"] = users_a_second(lambda: peer(scorer, seen, some), some)
    print(f"{given.users:,} users, {given.items:,} items, {given.threads} threads; {peak:,.0f} MB at peak")
    for what, rate in found.items():
        print(f"{what:<10} {rate:>10,.0f} users/s")
    ratios = {f"to_{name}": round(found["recommend"] / found[name], 3) for name in ("floor", "peer")}
    rates = {f"{name}_users_s": round(rate) for name, rate in found.items()}
    figures = {"users": given.users, "items": given.items, **rates, **ratios, "peak_rss_mb": round(peak)}
    print(json.dumps(figures | {"bytes_a_user": round(size / given.users, 1)}))


if __name__ == "__main__":
    main()
