"""Models that are counted rather than learned: popularity, ItemKNN, EASE; and the blend of two models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from assets.core.asset_result import AssetResult
from assets.training.held_out import HeldOut
from assets.training.scorers import scorer_of
from models.ranking.ranking import BLOCK_USERS, Scorer, Vectors
from models.recommenders.item_models import Blend, Ease, ItemKnn, ZScores
from models.training.search_spaces import COUNTED_SPACES
from storage.artifacts.saved_models import SavedModel, SavedModels

WEIGHTS = tuple(round(0.05 * step, 2) for step in range(21))

COUNTED_SCORERS: dict[str, Callable[..., Ease | ItemKnn]] = {"ease": Ease.fit, "item_knn": ItemKnn.fit}


def counted(model: str, tensors: dict[str, np.ndarray], **facts: Any) -> SavedModel:
    """The one fit of a model without a loss and a seed."""
    config = {"model": model, "kind": model, "loss": "none", "seed": 0, "score": "dot", "device": "cpu", **facts}
    return SavedModel(tensors, config)


def popularity_of(train: sp.csr_matrix, **facts: Any) -> SavedModel:
    """Vectors of length 1: everybody's is 1, an item's is how often it is in train."""
    counts = np.asarray(train.sum(axis=0), np.float32).reshape(-1, 1)
    tensors = {"user_vectors": np.ones((train.shape[0], 1), np.float32), "item_vectors": counts}
    return counted("popularity", tensors, kind="vectors", **facts)


def popular(validation: HeldOut) -> SavedModels:
    """Popularity in the train part of `validation`, and how well it ranks the rest."""
    fit = popularity_of(validation.train)
    ndcg = validation.ndcg(Vectors(fit.tensors["user_vectors"], fit.tensors["item_vectors"]))
    return SavedModels((popularity_of(validation.train, **{"validation_ndcg@20": ndcg}),))


def counted_fit(model: str, validation: HeldOut, settings: Mapping[str, Any]) -> SavedModel:
    """EASE or ItemKNN by name, fitted to the train part of `validation` with its own ones of `settings`."""
    values = {name: settings[name] for name in COUNTED_SPACES[model]}
    scorer = COUNTED_SCORERS[model](validation.train, **values)
    return counted(model, arrays_of(scorer), **values, **{"validation_ndcg@20": validation.ndcg(scorer)})


def arrays_of(scorer: Ease | ItemKnn) -> dict[str, np.ndarray]:
    """The arrays that a model of items by items is kept as."""
    if isinstance(scorer, Ease):
        return {"weights": scorer.weights}
    return {name: getattr(scorer.weights, name) for name in ("data", "indices", "indptr")}


def make_result(models: SavedModels, seconds: float) -> AssetResult:
    """The models with what a person wants to know of them; `seconds` is what all of them took."""
    if models.skipped:
        return AssetResult(models, {"skipped": models.skipped})
    return AssetResult(
        models, models.main.config | {"train_s": dict.fromkeys((fit.name for fit in models.fits), seconds)}
    )


def blend_of(
    first: str, partners: Sequence[str], models: Mapping[str, SavedModels], validation: HeldOut
) -> SavedModels:
    """`first` blended with whichever of `partners`, and by whichever weight, is best on validation with the first seed.

    There is one blend for each seed of the second model; its loss is the one that was best on validation.
    """
    missing = [name for name in (first, *partners) if not models[name].fits]
    if missing:
        return SavedModels((), f"{missing[0]} was skipped: {models[missing[0]].skipped}")
    one = scorer_of(models[first].main, validation.train)
    found: dict[tuple[str, float], float] = {}
    for second in partners:
        other = scorer_of(models[second].best()[0], validation.train)
        found |= {(second, weight): ndcg for weight, ndcg in ndcg_by_weight(one, other, validation).items()}
    second, weight = max(found, key=lambda key: found[key])
    facts = {
        "model": "blend",
        "kind": "blend",
        "score": "z-score",
        "device": "cpu",
        "first": first,
        "second": second,
        "weight": weight,
        "validation_ndcg@20": found[second, weight],
        "validation_by_weight": {f"{name} {w}": value for (name, w), value in found.items()},
    }
    chosen = models[second].best()
    fits = [
        SavedModel(
            {"weight": np.array([weight], np.float32)},
            facts | {"loss": fit.config["loss"], "seed": fit.config["seed"], "second_fit": fit.name},
        )
        for fit in chosen
    ]
    return SavedModels(tuple(fits))


def ndcg_by_weight(first: Scorer, second: Scorer, validation: HeldOut) -> dict[float, float]:
    """The mean NDCG@20 of the blends by every one of WEIGHTS; each model scores each user once."""
    total = dict.fromkeys(WEIGHTS, 0.0)
    for start in range(0, len(validation.users), BLOCK_USERS):
        block = replace(validation, users=validation.users[start : start + BLOCK_USERS])
        one, other = (Scored(ZScores(scorer), block.users) for scorer in (first, second))
        for weight in WEIGHTS:
            total[weight] += block.ndcg(Blend(one, other, weight)) * len(block.users)
    return {weight: value / len(validation.users) for weight, value in total.items()}


class Scored:
    """The scores of some users, kept: they can be asked for these users alone, in the same order."""

    def __init__(self, scorer: Scorer, users: np.ndarray):
        self.items, self._users = scorer.items, users
        self._scores = torch.empty(len(users), scorer.items)
        scorer.write(users, self._scores)

    def write(self, users: np.ndarray, out: torch.Tensor) -> None:
        """See `models.ranking.ranking.Scorer`."""
        assert np.array_equal(users, self._users)
        out.copy_(self._scores)
