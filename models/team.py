"""The processes that share one training by embedding dimension, and all that they tell each other.

A rank holds some dimensions of every vector, so whatever is a sum over dimensions is known in parts: it is added up
over the ranks, and every rank goes on with the same numbers.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from models.errors import LostProcessError

TIMEOUT_S = 600.0  # longer than ranks are ever apart: while rank 0 writes a checkpoint, the others wait
SQUARED_EPSILON = 1e-24  # of the norms by which `torch.nn.functional.normalize` divides


class Alone:
    """A process that trains by itself: its vectors are whole, and nothing is exchanged."""

    rank, size = 0, 1

    def total(self, **parts: Tensor) -> tuple[Tensor, ...]:
        """What is known in parts, added up over all ranks, with a gradient; the parts are of one dtype.

        What comes of it must be the same on every rank, for a rank then knows the whole gradient by itself.

        Args:
            parts: by what they are, which is what the bytes are counted by.
        """
        return tuple(parts.values())

    def logits(
        self, vectors: Tensor, sizes: tuple[int, int, int], temperature: float, penalty: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines over the temperature: of users and their positives, [batch], and all negatives, [batch, n].

        Args:
            vectors: of the users, the positives and the negatives, as many as `sizes` says, [2 batch + n, dim].
            penalty: a scalar that is added up along with them.

        Returns:
            Both, and the whole penalty.
        """
        user, positive, negative = F.normalize(vectors).split(sizes)
        user = user / temperature
        return (user * positive).sum(dim=1), user @ negative.T, penalty


class Team(Alone):
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
        self, vectors: Tensor, sizes: tuple[int, int, int], temperature: float, penalty: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        user, positive, negative = vectors.split(sizes)
        right, wrong, squares, penalty = self.total(
            positive_scores=(user * positive).sum(dim=1),
            scores=user @ negative.T,
            squared_norms=vectors.square().sum(dim=1),
            penalty=penalty,
        )
        of_user, of_positive, of_negative = squares.clamp_min(SQUARED_EPSILON).rsqrt().split(sizes)
        of_user = of_user / temperature
        return right * of_user * of_positive, wrong * of_user[:, None] * of_negative, penalty

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
        """The whole of a tensor that is dealt out to the ranks along `axis`, as `models.sharding.cut` does.

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
    def forward(ctx: Any, team: Team, names: tuple[str, ...], *parts: Tensor) -> tuple[Tensor, ...]:
        return team._added(names, parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *gradients


ALONE = Alone()


@contextmanager
def joined(store: str = "env://", rank: int = -1, size: int = -1, timeout_s: float = TIMEOUT_S) -> Iterator[Team]:
    """Be one of the processes that meet at `store`, an `init_method` of torch.distributed, while this lasts.

    `env://`, which knows rank and size by itself, is where `torchrun` has its processes meet.

    Args:
        timeout_s: a rank that waits longer for another gives up.

    Raises:
        LostProcessError: not all of them came in time.
    """
    waiting, started = timedelta(seconds=timeout_s), time.monotonic()
    try:
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=waiting)
    except RuntimeError as error:
        if time.monotonic() - started < timeout_s:
            raise LostProcessError("a process lost another before all that share the training had met") from error
        raise LostProcessError(
            f"the processes that were to share a training did not all meet within {timeout_s:g} s"
        ) from error
    try:
        yield Team()
    finally:
        dist.destroy_process_group()
