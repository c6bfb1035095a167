"""MMGCN: a graph convolution of its own for each view, over the same user-item graph, and the mean of them.

Wei et al., "MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of Micro-video", MM 2019, with
mean aggregation, two layers and the combination by addition, its equations 3 to 8.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.config import RecommenderConfig
from models.recommenders.fusion import Modality
from models.recommenders.propagation import SomeRows, SparseMatrix, is_cheaper, symmetric_product
from models.recommenders.recommender import VectorModel


class Mmgcn(VectorModel):
    """ID vectors that all views share, and one graph convolution a view.

    Args:
        adjacency: CSR [users + items, users + items], symmetric; only its places are used.
        modalities: the views of the items.
    """

    def __init__(
        self,
        config: RecommenderConfig,
        users: int,
        items: int,
        adjacency: sp.csr_matrix,
        modalities: Sequence[Modality],
    ):
        super().__init__()
        self.config, self.users, self.items, self.fusion = config, users, items, None
        self.id = nn.Embedding(users + items, config.dim)
        nn.init.normal_(self.id.weight, std=config.initial_std)
        self.views = nn.ModuleList(_View(modality, users, config) for modality in modalities)
        self._graph = _MeanOfNeighbours(adjacency)

    def of_batch(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        nodes, place = torch.unique(torch.cat([user, item + self.users]), return_inverse=True)
        self._graph.to(self.id.weight.device)
        views = [cast(_View, view).at(nodes, self.id.weight, self._graph) for view in self.views]
        after, before = torch.stack(views).mean(dim=0), self.id.weight.index_select(0, nodes)
        return after.index_select(0, place), before.index_select(0, place)

    @torch.no_grad()
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        both = self._everywhere().cpu().numpy()
        return both[: self.users], both[self.users :]

    def _everywhere(self) -> Tensor:
        """Vectors of all nodes, users first, [users + items, dim]."""
        self._graph.to(self.id.weight.device)
        views = [view(self.id.weight, self._graph) for view in self.views]
        return torch.stack(views).mean(dim=0)


class _View(nn.Module):
    """What one view makes of users and items; a user's side of it is learned."""

    features: Tensor

    def __init__(self, modality: Modality, users: int, config: RecommenderConfig):
        super().__init__()
        dim, layers = config.dim, config.layers
        self.register_buffer("features", modality.features, persistent=False)
        self.preference = nn.Embedding(users, dim)
        nn.init.normal_(self.preference.weight, std=config.initial_std)
        self.project = nn.Linear(modality.features.shape[1], dim)
        self.aggregate, self.keep, self.combine = (
            nn.ModuleList(nn.Linear(dim, dim, bias=bias) for _ in range(layers)) for bias in (False, True, True)
        )

    def forward(self, ids: Tensor, graph: "_MeanOfNeighbours") -> Tensor:
        """Vectors of all nodes, [users + items, dim]."""
        x = self._first()
        for layer in range(len(self.aggregate)):
            x = self._layer(layer, x, ids, graph(x))
        return x

    def at(self, nodes: Tensor, ids: Tensor, graph: "_MeanOfNeighbours") -> Tensor:
        """Vectors of distinct nodes alone: the last layer is made for no others, [len(nodes), dim]."""
        x, last = self._first(), len(self.aggregate) - 1
        for layer in range(last):
            x = self._layer(layer, x, ids, graph(x))
        neighbours = graph.at(nodes, x)
        return self._layer(last, x.index_select(0, nodes), ids.index_select(0, nodes), neighbours)

    def _first(self) -> Tensor:
        return F.normalize(torch.cat([self.preference.weight, self.project(self.features)]))

    def _layer(self, layer: int, x: Tensor, ids: Tensor, neighbours: Tensor) -> Tensor:
        """One layer for some nodes, from their vectors and the means of those of their neighbours."""
        near = F.leaky_relu(self.aggregate[layer](neighbours))
        own = F.leaky_relu(self.keep[layer](x)) + ids
        return F.leaky_relu(self.combine[layer](near) + own)


class _MeanOfNeighbours:
    """D^-1 A x; nodes without neighbours get zeros."""

    def __init__(self, adjacency: sp.csr_matrix):
        self._device: torch.device | None = None
        self._ones = sp.csr_matrix((np.ones_like(adjacency.data), adjacency.indices, adjacency.indptr), adjacency.shape)
        self._degree = np.diff(self._ones.indptr)

    def to(self, device: torch.device) -> None:
        if self._device != device:
            self._device, self._matrix = device, SparseMatrix(self._ones, device)
            self._share = 1 / torch.from_numpy(self._degree).to(device).clamp(min=1)[:, None].float()

    def __call__(self, vectors: Tensor) -> Tensor:
        return self._share * symmetric_product(self._matrix, vectors)

    def at(self, nodes: Tensor, vectors: Tensor) -> Tensor:
        """The same of distinct nodes alone, [len(nodes), dim]."""
        if not is_cheaper(nodes, self._degree, self._ones.nnz):
            return self(vectors).index_select(0, nodes)
        return self._share.index_select(0, nodes) * (SomeRows(self._ones, nodes) @ vectors)
