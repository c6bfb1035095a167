"""Begins a training from the weights of an earlier one, for the users and items that both know."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from models.recommenders.recommender import VectorModel


@dataclass(frozen=True)
class WarmStart:
    """The weights of an earlier training, and where its users and items are now.

    Attributes:
        weights: by their names in the state of the model.
        users: int64 [users], the row that each user had; -1 for a new one.
        items: int64 [items], the same of items.
    """

    weights: Mapping[str, np.ndarray]
    users: np.ndarray
    items: np.ndarray

    def put_into(self, model: VectorModel) -> None:
        """Replace what the earlier training knew; new users and items keep their seeded vectors.

        A weight that has a row for each user, or each item, has "user" or "item" in its name.
        """
        with torch.no_grad():
            for name, value in model.state_dict().items():
                before = self.weights.get(name)
                if before is None or before.shape[1:] != tuple(value.shape[1:]):
                    continue
                rows = self._rows(name, len(value))
                if rows is not None:
                    known = np.flatnonzero(rows >= 0)
                    value[torch.from_numpy(known)] = torch.from_numpy(np.array(before[rows[known]])).to(value)
                elif before.shape == tuple(value.shape):
                    value.copy_(torch.from_numpy(np.array(before)))

    def _rows(self, name: str, length: int) -> np.ndarray | None:
        """The earlier rows of a weight that has one for each user or item; None for any other weight."""
        for side, rows in (("user", self.users), ("item", self.items)):
            if side in name and length == len(rows):
                return rows
        return None


def rows_before(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Where each key of `now` stood in `before`, int64 [len(now)]; -1 where it is new.

    Args:
        now, before: uint64, each key once.
    """
    if not len(before):
        return np.full(len(now), -1, np.int64)
    order = np.argsort(before)
    place = np.searchsorted(before, now, sorter=order).clip(max=len(before) - 1)
    found = order[place]
    return np.where(before[found] == now, found, -1).astype(np.int64)
