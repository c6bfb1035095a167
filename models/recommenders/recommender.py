"""The recommender that all learned models but one are settings of: an item encoder, propagation, a product.

layers = 0 with item_encoder = "id" is BPR-MF, layers = 2 LightGCN, item_encoder = "gated" the gated LightGCN.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.config import RecommenderConfig
from models.errors import ModelError
from models.recommenders.fusion import Fusion
from models.recommenders.propagation import Propagation, SparseMatrix, symmetric_product


class VectorModel(nn.Module, ABC):
    """Users and items as vectors whose product is a preference: what the trainer trains."""

    users: int
    items: int
    fusion: Fusion | None

    @abstractmethod
    def of_batch(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of a batch's users, then of its items, after and before propagation, [users + items, dim] each.

        Args:
            user, item: int64, of any two lengths; repeats are allowed.
        """

    @abstractmethod
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Final vectors that score by their product: users float32 [users, dim], items float32 [items, dim]."""


@dataclass(frozen=True)
class Anatomy:
    """What the final vectors of a recommender are made of; all of it adds up, for every step of it is linear.

    Attributes:
        user: float32 [users, dim], item: float32 [items, dim], the final vectors.
        visual, textual: float32 [items, dim], what of an item's final vector comes from pictures and from texts: its
            own, and those of others through the graphs.
        sent: float32 [items, dim], what an item adds to the final vectors of its users, times the weight of the edge.
    """

    user: np.ndarray
    item: np.ndarray
    visual: np.ndarray
    textual: np.ndarray
    sent: np.ndarray


class Recommender(VectorModel):
    """ID vectors and content, propagated over the user-item graph; items also over a frozen graph of like items.

    The latter adds S^n e to an item's final vector, with e its vector before propagation, as in Zhou and Shen, "A Tale
    of Two Graphs: Freezing and Denoising Graph Structures for Multimodal Recommendation" (FREEDOM), MM 2023.

    Args:
        adjacency: see `models.recommenders.propagation.normalised_adjacency`; unused if config.layers is 0.
        fusion: the items' content, unless config.item_encoder is "id".
        item_graph: S, float32 [items, items], symmetric; unused if config.item_graph_layers is 0.
    """

    def __init__(
        self,
        config: RecommenderConfig,
        users: int,
        items: int,
        adjacency: sp.csr_matrix | None = None,
        fusion: Fusion | None = None,
        item_graph: sp.csr_matrix | None = None,
    ):
        super().__init__()
        if (config.item_encoder == "id") != (fusion is None):
            raise ModelError(f"item_encoder {config.item_encoder!r} does not fit the content given")
        if not config.use_id and fusion is None:
            raise ModelError("use_id is false, and without content an item would be nothing")
        if config.item_graph_layers and item_graph is None:
            raise ModelError("item_graph_layers asks for a graph of items, and there is none")
        self.config, self.users, self.items = config, users, items
        self.user_id = nn.Embedding(users, config.dim)
        own = config.dim - (fusion.dim if fusion and config.content_apart else 0)
        self.item_id = nn.Embedding(items, own) if config.use_id else None
        self.fusion = fusion
        for table in filter(None, (self.user_id, self.item_id)):
            nn.init.normal_(table.weight, std=config.initial_std)
        self._adjacency, self._item_graph = adjacency, item_graph
        self._propagation: Propagation | None = None
        self._likeness: SparseMatrix | None = None

    @property
    def is_gated(self) -> bool:
        return self.fusion is not None and self.fusion.fusing == "gated"

    def layer_0(self) -> tuple[Tensor, Tensor]:
        """Vectors before propagation: of users [users, dim], of items [items, dim]."""
        parts = []
        if self.item_id is not None:
            parts.append(self.item_id.weight)
        if self.fusion is not None:
            parts.append(self.fusion())
        item = torch.cat(parts, dim=1) if self.config.content_apart else sum(parts[1:], start=parts[0])
        return self.user_id.weight, item

    def of_batch(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        propagation, likeness = self._graphs()
        users, items = self.layer_0()
        after, before = propagation.at(torch.cat([user, item + self.users]), users, items)
        if likeness is not None:
            alike = self._of_like_items(likeness, items).index_select(0, item)
            after = torch.cat([after[: len(user)], after[len(user) :] + alike])
        return after, before

    @torch.no_grad()
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        return self._final(*self.layer_0())

    @torch.no_grad()
    def anatomy(self) -> Anatomy:
        """What the final vectors are made of."""
        users, items = self.layer_0()
        nobody = torch.zeros_like(users)
        visual, textual = (self._final(nobody, view)[1] for view in self._views())
        sent = self._graphs()[0].sent(users, items)[self.users :].cpu().numpy()
        return Anatomy(*self._final(users, items), visual, textual, sent)

    def _final(self, users: Tensor, items: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Vectors after propagation of those before it."""
        propagation, likeness = self._graphs()
        both = propagation.everywhere(users, items)
        if likeness is not None:
            both[self.users :] += self._of_like_items(likeness, items)
        vectors = both.cpu().numpy()
        return vectors[: self.users], vectors[self.users :]

    def _views(self) -> tuple[Tensor, Tensor]:
        """What the items' own pictures and texts add to their vectors before propagation, [items, dim] each."""
        nothing = self.user_id.weight.new_zeros(self.items, self.config.dim)
        if self.fusion is None:
            return nothing, nothing
        visual, textual = self.fusion.contributions()
        first = self.config.dim - self.fusion.dim if self.config.content_apart else 0
        behind = visual.shape[1] if visual is not None and self.config.item_encoder == "concat" else 0

        def placed(part: Tensor | None, start: int) -> Tensor:
            return nothing if part is None else F.pad(part, (start, self.config.dim - start - part.shape[1]))

        return placed(visual, first), placed(textual, first + behind)

    def _of_like_items(self, likeness: SparseMatrix, items: Tensor) -> Tensor:
        for _ in range(self.config.item_graph_layers):
            items = symmetric_product(likeness, items)
        return items

    def _graphs(self) -> tuple[Propagation, SparseMatrix | None]:
        """Both graphs on the device where the weights are now."""
        device = self.user_id.weight.device
        if self._propagation is None or self._propagation.device != device:
            self._propagation = Propagation(self._adjacency, self.users + self.items, self.config.layers, device)
            if self.config.item_graph_layers and self._item_graph is not None:
                self._likeness = SparseMatrix(self._item_graph, device)
        return self._propagation, self._likeness
