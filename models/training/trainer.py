"""One trainer for every model of vectors: seeded batches, early stopping on validation, the best weights kept.

Training that was broken off goes on from its last checkpoint, and ends with the same weights as if it had not been (on
a CPU, with the same number of threads). Whatever the device, batches and negatives are drawn on the CPU: a seed draws
the same ones everywhere, and a checkpoint goes on anywhere.
"""

import logging
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from models.config import TrainerConfig
from models.errors import LostProcessError, ModelError
from models.recommenders.recommender import VectorModel
from models.training.checkpoint import Checkpoint, State
from models.training.objectives import Objective, objective_of
from models.training.single_process import SINGLE_PROCESS, SingleProcess

logger = logging.getLogger(__name__)

Validate = Callable[[np.ndarray, np.ndarray], float]


class History(BaseModel):
    """What training saw.

    Attributes:
        loss: mean loss of every epoch.
        collision_rate: share of the drawn negatives of every epoch that their user has in train.
        validation: (epoch, validation metric) of every look.
        best_epoch, best_value: the look whose weights were kept.
        seconds: that it took, looks included, without what a process lost that was ended before a checkpoint.
    """

    loss: list[float] = []
    collision_rate: list[float] = []
    validation: list[tuple[int, float]] = []
    best_epoch: int = 0
    best_value: float = -1.0
    seconds: float = 0.0

    def ended(self, config: TrainerConfig) -> bool:
        """Whether validation has not improved for as long as `config` allows, or all epochs are done."""
        since_best = self.validation[-1][0] - self.best_epoch if self.validation else 0
        return len(self.loss) >= config.max_epochs or since_best >= config.patience * config.evaluate_every


def train(
    model: VectorModel,
    user: np.ndarray,
    item: np.ndarray,
    config: TrainerConfig,
    device: torch.device,
    validate: Validate | None,
    on_epoch: Callable[[], None],
    checkpoint: Checkpoint | None = None,
    group: SingleProcess = SINGLE_PROCESS,
    look_first: bool = False,
) -> History:
    """Train `model` on pairs by `config.loss` until validation stops to improve, and leave it with its best weights.

    Training that diverges after a good look ends there, with a warning. Without validation it is trained for
    `config.max_epochs` and keeps the last weights.

    Args:
        user, item: int [train], each pair once.
        validate: from user vectors [users, dim] and item vectors [items, dim] to a value, the higher the better; None
            where nothing is held out.
        on_epoch: called after every epoch.
        checkpoint: of this training alone; saved after every look at validation, or as often without one, and gone on
            from where it has one.
        group: those that train the same model, each with its dimensions of it; every rank draws the same batches.
        look_first: whether the weights that it begins with are validated, too.

    Raises:
        ModelError: a loss or a score is no number before there is anything to keep.
    """
    model.to(device)
    generator = torch.Generator().manual_seed(config.seed)
    pairs = torch.from_numpy(np.stack([user, item]).astype(np.int64)).to(device)
    objective = objective_of(config, pairs[0], pairs[1], model.users, model.items, group)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    history, best = History(), _weights(model)
    saved = checkpoint.load() if checkpoint else None
    if saved:
        history = History.model_validate_json(saved[1])
        best = _restore(saved[0], model, optimiser, generator)
    elif look_first and validate is not None:
        history.best_value = validate(*model.vectors())
        history.validation.append((0, history.best_value))
    before = history.seconds - time.perf_counter()
    while not history.ended(config):
        loss, collisions = _epoch(model, pairs, objective, optimiser, config.pairs_a_step(len(user)), generator)
        history.loss.append(loss)
        history.collision_rate.append(collisions)
        on_epoch()
        epoch = len(history.loss)
        if epoch % config.evaluate_every and epoch != config.max_epochs:
            continue
        if validate is None:
            if not math.isfinite(loss):
                raise ModelError(f"training diverged by epoch {epoch}; a lower learning_rate helps")
            history.best_epoch, best = epoch, _weights(model)
        else:
            try:
                value = validate(*model.vectors())
            except LostProcessError:
                raise
            except ModelError as error:  # scores that are no numbers
                if history.best_value < 0:  # nothing is kept yet
                    raise
                kept = history.best_epoch
                logger.warning(f"training ended at epoch {epoch} ({error}); the weights of {kept} are kept")
                break
            history.validation.append((epoch, value))
            if value > history.best_value:
                history.best_epoch, history.best_value, best = epoch, value, _weights(model)
        history.seconds = before + time.perf_counter()
        if checkpoint:
            checkpoint.save(_state(model, best, optimiser, generator), history.model_dump_json())
    model.load_state_dict(best)
    return history


def _epoch(
    model: VectorModel,
    pairs: Tensor,
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Mean loss and mean collision rate of one pass over the pairs in random order."""
    order = torch.randperm(pairs.shape[1], generator=generator).to(pairs.device)
    total = torch.zeros(2, dtype=torch.float64, device=pairs.device)
    for batch in order.split(batch_size):
        user, positive = pairs[:, batch]
        loss, collisions = objective(model, user, positive, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += torch.stack([loss.detach(), collisions]) * len(batch)
    loss, collisions = (total / pairs.shape[1]).tolist()
    return loss, collisions


def _weights(model: VectorModel) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _state(
    model: VectorModel, best: dict[str, Tensor], optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> State:
    """Everything that the next epoch depends on, as arrays by name."""
    moments = {
        f"{number}.{name}": value
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    parts = {"model": model.state_dict(), "best": best, "optimiser": moments, "random": {"": generator.get_state()}}
    return {
        f"{part}/{name}": value.detach().cpu().numpy() for part, found in parts.items() for name, value in found.items()
    }


def _restore(
    arrays: State, model: VectorModel, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Tensor]:
    """Put the state of `_state` back, and return the best weights."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, array in arrays.items():
        part, name = key.split("/", 1)
        parts.setdefault(part, {})[name] = torch.from_numpy(np.array(array))
    model.load_state_dict(parts["model"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in parts["optimiser"].items():
        number, name = key.split(".")
        moments.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    generator.set_state(parts["random"][""])
    return {name: value.to(next(model.parameters()).device) for name, value in parts["best"].items()}
