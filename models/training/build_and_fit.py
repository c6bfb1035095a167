"""From a configuration and what a dataset holds to a trained model: what assets, tuning and benchmarks all call."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from models.config import RecommenderConfig, TrainerConfig
from models.device import device_of
from models.errors import ModelError
from models.recommenders.fusion import Fusion, Modality
from models.recommenders.item_graph import item_graph, weigh_graphs
from models.recommenders.mmgcn import Mmgcn
from models.recommenders.recommender import Recommender, VectorModel
from models.training.memory import keep_memory
from models.training.single_process import SINGLE_PROCESS, SingleProcess
from models.training.trainer import Checkpoint, History, Validate, train
from models.training.warm_start import WarmStart


@dataclass(frozen=True)
class Content:
    """What items look like and what is written about them.

    Attributes:
        visual, textual: their embeddings.
        nearest_visual, nearest_textual: int32 [items, k], by `models.recommenders.item_graph.nearest_items`; None
            where no graph of items is asked for.
    """

    visual: Modality
    textual: Modality
    nearest_visual: np.ndarray | None = None
    nearest_textual: np.ndarray | None = None

    def item_graph(self, k: int, visual_weight: float) -> sp.csr_matrix:
        """The items joined to the k nearest by either view, float32 CSR [items, items]."""
        if self.nearest_visual is None or self.nearest_textual is None:
            raise ModelError("item_graph_layers asks for a graph of items, and there is none")
        return weigh_graphs(item_graph(self.nearest_visual, k), item_graph(self.nearest_textual, k), visual_weight)


@dataclass(frozen=True)
class TrainSet:
    """What models learn from.

    Attributes:
        user, item: int [train], each pair once; users, items: how many there are.
        adjacency: of these pairs, by `models.recommenders.propagation.normalised_adjacency`; None serves models without
            layers.
        content: None serves models of IDs alone.
    """

    user: np.ndarray
    item: np.ndarray
    users: int
    items: int
    adjacency: sp.csr_matrix | None = None
    content: Content | None = None


def new_model(config: RecommenderConfig, data: TrainSet, seed: int) -> VectorModel:
    """A model with seeded weights.

    Raises:
        ModelError: the configuration asks for something that `data` does not have.
    """
    torch.manual_seed(seed)
    content = data.content
    if config.architecture == "mmgcn":
        if content is None or data.adjacency is None:
            raise ModelError("architecture 'mmgcn' needs content and a graph, and one is missing")
        views = (content.visual, content.textual)
        return Mmgcn(config, data.users, data.items, data.adjacency, views)
    if config.layers and data.adjacency is None:
        raise ModelError(f"layers is {config.layers}, and there is no user-item graph")
    fusion = graph = None
    if config.item_encoder != "id":
        if content is None:
            raise ModelError(f"item_encoder {config.item_encoder!r} needs content, and there is none")
        dim = config.dim // 2 if config.content_apart else config.dim
        fusion = Fusion(config.item_encoder, content.visual, content.textual, dim)
    if config.item_graph_layers and content is not None:
        graph = content.item_graph(config.knn_k, config.visual_weight)
    return Recommender(config, data.users, data.items, data.adjacency, fusion, graph)


def fit(
    recommender: RecommenderConfig,
    trainer: TrainerConfig,
    data: TrainSet,
    validate: Validate | None,
    on_epoch: Callable[[], None] = lambda: None,
    checkpoint: Checkpoint | None = None,
    group: SingleProcess = SINGLE_PROCESS,
    start: WarmStart | None = None,
) -> tuple[VectorModel, History]:
    """A trained model, on the CPU, and how its training went; see `models.training.trainer.train`.

    A group gives the result of one process, at rank 0; the other ranks keep their dimensions of it. `validate` gets a
    rank's dimensions of the vectors. With a `start` the training begins from there, and is validated before its first
    epoch, too.
    """
    model = new_model(recommender, data, trainer.seed)
    if start:
        start.put_into(model)
    checkpoint = group.divide(model, checkpoint)  # the first weights are drawn whole, so they are those of one process
    device, threads = device_of(trainer.device), torch.get_num_threads()
    torch.set_num_threads(trainer.threads)
    try:
        with keep_memory():
            given = (model, data.user, data.item, trainer, device, validate, on_epoch, checkpoint, group)
            history = train(*given, look_first=start is not None)
    finally:
        torch.set_num_threads(threads)
    group.unite(model)
    return model.cpu(), history
