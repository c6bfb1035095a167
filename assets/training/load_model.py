"""A saved model as the module that it was when it was trained."""

import numpy as np
import torch

from models.config import RecommenderConfig
from models.recommenders.recommender import VectorModel
from models.training.build_and_fit import TrainSet, new_model
from storage.artifacts.saved_models import SavedModel

PREFIX = "weights."


def weights_of(model: SavedModel) -> dict[str, np.ndarray]:
    """The weights of a saved model, by their names in its state."""
    return {name.removeprefix(PREFIX): value for name, value in model.tensors.items() if name.startswith(PREFIX)}


def load_model(model: SavedModel, data: TrainSet) -> VectorModel:
    """The trained module; `data` is what it was trained on."""
    made = new_model(RecommenderConfig.model_validate(model.config), data, model.config["seed"])
    made.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights_of(model).items()})
    return made
