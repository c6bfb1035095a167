"""One fit of one learned model: it stops early on validation, and is kept as arrays and facts."""

from collections.abc import Callable

import numpy as np

from assets.training.held_out import HeldOut
from models.config import RecommenderConfig, TrainerConfig
from models.device import device_of
from models.ranking.ranking import Vectors
from models.recommenders.recommender import VectorModel
from models.training.build_and_fit import TrainSet, fit
from models.training.single_process import SINGLE_PROCESS, SingleProcess
from models.training.trainer import History
from models.training.warm_start import WarmStart
from storage.artifacts.saved_models import FileCheckpoint, SavedModel
from storage.errors import InputError


def on_processors(training: TrainerConfig) -> TrainerConfig:
    """The same without a GPU: processes share a training on processors alone.

    Raises:
        InputError: another device is asked for by its name.
    """
    if training.device not in ("auto", "cpu"):
        raise InputError(
            f"device is {training.device!r}, and processes share a training on processors alone: auto or cpu"
        )
    return training.model_copy(update={"device": "cpu"})


def train_model(
    group: SingleProcess,
    recommender: RecommenderConfig,
    training: TrainerConfig,
    data: TrainSet,
    validation: HeldOut | None,
    checkpoint: FileCheckpoint | None = None,
    start: WarmStart | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[VectorModel, History]:
    """One training that stops early on validation, as one rank of a group goes through it.

    See `models.training.build_and_fit.fit`.

    Without validation it ends after `training.max_epochs`.
    """

    def validate(user_vectors: np.ndarray, item_vectors: np.ndarray) -> float:
        assert validation is not None
        return validation.ndcg(Vectors(user_vectors, item_vectors, recommender.score), group)

    return fit(recommender, training, data, validate if validation else None, on_epoch, checkpoint, group, start)


def fit_one(
    name: str,
    recommender: RecommenderConfig,
    training: TrainerConfig,
    data: TrainSet,
    validation: HeldOut | None,
    checkpoint: FileCheckpoint | None = None,
    start: WarmStart | None = None,
    on_epoch: Callable[[], None] = lambda: None,
    group: SingleProcess = SINGLE_PROCESS,
) -> tuple[SavedModel, float]:
    """One training, and the seconds that it took, looks at validation included; of a group at rank 0 alone."""
    model, history = train_model(group, recommender, training, data, validation, checkpoint, start, on_epoch)
    return saved_model(name, recommender, training, data, model, history), history.seconds


def saved_model(
    name: str,
    recommender: RecommenderConfig,
    training: TrainerConfig,
    data: TrainSet,
    model: VectorModel,
    history: History,
) -> SavedModel:
    """A trained model, whole, as it is kept."""
    user_vectors, item_vectors = model.vectors()
    # Of users without train items nothing is known: a vector that was never trained would only look like a taste.
    user_vectors[np.bincount(data.user, minlength=data.users) == 0] = 0
    tensors = {"user_vectors": user_vectors, "item_vectors": item_vectors}
    share = model.fusion.visual_share() if model.fusion is not None else None
    if share is not None:
        tensors["visual_share"] = share.numpy()
    tensors |= {f"weights.{part}": value.numpy() for part, value in model.state_dict().items()}
    config = {
        "model": name,
        "kind": "vectors",
        **recommender.model_dump(),
        **training.model_dump(exclude={"device"}),
        "device": device_of(training.device).type,
        "best_epoch": history.best_epoch,
        "collision_rate": history.collision_rate[-1],
        "loss_curve": history.loss,
        "validation_curve": history.validation,
    }
    if history.validation:
        config["validation_ndcg@20"] = history.best_value
    return SavedModel(tensors, config)
