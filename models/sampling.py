"""Negative items for pairwise losses, drawn for a whole batch at once."""

import torch
from torch import Tensor


class UniformNegatives:
    """Draws items uniformly; one that the user has in train is drawn once more, and then taken as it comes.

    Args:
        user, item: int64 [train], each pair once.
        items: number of items.
    """

    def __init__(self, user: Tensor, item: Tensor, items: int):
        self.items = items
        self._known = (user * items + item).sort().values

    def draw(self, user: Tensor, generator: torch.Generator) -> Tensor:
        """One item for each of `user`, int64 [batch]."""
        item = torch.randint(self.items, user.shape, generator=generator, device=user.device)
        again = torch.randint(self.items, user.shape, generator=generator, device=user.device)
        return torch.where(self._is_known(user * self.items + item), again, item)

    def _is_known(self, pair: Tensor) -> Tensor:
        place = torch.searchsorted(self._known, pair).clamp(max=len(self._known) - 1)
        return self._known[place] == pair
