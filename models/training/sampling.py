"""Negative items, drawn for a whole batch at once, and what of them a user has in train."""

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

    def draw(self, user: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One item for each of `user`, int64 [batch], and the share of first draws that were in train.

        The generator is one of the CPU.
        """
        item = torch.randint(self.items, user.shape, generator=generator).to(user.device)
        again = torch.randint(self.items, user.shape, generator=generator).to(user.device)
        known = self._is_known(user * self.items + item)
        return torch.where(known, again, item), known.float().mean()

    def _is_known(self, pair: Tensor) -> Tensor:
        place = torch.searchsorted(self._known, pair).clamp(max=len(self._known) - 1)
        return self._known[place] == pair


class TrainItems:
    """The train items of every user, for the rows of a batch.

    Args:
        user, item: int64 [train], each pair once.
        users, items: how many there are.
    """

    def __init__(self, user: Tensor, item: Tensor, users: int, items: int):
        self.items, self.mean_history = items, len(user) / users
        self._item = item[user.argsort()]
        self._count = torch.bincount(user, minlength=users)
        self._start = self._count.cumsum(0) - self._count

    def of(self, user: Tensor) -> tuple[Tensor, Tensor]:
        """All train items of a batch's users: the number of the row in the batch, and the item, int64 [found] each."""
        count = self._count[user]
        row = torch.arange(len(user), device=user.device).repeat_interleave(count)
        before = self._start[user] - (count.cumsum(0) - count)
        return row, self._item[torch.arange(len(row), device=user.device) + before[row]]

    def share(self, times_row: Tensor, row: Tensor, item: Tensor, columns: Tensor) -> Tensor:
        """Share of the pairs of a row and a column that are in train.

        Args:
            times_row: int64 [rows], how often each row counts; row, item: what `of` found.
            columns: int64, items; repeats count.
        """
        times = torch.bincount(columns, minlength=self.items)
        return (times[item] * times_row[row]).sum() / (times_row.sum() * len(columns))

    def known(self, rows: int, row: Tensor, item: Tensor, columns: Tensor) -> Tensor:
        """Which pairs of a row and one of the distinct items `columns` are in train, bool [rows, columns].

        `row` and `item` are what `of` found.
        """
        slot = torch.full((self.items,), len(columns), device=columns.device)  # the last one is for all others
        slot[columns] = torch.arange(len(columns), device=columns.device)
        known = torch.zeros(rows, len(columns) + 1, dtype=torch.bool, device=columns.device)
        known[row, slot[item]] = True
        return known[:, :-1]
