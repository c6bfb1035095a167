"""What training asks of the processes that share it, as one process answers by itself.

`models.distributed` has the answers of several; nothing else in `models` knows of them.
"""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from models.recommenders.recommender import VectorModel
from models.training.checkpoint import Checkpoint


class SingleProcess:
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
        self, vectors: Tensor, sizes: tuple[int, int, int], row: Tensor, temperature: float, penalty: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines over the temperature: of the positives and their users, [batch], and of all negatives, [users, n].

        Args:
            vectors: of the users, the positives and the negatives, as many as `sizes` says, [users + batch + n, dim].
            row: int64 [batch], which of the users a positive is of.
            penalty: a scalar that is added up along with them.

        Returns:
            Both, and the whole penalty.
        """
        user, positive, negative = F.normalize(vectors).split(sizes)
        user = user / temperature
        return (user.index_select(0, row) * positive).sum(dim=1), user @ negative.T, penalty

    def divide(self, model: VectorModel, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Keep of a whole model what this process trains, in place, and give the checkpoint of that."""
        return checkpoint

    def unite(self, model: VectorModel) -> None:
        """Make the trained model whole again, in place, at rank 0."""


SINGLE_PROCESS = SingleProcess()
