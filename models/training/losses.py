"""What training minimises."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def bpr_loss(margin: Tensor) -> Tensor:
    """Bayesian personalised ranking: −mean log σ(u·i − u·j).

    Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009.

    Args:
        margin: u·i − u·j, by how much a positive is preferred to a negative, [batch].
    """
    return -F.logsigmoid(margin).mean()


def l2_penalty(*vectors: Tensor) -> Tensor:
    """Half the mean over the batch of the summed squared norms; each tensor is [batch, dim]."""
    return sum((v.square().sum(dim=1).mean() for v in vectors), start=vectors[0].new_zeros(())) / 2


def sampled_softmax_loss(positive: Tensor, negative: Tensor, row: Tensor) -> Tensor:
    """−mean log (e^p / (e^p + Σ_j e^n_j)): how surely each positive is told from the negatives of its user.

    Jean et al., "On Using Very Large Target Vocabulary for Neural Machine Translation", ACL 2015; for recommendation
    Wu et al., "On the Effectiveness of Sampled Softmax Loss for Item Recommendation", TOIS 2024.

    Args:
        positive: logits of the positives, [batch].
        negative: logits of the negatives of each distinct user, [users, n]; −inf leaves one out. They are overwritten.
        row: int64 [batch], the user of each positive.
    """
    return _SampledSoftmax.apply(positive, negative, row)


class _SampledSoftmax(torch.autograd.Function):
    """Logits, probabilities and gradient share one [users, n]: made anew each step, they cost more than the sums."""

    @staticmethod
    def forward(ctx: Any, positive: Tensor, negative: Tensor, row: Tensor) -> Tensor:
        peak = negative.amax(dim=1)
        peak = torch.where(peak.isinf(), torch.zeros_like(peak), peak)  # of a user all of whose negatives are left out
        weights = negative.sub_(peak[:, None]).exp_()  # [users, n]
        total = weights.sum(dim=1)
        against = (peak + total.log()).index_select(0, row)  # log Σ_j e^n_j, [batch]
        both = torch.logaddexp(positive, against)
        ctx.save_for_backward((positive - both).exp(), (against - both).exp(), total, row)
        ctx.weights = weights
        return (both - positive).mean()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        own, others, total, row = ctx.saved_tensors
        scale = grads[0] / len(row)
        share = torch.zeros_like(total).index_add_(0, row, others * scale) / total.clamp_min(
            torch.finfo(total.dtype).tiny
        )
        return (own - 1) * scale, ctx.weights.mul_(share[:, None]), None
