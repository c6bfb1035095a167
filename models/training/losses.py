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


def sampled_softmax_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """−mean log (e^p / (e^p + Σ_j e^n_j)): how surely each positive is told from its negatives.

    Jean et al., "On Using Very Large Target Vocabulary for Neural Machine Translation", ACL 2015; for recommendation
    Wu et al., "On the Effectiveness of Sampled Softmax Loss for Item Recommendation", TOIS 2024.

    Args:
        positive: logits of the positives, [batch].
        negative: logits of their negatives, [batch, n]; −inf leaves one out. They are overwritten.
    """
    return _SampledSoftmax.apply(positive, negative)


class _SampledSoftmax(torch.autograd.Function):
    """Logits, probabilities and gradient share one [batch, n]: made anew each step, they cost more than the sums."""

    @staticmethod
    def forward(ctx: Any, positive: Tensor, negative: Tensor) -> Tensor:
        peak = torch.maximum(positive, negative.amax(dim=1))
        weights = negative.sub_(peak[:, None]).exp_()  # [batch, n]
        own = (positive - peak).exp()
        total = own + weights.sum(dim=1)
        ctx.save_for_backward(own / total, total)
        ctx.weights = weights
        return (total.log() + peak - positive).mean()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        probability, total = ctx.saved_tensors
        scale = grads[0] / len(total)
        return (probability - 1) * scale, ctx.weights.mul_((scale / total)[:, None])
