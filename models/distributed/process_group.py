"""The processes that share one training by embedding dimension, and all that they tell each other.

A rank holds some dimensions of every vector, so whatever is a sum over dimensions is known in parts: it is added up
over the ranks, and every rank goes on with the same numbers.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from models.errors import LostProcessError
from models.recommenders.recommender import VectorModel
from models.training.checkpoint import Checkpoint
from models.training.single_process import SingleProcess

SQUARED_EPSILON = 1e-24  # of the norms by which `torch.nn.functional.normalize` divides


class ProcessGroup(SingleProcess, ABC):
    """The ranks of the process group that this process is in, which is of gloo; every call is made by all of them.

    Attributes:
        sent: bytes that this rank has put into collectives, by what they were; IN_A_STEP are those of training steps.
    """

    IN_A_STEP = ("scores", "positive_scores", "squared_norms", "penalty", "gradients")

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.sent: Counter[str] = Counter()

    def total(self, **parts: Tensor) -> tuple[Tensor, ...]:
        return _Total.apply(self, tuple(parts), *parts.values())

    def logits(
        self, vectors: Tensor, sizes: tuple[int, int, int], row: Tensor, temperature: float, penalty: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        user, positive, negative = vectors.split(sizes)
        right, wrong, squares, penalty = self.total(
            positive_scores=(user.index_select(0, row) * positive).sum(dim=1),
            scores=user @ negative.T,
            squared_norms=vectors.square().sum(dim=1),
            penalty=penalty,
        )
        of_user, of_positive, of_negative = squares.clamp_min(SQUARED_EPSILON).rsqrt().split(sizes)
        of_user = of_user / temperature
        return right * of_user.index_select(0, row) * of_positive, wrong * of_user[:, None] * of_negative, penalty

    @abstractmethod
    def divide(self, model: VectorModel, checkpoint: Checkpoint | None) -> Checkpoint | None: ...

    @abstractmethod
    def unite(self, model: VectorModel) -> None: ...

    def added(self, what: str, part: Tensor) -> Tensor:
        """The sum of all ranks' parts, without a gradient."""
        return self._added((what,), (part,))[0]

    def _added(self, names: tuple[str, ...], parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for name, part in zip(names, parts, strict=True):
            self.sent[name] += part.nbytes
        together = torch.cat([part.reshape(-1) for part in parts])
        with self._in_step():
            dist.all_reduce(together)
        pieces = together.split([part.numel() for part in parts])
        return tuple(piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True))

    def gathered(self, what: str, part: Tensor, axis: int, to: int | None = None) -> Tensor | None:
        """The whole of a tensor that is dealt out to the ranks along `axis`, as `models.distributed.sharding.cut` does.

        Args:
            part: on a CPU, of the same shape on all ranks.
            to: the only rank that gets it; the others get None.
        """
        self.sent[what] += part.nbytes
        part = part.contiguous()
        parts = [torch.empty_like(part) for _ in range(self.size)] if to in (None, self.rank) else []
        with self._in_step():
            if to is None:
                dist.all_gather(parts, part)
            else:
                dist.gather(part, parts or None, dst=to)
        return torch.stack(parts, dim=axis + 1).flatten(axis, axis + 1) if parts else None

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise LostProcessError(
                f"process {self.rank} of the {self.size} that share a training lost another: it ended or fell silent"
            ) from error


class _Total(torch.autograd.Function):
    """One sum over ranks of several tensors; a rank has the whole gradient of the sum, which is that of its part."""

    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, names: tuple[str, ...], *parts: Tensor) -> tuple[Tensor, ...]:
        return group._added(names, parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *gradients
