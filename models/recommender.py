"""The recommender that every learned model here is a setting of: an item encoder, propagation layers, a dot product.

layers = 0 and item_encoder = "id" is BPR-MF; layers = 2 is LightGCN; item_encoder = "gated" is the gated LightGCN.
"""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from models.config import RecommenderConfig
from models.errors import ModelError
from models.fusion import GatedFusion
from models.propagation import Propagation

INITIAL_STD = 0.1


class Recommender(nn.Module):
    """Users and items as vectors whose product is a preference.

    Args:
        adjacency: see `models.propagation.normalised_adjacency`; unused if config.layers is 0.
        fusion: the items' content, if config.item_encoder is "gated".
    """

    def __init__(
        self,
        config: RecommenderConfig,
        users: int,
        items: int,
        adjacency: sp.csr_matrix | None = None,
        fusion: GatedFusion | None = None,
    ):
        super().__init__()
        if (config.item_encoder == "gated") != (fusion is not None):
            raise ModelError(f"item_encoder {config.item_encoder!r} does not fit the content given")
        if not config.use_id and fusion is None:
            raise ModelError("use_id is false, and without content an item would be nothing")
        self.config, self.users, self.items = config, users, items
        self.user_id = nn.Embedding(users, config.dim)
        self.item_id = nn.Embedding(items, config.dim) if config.use_id else None
        self.fusion = fusion
        for table in filter(None, (self.user_id, self.item_id)):
            nn.init.normal_(table.weight, std=INITIAL_STD)
        self._adjacency = adjacency
        self._propagation: Propagation | None = None

    def layer_0(self) -> tuple[Tensor, Tensor]:
        """Vectors before propagation: of users [users, dim], of items [items, dim]."""
        item = self.item_id.weight if self.item_id is not None else None
        if self.fusion is not None:
            content = self.fusion()
            item = content if item is None else item + content
        assert item is not None
        return self.user_id.weight, item

    def of_batch(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of a batch's users, then of its items, after and before propagation, [users + items, dim] each.

        Args:
            user, item: int64, of any two lengths; repeats are allowed.
        """
        return self._propagate().at(torch.cat([user, item + self.users]), *self.layer_0())

    @torch.no_grad()
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Final vectors that score by their product: users float32 [users, dim], items float32 [items, dim]."""
        both = self._propagate().everywhere(*self.layer_0()).cpu().numpy()
        return both[: self.users], both[self.users :]

    def _propagate(self) -> Propagation:
        """The propagation on the device where the weights are now."""
        device = self.user_id.weight.device
        if self._propagation is None or self._propagation.device != device:
            shape = self.users, self.items, self.config.dim, self.config.layers
            self._propagation = Propagation(self._adjacency, *shape, device)
        return self._propagation
