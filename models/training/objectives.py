"""One training step of each loss: which items a batch is set against, and what comes of it."""

from typing import Protocol

import torch
from torch import Tensor

from models.config import TrainerConfig
from models.recommenders.recommender import VectorModel
from models.training.losses import bpr_loss, l2_penalty, sampled_softmax_loss
from models.training.sampling import TrainItems, UniformNegatives
from models.training.single_process import SINGLE_PROCESS, SingleProcess

# Below this share of all items in a user's history, a uniform negative is so seldom a known item that looking for
# those costs more than they harm.
SHORT_HISTORY = 0.005
RATED_ROWS = 256  # users of a batch, for the collision rate where nothing is masked


class Objective(Protocol):
    """The loss of a batch of train pairs, and the share of its drawn negatives that the user has in train."""

    def __call__(
        self, model: VectorModel, user: Tensor, positive: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]: ...


def objective_of(
    config: TrainerConfig, user: Tensor, item: Tensor, users: int, items: int, group: SingleProcess = SINGLE_PROCESS
) -> Objective:
    """What `config.loss` names, over train pairs int64 [train]; on every rank of a group it is that of the whole."""
    if config.loss == "bpr":
        return Bpr(config, UniformNegatives(user, item, items), group)
    return Softmax(config, TrainItems(user, item, users, items), torch.bincount(item, minlength=items), group)


class Bpr:
    """Each positive against one uniform negative of its own."""

    def __init__(self, config: TrainerConfig, negatives: UniformNegatives, group: SingleProcess):
        self.config, self.negatives, self.group = config, negatives, group

    def __call__(
        self, model: VectorModel, user: Tensor, positive: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        negative, collisions = self.negatives.draw(user, generator)
        after, before = model.of_batch(user, torch.cat([positive, negative]))
        users, positives, negatives = after.chunk(3)
        margin, penalty = self.group.total(
            scores=(users * (positives - negatives)).sum(dim=1), penalty=l2_penalty(*before.chunk(3))
        )
        return bpr_loss(margin) + self.config.l2 * penalty, collisions


class Softmax:
    """Each positive against uniform negatives that the batch shares, the batch's own items, or both, by cosine.

    The batch's own items are drawn by popularity: their logits are lowered by α·log(q·items), q being an item's share
    of train, which is nothing for an item of mean popularity. That is the correction of Yi et al., "Sampling-Bias-
    Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019, with a weight and of negatives alone.
    Among them what the user has in train is left out; among the shared ones, only where histories are long.

    Args:
        popularity: train interactions of every item, int64 [items].
    """

    def __init__(self, config: TrainerConfig, train: TrainItems, popularity: Tensor, group: SingleProcess):
        self.config, self.train, self.group = config, train, group
        share = popularity / popularity.sum()
        self.correction = config.logq_weight * (share * len(popularity)).log()
        self.mask_shared = train.mean_history / len(popularity) >= SHORT_HISTORY

    def __call__(
        self, model: VectorModel, user: Tensor, positive: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        drawn = self.columns(positive, generator)
        # An item that was drawn c times stands in the sum once, c-fold: its logit is raised by log c.
        (own, own_times), (shared, shared_times) = (torch.unique(kind, return_counts=True) for kind in drawn)
        columns = torch.cat([own, shared])
        raised = torch.cat([own_times.log() - self.correction[own], shared_times.log()])
        # Negatives are those of a user, however often the batch has the user.
        distinct, place, times = torch.unique(user, return_inverse=True, return_counts=True)
        after, before = model.of_batch(distinct, torch.cat([positive, columns]))
        users, positives = before[: len(distinct)], before[len(distinct) : len(distinct) + len(positive)]
        sizes, penalty = (
            (len(distinct), len(positive), len(columns)),
            l2_penalty(users.index_select(0, place), positives),
        )
        own_logits, logits, penalty = self.group.logits(after, sizes, place, self.config.temperature, penalty)
        logits.add_(raised)  # [distinct users, columns]
        if not len(own) and not self.mask_shared:
            distinct, times = distinct[:RATED_ROWS], times[:RATED_ROWS]
        row, item = self.train.of(distinct)
        with torch.no_grad():
            for kind, start in [(own, 0), (shared, len(own))] if self.mask_shared else [(own, 0)]:
                if len(kind):
                    known = self.train.known(len(distinct), row, item, kind)
                    logits[:, start : start + len(kind)].masked_fill_(known, -torch.inf)
        loss = sampled_softmax_loss(own_logits, logits, place)
        return loss + self.config.l2 * penalty, self.train.share(times, row, item, torch.cat(drawn))

    def columns(self, positive: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The batch's own items and the shared ones, int64; what is not asked for is empty."""
        kind, nothing = self.config.softmax_negatives, positive[:0]
        own = nothing if kind == "shared" else positive
        if kind == "in_batch":
            return own, nothing
        size = (self.config.shared_negatives,)
        return own, torch.randint(self.train.items, size, generator=generator).to(positive.device)
