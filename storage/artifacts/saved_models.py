"""Trained models on disk: safetensors weights and a JSON config in a folder each; nothing is ever unpickled."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from storage.files.atomic import publish_bytes, publishing
from storage.files.mirror import Mirror

logger = logging.getLogger(__name__)

INDEX, WEIGHTS, CONFIG, TRIALS = "fits.json", "model.safetensors", "config.json", "trials.json"


@dataclass(frozen=True)
class SavedModel:
    """One fit of a model as arrays and facts.

    Attributes:
        tensors: what scores every pair by itself, such as `user_vectors` float32 [m, d] and `item_vectors` float32
            [n, d], and the weights that these were made of.
        config: JSON-compatible facts: model, kind, loss, seed, score, hyper-parameters, training curves.
    """

    tensors: dict[str, np.ndarray]
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """What tells this fit from the others of its model."""
        return f"{self.config['loss']}-{self.config['seed']}"


@dataclass(frozen=True)
class SavedModels:
    """All fits of one model, of every loss and seed.

    There is none where a model could not be made for a dataset; `skipped` then says why. `trials` are the
    configurations that were tried for it.
    """

    fits: tuple[SavedModel, ...]
    skipped: str = ""
    trials: tuple[dict[str, Any], ...] = ()

    @property
    def main(self) -> SavedModel:
        return self.fits[0]

    def of_loss(self, loss: str) -> tuple[SavedModel, ...]:
        """The fits of one loss, in the order of their seeds."""
        return tuple(fit for fit in self.fits if fit.config["loss"] == loss)

    def losses(self) -> tuple[str, ...]:
        """Every loss that there are fits of, once."""
        return tuple(dict.fromkeys(fit.config["loss"] for fit in self.fits))

    def best(self) -> tuple[SavedModel, ...]:
        """The fits of the loss that was best on validation, by the mean over seeds."""
        return max(map(self.of_loss, self.losses()), key=mean_validation, default=())


def mean_validation(fits: tuple[SavedModel, ...]) -> float:
    """The mean of what fits reached on validation; 0 for those that were never validated."""
    return float(np.mean([fit.config.get("validation_ndcg@20", 0.0) for fit in fits]))


def write_models(folder: Path, models: SavedModels, mirror: Mirror | None = None) -> tuple[Path, str]:
    """Publish fits as an immutable version below `folder`, named by its content; return its path and version."""
    index = json.dumps({"fits": [model.name for model in models.fits], "skipped": models.skipped}).encode()
    files = {INDEX: index}
    if models.trials:
        files[TRIALS] = json.dumps(models.trials, indent=1).encode()
    for model in models.fits:
        files[f"{model.name}/{WEIGHTS}"] = save(in_order(model.tensors))
        files[f"{model.name}/{CONFIG}"] = json.dumps(model.config, indent=1, sort_keys=True).encode()
    digest = hashlib.sha256()
    for content in files.values():
        digest.update(content)
    version = digest.hexdigest()[:16]
    with publishing(folder / version, mirror) as partial:
        for name, content in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
    return folder / version, version


def in_order(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same arrays, C-contiguous: safetensors writes the memory of an array and looks at no strides."""
    return {name: np.asarray(array, order="C") for name, array in arrays.items()}


def read_models(folder: Path) -> SavedModels:
    """Load one version of a model."""
    index = json.loads((folder / INDEX).read_bytes())
    fits = tuple(read_model(folder / name) for name in index["fits"])
    return SavedModels(fits, index["skipped"], tuple(read_trials(folder)))


def read_trials(folder: Path) -> list[dict[str, Any]]:
    """The configurations that were tried for one version of a model; none where nothing was searched."""
    path = folder / TRIALS
    found: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.exists() else []
    return found


def read_configs(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The config of every fit of one version of a model, without its weights, and why the model was skipped, if so."""
    index = json.loads((folder / INDEX).read_bytes())
    return [json.loads((folder / name / CONFIG).read_bytes()) for name in index["fits"]], index["skipped"]


def read_model(folder: Path) -> SavedModel:
    """Load one fit."""
    return SavedModel(load_file(folder / WEIGHTS), json.loads((folder / CONFIG).read_bytes()))


@dataclass(frozen=True)
class FileCheckpoint:
    """The state of one training, in one file that is replaced whole."""

    path: Path

    def save(self, arrays: dict[str, np.ndarray], facts: str) -> None:
        about = {"facts": facts, "sha256": _checksum(arrays, facts)}
        publish_bytes(self.path, save(in_order(arrays), metadata=about))

    def load(self) -> tuple[dict[str, np.ndarray], str] | None:
        """What was saved last; None, with a warning, where it cannot be read."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "np") as file:
                arrays, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
            if about["sha256"] != _checksum(arrays, about["facts"]):
                raise ValueError("it is not what was saved")
            return arrays, about["facts"]
        except (OSError, SafetensorError, TypeError, KeyError, ValueError):
            logger.warning(f"a checkpoint of {self.path.parent.name} cannot be read; training starts anew")
            return None


def _checksum(arrays: dict[str, np.ndarray], facts: str) -> str:
    """SHA-256 of named arrays and of the facts beside them; safetensors has none of its own."""
    digest = hashlib.sha256(facts.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
