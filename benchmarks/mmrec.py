"""Interaction splits in the form of the MMRec toolbox, and what is measured on them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from assets.interactions.splits import TRAIN, Parts
from models.config import RecommenderConfig
from models.propagation import normalised_adjacency
from models.ranking import Scorer, matrix_of, rank, ranking_metrics
from models.recommender import Recommender

# Where the tests look for real data, too.
GRAPHS = Path(__file__).parent.parent.parent / "shared" / "data" / "benchmark_graphs"

Metrics = dict[tuple[str, int], float]
# From user and item vectors to the metrics of one split.
Judge = Callable[[np.ndarray, np.ndarray], Metrics]


def read_split(folder: Path) -> Parts:
    """The only `NAME.inter` or `NAME.inter.gz` of a folder: userID, itemID, x_label (0 train, 1 validation, 2 test).

    Raises:
        SystemExit: there is none, or more than one.
    """
    found = sorted([*folder.glob("*.inter"), *folder.glob("*.inter.gz")])
    if len(found) != 1:
        raise SystemExit(f"{folder} has {len(found)} files NAME.inter or NAME.inter.gz; one is wanted")
    columns = {"userID": np.int32, "itemID": np.int32, "x_label": np.int8}
    table = pd.read_csv(found[0], sep="\t", usecols=list(columns), dtype=columns)
    user, item, split = (table[name].to_numpy() for name in columns)
    return Parts(user, item, split, int(user.max()) + 1, int(item.max()) + 1)


def new_model(parts: Parts, config: RecommenderConfig, seed: int) -> Recommender:
    """A recommender with seeded weights over the train graph."""
    torch.manual_seed(seed)
    graph = normalised_adjacency(*parts.pairs(TRAIN), parts.users, parts.items) if config.layers else None
    return Recommender(config, parts.users, parts.items, graph)


def judge_of(parts: Parts, part: int, score: str, cutoffs: tuple[int, ...] = (20,)) -> Judge:
    """Full ranking of one part with train items alone masked, as the published tables have it.

    Counted are users with items both in train and in that part.
    """
    train = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)
    wanted = matrix_of(*parts.pairs(part), parts.users, parts.items)
    users = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(wanted.indptr) > 0))

    def judge(user_vectors: np.ndarray, item_vectors: np.ndarray) -> Metrics:
        ranking = rank(Scorer(user_vectors, item_vectors, score), users, train, max(cutoffs))
        found = ranking_metrics(ranking, users, wanted, cutoffs)
        return {key: float(values.mean()) for key, values in found.items()}

    return judge
