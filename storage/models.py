"""Trained models on disk: safetensors weights and a JSON config in one folder; nothing is ever unpickled."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from storage.publish import publishing


@dataclass(frozen=True)
class SavedModel:
    """A trained model as arrays and facts.

    Attributes:
        tensors: `user_vectors` float32 [m, d] and `item_vectors` float32 [n, d], which score every pair by themselves,
            and the weights they were made of.
        config: JSON-compatible facts: model, loss, score, hyper-parameters, training curves.
    """

    tensors: dict[str, np.ndarray]
    config: dict


def write_model(folder: Path, model: SavedModel) -> tuple[Path, str]:
    """Publish a model as an immutable version below `folder`, named by its content; return its path and version."""
    weights = save(model.tensors)
    config = json.dumps(model.config, indent=1, sort_keys=True).encode()
    version = hashlib.sha256(weights + config).hexdigest()[:16]
    with publishing(folder / version) as partial:
        partial.mkdir()
        (partial / "model.safetensors").write_bytes(weights)
        (partial / "config.json").write_bytes(config)
    return folder / version, version


def read_model(folder: Path) -> SavedModel:
    """Load one version of a model."""
    config = json.loads((folder / "config.json").read_bytes())
    return SavedModel(load_file(folder / "model.safetensors"), config)
