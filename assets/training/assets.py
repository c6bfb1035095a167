"""splits, interaction_graph, embeddings → one asset a model: vectors of users and items that score a pair."""

from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from assets.dataset import Stage, dataset_asset
from assets.interactions.splits import TRAIN, Parts
from assets.settings import GatedSettings, ModelSettings, StageSettings
from assets.training.fit import fit
from storage.io_managers import Made
from storage.models import SavedModel
from storage.tables import Embeddings

NEURAL: dict[str, Any] = {
    "group": "training",
    "kinds": {"pytorch", "safetensors"},
    "code_version": "1",
    "io_manager": "models",
    "reuse": True,
}


@dataset_asset(group="training", kinds={"numpy", "safetensors"}, code_version="1", io_manager="models")
def popularity(stage: Stage, config: StageSettings, splits: pa.Table) -> Made:
    """Everybody is recommended what most people bought: the baseline that any model has to beat."""
    parts = Parts.of(splits)
    _, item = parts.pairs(TRAIN)
    counts = np.bincount(item, minlength=parts.items).astype(np.float32)
    tensors = {"user_vectors": np.ones((parts.users, 1), np.float32), "item_vectors": counts[:, None]}
    return Made(SavedModel(tensors, {"model": "popularity", "loss": "none", "score": "dot"}))


@dataset_asset(**NEURAL)
def bpr_mf(stage: Stage, config: ModelSettings, splits: pa.Table) -> Made:
    """Matrix factorisation by BPR: a vector a user, a vector an item, no graph (Rendle et al., UAI 2009)."""
    return fit(stage, config, splits, {"layers": 0})


@dataset_asset(**NEURAL)
def lightgcn(stage: Stage, config: ModelSettings, splits: pa.Table, interaction_graph: sp.csr_matrix) -> Made:
    """LightGCN: ID vectors averaged over two steps on the user-item graph (He et al., SIGIR 2020)."""
    return fit(stage, config, splits, {"layers": 2}, interaction_graph)


@dataset_asset(**NEURAL)
def gated_lightgcn(
    stage: Stage,
    config: GatedSettings,
    splits: pa.Table,
    interaction_graph: sp.csr_matrix,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
) -> Made:
    """LightGCN whose items carry a gated blend of picture and text (Liu et al., arXiv 2506.00107)."""
    made_of = {"layers": 2, "item_encoder": "gated", "use_id": config.use_id}
    return fit(stage, config, splits, made_of, interaction_graph, image_embeddings, text_embeddings)
