"""One trainer for every recommender: seeded batches, early stopping on validation, the best weights kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from models.config import TrainerConfig
from models.losses import bpr_loss, l2_penalty
from models.recommender import Recommender
from models.sampling import UniformNegatives

Validate = Callable[[np.ndarray, np.ndarray], float]


@dataclass
class History:
    """What training saw.

    Attributes:
        loss: mean loss of every epoch.
        validation: (epoch, validation metric) of every look.
        best_epoch, best_value: the look whose weights were kept.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = -1.0


def train(
    model: Recommender,
    user: np.ndarray,
    item: np.ndarray,
    config: TrainerConfig,
    device: torch.device,
    validate: Validate,
    on_epoch: Callable[[], None],
) -> History:
    """Train `model` on pairs by BPR until validation stops to improve, and leave it with its best weights.

    Args:
        user, item: int [train], each pair once.
        validate: from user vectors [users, dim] and item vectors [items, dim] to a value, the higher the better.
        on_epoch: called after every epoch.
    """
    model.to(device)
    generator = torch.Generator(device).manual_seed(config.seed)
    pairs = torch.from_numpy(np.stack([user, item]).astype(np.int64)).to(device)
    negatives = UniformNegatives(pairs[0], pairs[1], model.items)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    history, best = History(), _weights(model)
    for epoch in range(1, config.max_epochs + 1):
        history.loss.append(_epoch(model, pairs, negatives, optimiser, config, generator))
        on_epoch()
        if epoch % config.evaluate_every and epoch != config.max_epochs:
            continue
        value = validate(*model.vectors())
        history.validation.append((epoch, value))
        if value > history.best_value:
            history.best_epoch, history.best_value, best = epoch, value, _weights(model)
        elif epoch - history.best_epoch >= config.patience * config.evaluate_every:
            break
    model.load_state_dict(best)
    return history


def _epoch(
    model: Recommender,
    pairs: torch.Tensor,
    negatives: UniformNegatives,
    optimiser: torch.optim.Optimizer,
    config: TrainerConfig,
    generator: torch.Generator,
) -> float:
    order = torch.randperm(pairs.shape[1], generator=generator, device=pairs.device)
    total = 0.0
    for batch in order.split(config.batch_size):
        user, positive = pairs[:, batch]
        negative = negatives.draw(user, generator)
        layer_0 = model.layer_0()
        final = model.propagated(layer_0)
        rows = user, positive + model.users, negative + model.users
        # Not final[row]: on a CPU the gradient of indexing adds in no fixed order, and no two runs are equal.
        loss = bpr_loss(*(final.index_select(0, row) for row in rows))
        loss = loss + config.l2 * l2_penalty(*(layer_0.index_select(0, row) for row in rows))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += float(loss.detach()) * len(batch)
    return total / pairs.shape[1]


def _weights(model: Recommender) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
