"""How well items are ranked that training was not shown: some are held out with all that anybody did with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from assets.evaluation.significance import bootstrap_intervals
from assets.interactions.splits import TRAIN, VALIDATION, Parts
from assets.training.fit_one import fit_one
from assets.training.held_out import HeldOut
from assets.training.load_model import weights_of
from models.config import RecommenderConfig, TrainerConfig
from models.ranking.ranking import Scorer, Vectors, matrix_of
from models.recommenders.cold_start import content_neighbours, place_by_content
from models.recommenders.fusion import Modality
from models.recommenders.item_models import ItemKnn
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import Content, TrainSet
from storage.artifacts.arrays import NearestItems
from storage.artifacts.saved_models import SavedModel
from storage.artifacts.tables import Embeddings
from storage.errors import InputError

NEIGHBOURS = 20
CUTOFFS = (10, 20)
NEW_ITEM_METRICS = (("recall", 10), ("recall", 20), ("ndcg", 20))


@dataclass(frozen=True)
class Cold:
    """A dataset of which some items are held out.

    Attributes:
        warm: the parts without these items; the others are numbered anew, without gaps.
        kept: int64, the former number of every item of `warm`.
        items: int64, numbers of the items held out.
        wanted: float32 [users, len(items)], who has which of them in any part.
        users: int64, who has one of them, and something warm in train.
    """

    warm: Parts
    kept: np.ndarray
    items: np.ndarray
    wanted: sp.csr_matrix
    users: np.ndarray

    @classmethod
    def of(cls, parts: Parts, share: float, seed: int) -> "Cold":
        """Hold out a share of the items, drawn from all with interactions.

        Raises:
            InputError: there are too few items or users.
        """
        there = np.unique(parts.item)
        if len(there) < 2:
            raise InputError("of a single item none can be held out")
        count = min(max(1, round(share * len(there))), len(there) - 1)
        drawn = np.random.default_rng(seed).choice(there, count, replace=False)
        items = np.sort(drawn).astype(np.int64)
        is_cold = np.zeros(parts.items, bool)
        is_cold[items] = True
        out, kept = is_cold[parts.item], np.flatnonzero(~is_cold)
        warm_item = np.searchsorted(kept, parts.item[~out])
        warm = Parts(parts.user[~out], warm_item, parts.split[~out], parts.users, len(kept))
        column = np.searchsorted(items, parts.item[out])
        wanted = matrix_of(parts.user[out], column, parts.users, len(items))
        in_train = np.bincount(warm.pairs(TRAIN)[0], minlength=parts.users) > 0
        users = np.flatnonzero((np.diff(wanted.indptr) > 0) & in_train)
        if not len(users):
            raise InputError(f"nobody has both one of the {len(items)} items held out and another one in train")
        return cls(warm, kept, items, wanted, users)


@dataclass(frozen=True)
class Views:
    """Pictures and texts of all items, embedded."""

    visual: Embeddings
    textual: Embeddings

    def of(self, items: np.ndarray, known: np.ndarray | None = None) -> tuple[Modality, Modality]:
        """What a model sees of `items`, int64, centred over those that are `known`, bool [len(items)]."""
        visual, textual = (
            Modality.of(view.matrix[items], view.has_value[items], known) for view in (self.visual, self.textual)
        )
        return visual, textual


def warm_data(cold: Cold, views: Views, nearest: NearestItems | None = None) -> TrainSet:
    """Train without the items held out.

    Args:
        nearest: the nearest items of each item by its number, of which those held out are left out.
    """
    user, item = cold.warm.pairs(TRAIN)
    adjacency = normalised_adjacency(user, item, cold.warm.users, cold.warm.items)
    graphs = (_among_warm(cold, nearest.visual), _among_warm(cold, nearest.textual)) if nearest else (None, None)
    return TrainSet(user, item, cold.warm.users, cold.warm.items, adjacency, Content(*views.of(cold.kept), *graphs))


def _among_warm(cold: Cold, nearest: np.ndarray) -> np.ndarray:
    """The nearest warm items of every warm item, int32 [warm, k], by their new numbers; -1 where there are no more."""
    number = np.full(len(nearest), -1, np.int32)
    number[cold.kept] = np.arange(len(cold.kept), dtype=np.int32)
    rows = nearest[cold.kept]
    found = np.where(rows >= 0, number[rows], -1)
    order = np.argsort(found < 0, axis=1, kind="stable")  # those that are left move up
    return np.take_along_axis(found, order, axis=1)


def train_without(cold: Cold, like: SavedModel, views: Views, device: str) -> SavedModel:
    """A model made and trained as `like`, which learns of the warm items alone: no other is even a negative."""
    data = warm_data(cold, views)
    recommender = RecommenderConfig.model_validate(like.config)
    training = TrainerConfig.model_validate(like.config | {"device": device})
    return fit_one(like.config["model"], recommender, training, data, HeldOut.of(cold.warm, VALIDATION))[0]


def place_vectors(cold: Cold, model: SavedModel, views: Views) -> np.ndarray:
    """What `model` makes of the content of all items, float32 [items, dim], the warm ones first."""
    return place_by_content(
        RecommenderConfig.model_validate(model.config), weights_of(model), *_content(cold, views)[1]
    )


def _content(cold: Cold, views: Views) -> tuple[np.ndarray, tuple[Modality, Modality]]:
    """The former numbers of all items, the warm ones first, as they are numbered in `warm`; and their content."""
    every = np.concatenate([cold.kept, cold.items])
    return every, views.of(every, np.arange(len(every)) < len(cold.kept))


def scorers(cold: Cold, model: SavedModel, views: Views) -> dict[str, Scorer]:
    """What ranks the items held out: the gate, what is like a user's items, and what is popular.

    Nobody is shown to have bought an item held out, so by popularity all are equal, and their order is random.
    """
    train = matrix_of(*cold.warm.pairs(TRAIN), cold.warm.users, cold.warm.items)
    every, content = _content(cold, views)
    vectors = place_vectors(cold, model, views)[len(cold.kept) :]
    known = np.unique(cold.warm.pairs(TRAIN)[1]).astype(np.int64)
    new = np.arange(len(cold.kept), len(every))
    likeness = content_neighbours(*content, known, new, NEIGHBOURS)[: len(cold.kept)]
    nothing = np.zeros((len(cold.items), 1), np.float32)
    return {
        "gate": Vectors(model.tensors["user_vectors"], vectors, model.config["score"]),
        "content_neighbours": ItemKnn(train, likeness),
        "popularity": Vectors(np.ones((cold.warm.users, 1), np.float32), nothing),
    }


def recall_rows(cold: Cold, ranked_by: dict[str, Scorer], seed: int) -> Iterator[dict[str, Any]]:
    """The rows of `new_item_recall`."""
    nothing = sp.csr_matrix(cold.wanted.shape, dtype=np.float32)
    part = HeldOut(nothing, nothing, cold.wanted, cold.users)
    for method, scorer in ranked_by.items():
        found = part.metrics(scorer, CUTOFFS, seed)
        lows, highs = bootstrap_intervals(np.stack([found[key] for key in NEW_ITEM_METRICS], axis=1), seed)
        for (metric, k), low, high in zip(NEW_ITEM_METRICS, lows, highs, strict=True):
            about = {"method": method, "metric": metric, "k": k, "n_users": len(cold.users), "n_items": len(cold.items)}
            yield about | {"value": float(found[metric, k].mean()), "ci_low": float(low), "ci_high": float(high)}
