"""Trains one recommender of one dataset and says how it went."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from assets.dataset import Stage
from assets.interactions.splits import TRAIN, VALIDATION, Parts
from assets.settings import ModelSettings
from storage.errors import InputError
from storage.io_managers import Made
from storage.models import SavedModel
from storage.tables import Embeddings

if TYPE_CHECKING:
    from models.fusion import GatedFusion

VALIDATION_CUTOFF = 20


def fit(
    stage: Stage,
    config: ModelSettings,
    splits: pa.Table,
    made_of: dict,
    graph: sp.csr_matrix | None = None,
    visual: Embeddings | None = None,
    textual: Embeddings | None = None,
) -> Made:
    """Train the recommender that `made_of` describes on train, stopping early on validation NDCG@20.

    Args:
        made_of: fields of `models.config.RecommenderConfig`.
        visual, textual: the items' content, for a gated item encoder.
    """
    import torch

    from models.config import RecommenderConfig
    from models.device import device_of
    from models.recommender import Recommender
    from models.trainer import train

    parts = Parts.of(splits)
    device = device_of(config.device)
    torch.manual_seed(config.seed)
    recommender = RecommenderConfig(dim=config.dim, score=config.score, **made_of)
    fusion = None
    if visual is not None and textual is not None:
        fusion = _fusion(visual, textual, parts.items, config.dim)
    model = Recommender(recommender, parts.users, parts.items, graph, fusion)
    with stage.progress(config.max_epochs, "epochs") as progress:
        history = train(
            model, *parts.pairs(TRAIN), config, device, validation_ndcg(parts, config.score), progress.advance
        )
    model.cpu()
    user_vectors, item_vectors = model.vectors()
    # Of users without train items nothing is known: a vector that was never trained would only look like a taste.
    user_vectors[np.bincount(parts.pairs(TRAIN)[0], minlength=parts.users) == 0] = 0
    tensors = {"user_vectors": user_vectors, "item_vectors": item_vectors}
    if model.fusion is not None:
        tensors["visual_share"] = model.fusion.visual_share().numpy()
    tensors |= {f"weights.{name}": value.numpy() for name, value in model.state_dict().items()}
    facts = {
        "model": stage.asset,
        "device": device.type,
        **recommender.model_dump(),
        **config.model_dump(exclude={"force", "device"}),
        "best_epoch": history.best_epoch,
        "validation_ndcg@20": history.best_value,
        "collision_rate": history.collision_rate[-1],
        "loss_curve": history.loss,
        "validation_curve": history.validation,
    }
    shown = {key: value for key, value in facts.items() if not key.endswith("_curve")}
    return Made(SavedModel({name: np.ascontiguousarray(t) for name, t in tensors.items()}, facts), shown)


def _fusion(visual: Embeddings, textual: Embeddings, items: int, dim: int) -> "GatedFusion":
    """The gated fusion of the items of the core, which come first in both tables."""
    from models.fusion import GatedFusion, Modality

    visual_view, textual_view = (Modality.of(v.matrix[:items], v.has_value[:items]) for v in (visual, textual))
    return GatedFusion(visual_view, textual_view, dim)


def validation_ndcg(parts: Parts, score: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """NDCG@20 on the validation split, over users with something in train and in validation.

    Raises:
        InputError: there are no such users.
    """
    from models.ranking import Scorer, matrix_of, rank, ranking_metrics

    train = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)
    wanted = matrix_of(*parts.pairs(VALIDATION), parts.users, parts.items)
    users = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(wanted.indptr) > 0))

    if not len(users):
        raise InputError("no user has items both in train and in validation; choose another 'split' or 'split_points'")

    def ndcg(user_vectors: np.ndarray, item_vectors: np.ndarray) -> float:
        ranking = rank(Scorer(user_vectors, item_vectors, score), users, train, VALIDATION_CUTOFF)
        return float(ranking_metrics(ranking, users, wanted, (VALIDATION_CUTOFF,))["ndcg", VALIDATION_CUTOFF].mean())

    return ndcg
