"""What is searched when a model is tuned, and where the search starts. Importing this costs nothing.

Every model under every loss gets the same number of trials. What a model is (`models.model_spec`) is not searched, nor
what a dataset's settings or a run's config fix.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, TypeAlias

from models.config import Loss
from models.model_spec import LEARNED


@dataclass(frozen=True)
class Between:
    """Any number from `low` to `high`, drawn evenly by its logarithm."""

    low: float
    high: float


@dataclass(frozen=True)
class OneOf:
    """One of some values."""

    values: tuple[Any, ...]


Space: TypeAlias = dict[str, Between | OneOf]

EVERYWHERE: Space = {
    "learning_rate": Between(5e-4, 2e-2),
    "l2": Between(1e-6, 1e-1),
    "initial_std": OneOf((0.01, 0.1)),
    "score": OneOf(("dot", "cosine")),
}
LAYERS: Space = {"layers": OneOf((1, 2, 3))}
ITEM_GRAPH: Space = {
    "item_graph_layers": OneOf((0, 1, 2)),
    "knn_k": OneOf((5, 10, 20)),
    "visual_weight": OneOf((0.1, 0.5, 0.9)),
}
BY_LOSS: dict[Loss, Space] = {
    "bpr": {},
    "softmax": {
        "temperature": Between(0.05, 0.5),
        "softmax_negatives": OneOf(("shared", "in_batch", "both")),
        "logq_weight": OneOf((0.0, 0.5, 1.0)),
    },
}
# The first trials: settings that have served elsewhere, so that few trials are not all spent on finding the region.
PLAIN = {"layers": 2, "item_graph_layers": 0}
SHARED = {"softmax_negatives": "shared", "learning_rate": 5e-3, "initial_std": 0.1}
IN_BATCH = {"softmax_negatives": "in_batch", "learning_rate": 2e-3, "initial_std": 0.01, "logq_weight": 0.5}
STARTS: dict[Loss, tuple[dict[str, Any], ...]] = {
    "bpr": (
        PLAIN | {"learning_rate": 2e-3, "l2": 1e-3, "score": "dot", "initial_std": 0.01},
        PLAIN | {"learning_rate": 5e-3, "l2": 1e-4, "score": "dot", "initial_std": 0.1},
    ),
    "softmax": tuple(
        PLAIN | {"l2": 1e-4, "temperature": 0.2, "score": score} | negatives
        for negatives, score in ((SHARED, "dot"), (IN_BATCH, "cosine"), (SHARED, "cosine"), (IN_BATCH, "dot"))
    ),
}

COUNTED_SPACES: dict[str, Space] = {
    "ease": {"regularisation": OneOf((50.0, 100.0, 200.0, 400.0, 800.0))},
    "item_knn": {"neighbours": OneOf((20, 100, 500, 1000)), "shrinkage": OneOf((0.0, 20.0, 200.0))},
}


def hash_space(model: str) -> str:
    """A short hash of what is searched for a model, and of what it is: with another one, it is out of date."""
    if model in COUNTED_SPACES:
        return hashlib.sha256(repr(COUNTED_SPACES[model]).encode()).hexdigest()[:12]
    spaces = [(loss, space_of(model, loss), STARTS[loss]) for loss in BY_LOSS]
    return hashlib.sha256(repr((sorted(LEARNED[model].fixed.items()), spaces)).encode()).hexdigest()[:12]


def space_of(model: str, loss: Loss) -> Space:
    """What is searched for a learned model under a loss."""
    kind = LEARNED[model]
    space = EVERYWHERE | BY_LOSS[loss]
    if "layers" not in kind.fixed:
        space |= LAYERS
    if kind.item_graph:
        space |= ITEM_GRAPH
    return space
