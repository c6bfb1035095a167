"""Print the items that suit a user best, found by the index beside this file.

It needs numpy, pyarrow and usearch. A score is the inner product of both vectors; where the model scores by the cosine,
they have length 1. What a user has already is not left out.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from usearch.index import Index, Matches

EXPANSION = 128  # candidates kept open in a search; the index file does not keep it


def search(folder: Path, user_id: str, k: int) -> list[tuple[str, float]]:
    """The ids and scores of the k items that suit a user best, best first.

    Raises:
        KeyError: there is no such user.
    """
    users = pq.read_table(folder / "users.parquet", filters=pc.field("user_id") == user_id)
    if not len(users):
        raise KeyError(user_id)
    wanted = np.array(users["vector"][0].as_py(), np.float32)
    index = Index.restore(str(folder / "items.usearch"))
    assert index is not None
    index.expansion_search = max(EXPANSION, k)  # type: ignore[misc]  # usearch has a setter, but not next to its getter
    found = index.search(wanted, k)
    assert isinstance(found, Matches)
    items = pq.read_table(folder / "items.parquet").take(found.keys.astype(np.int64))  # a key is a row
    scores = np.array(items["vector"].to_pylist(), np.float32) @ wanted
    ids = items["item_id"].to_pylist()
    return [(ids[place], float(scores[place])) for place in np.argsort(-scores, kind="stable")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("user_id", help="as in users.parquet beside this file")
    parser.add_argument("how_many", type=int, nargs="?", default=10, help="items to print (10)")
    given = parser.parse_args()
    try:
        found = search(Path(__file__).parent, given.user_id, given.how_many)
    except KeyError:
        raise SystemExit(f"there is no user {given.user_id!r}") from None
    for item_id, score in found:
        print(f"{item_id}\t{score:.4f}")
