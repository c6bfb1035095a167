"""What models learn from: the pairs of the splits, their graph, and the content of the items."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import scipy.sparse as sp

from assets.interactions.splits import EVERY_PART, TRAIN, Parts
from models.recommenders.fusion import Modality
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import Content, TrainSet
from storage.artifacts.arrays import NearestItems
from storage.artifacts.tables import Embeddings


def train_set(
    splits: pa.Table,
    interaction_graph: sp.csr_matrix | None = None,
    image_embeddings: Embeddings | None = None,
    text_embeddings: Embeddings | None = None,
    item_graph: NearestItems | None = None,
    learned_from: tuple[int, ...] = (TRAIN,),
) -> tuple[Parts, TrainSet]:
    """The parts of the data, and what models learn from; content is that of the items of the core.

    Args:
        interaction_graph: of the interactions `learned_from`; None serves models without layers.
        learned_from: the parts of the data whose interactions are learned from.
    """
    parts, content = Parts.of(splits), None
    if image_embeddings is not None and text_embeddings is not None:
        visual, textual = (
            Modality.of(view.matrix[: parts.items], view.has_value[: parts.items])
            for view in (image_embeddings, text_embeddings)
        )
        nearest = (item_graph.visual[: parts.items], item_graph.textual[: parts.items]) if item_graph else (None, None)
        content = Content(visual, textual, *nearest)
    return parts, TrainSet(*parts.pairs(*learned_from), parts.users, parts.items, interaction_graph, content)


def everything(splits: pa.Table, **content: Any) -> TrainSet:
    """All interactions to learn from, with their graph: what a model is fitted to that is served, not evaluated.

    Args:
        content: see `train_set`.
    """
    data = train_set(splits, **content, learned_from=EVERY_PART)[1]
    adjacency = normalised_adjacency(data.user, data.item, data.users, data.items)
    return replace(data, adjacency=adjacency)
