"""What training minimises."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def bpr_loss(user: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking: −mean log σ(u·i − u·j).

    Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009.

    Args:
        user, positive, negative: [batch, dim].
    """
    return -F.logsigmoid((user * (positive - negative)).sum(dim=1)).mean()


def l2_penalty(*vectors: Tensor) -> Tensor:
    """Half the mean over the batch of the summed squared norms; each tensor is [batch, dim]."""
    return sum((v.square().sum(dim=1).mean() for v in vectors), start=vectors[0].new_zeros(())) / 2
