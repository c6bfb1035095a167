"""One trainer for every recommender: seeded batches, early stopping on validation, the best weights kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from models.config import TrainerConfig
from models.objectives import Objective, objective_of
from models.recommender import Recommender

Validate = Callable[[np.ndarray, np.ndarray], float]


@dataclass
class History:
    """What training saw.

    Attributes:
        loss: mean loss of every epoch.
        collision_rate: share of the drawn negatives of every epoch that their user has in train.
        validation: (epoch, validation metric) of every look.
        best_epoch, best_value: the look whose weights were kept.
    """

    loss: list[float] = field(default_factory=list)
    collision_rate: list[float] = field(default_factory=list)
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
    """Train `model` on pairs by `config.loss` until validation stops to improve, and leave it with its best weights.

    Args:
        user, item: int [train], each pair once.
        validate: from user vectors [users, dim] and item vectors [items, dim] to a value, the higher the better.
        on_epoch: called after every epoch.
    """
    model.to(device)
    generator = torch.Generator(device).manual_seed(config.seed)
    pairs = torch.from_numpy(np.stack([user, item]).astype(np.int64)).to(device)
    objective = objective_of(config, pairs[0], pairs[1], model.users, model.items)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    history, best = History(), _weights(model)
    for epoch in range(1, config.max_epochs + 1):
        loss, collisions = _epoch(model, pairs, objective, optimiser, config.batch_size, generator)
        history.loss.append(loss)
        history.collision_rate.append(collisions)
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
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Mean loss and mean collision rate of one pass over the pairs in random order."""
    order = torch.randperm(pairs.shape[1], generator=generator, device=pairs.device)
    total = torch.zeros(2, dtype=torch.float64, device=pairs.device)
    for batch in order.split(batch_size):
        user, positive = pairs[:, batch]
        loss, collisions = objective(model, user, positive, generator)
        # Zeroed and kept: autograd then adds into the same memory every step.
        optimiser.zero_grad(set_to_none=False)
        loss.backward()
        optimiser.step()
        total += torch.stack([loss.detach(), collisions]) * len(batch)
    loss, collisions = (total / pairs.shape[1]).tolist()
    return loss, collisions


def _weights(model: Recommender) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
