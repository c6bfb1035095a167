"""Which models there are, and what each name stands for. Importing this costs nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelSpec:
    """What a learned model's name stands for.

    Attributes:
        about: one sentence, with its source.
        fixed: fields of `models.config.RecommenderConfig` that make it what it is; the others may be searched.
        content: whether it sees pictures and texts; item_graph: whether it may use the graph of like items.
    """

    about: str
    fixed: dict[str, Any] = field(default_factory=dict)
    content: bool = False
    item_graph: bool = False


MAX_ITEMS = 25_000  # above it, by default, no model of items × items is made

GATED = {"item_encoder": "gated", "layers": 2}


def _without(what: str, **instead: Any) -> ModelSpec:
    return ModelSpec(f"The gated LightGCN {what}: what that part of it is worth.", GATED | instead, content=True)


PAPER_MODEL = "gated_lightgcn"
BEST_MODEL = "gated_lightgcn_plus"
PLACING_MODEL = "ablation_no_id"  # what it knows of an item is content alone, so that a new one has all of it

BASELINES = {
    "bpr_mf": ModelSpec(
        "Matrix factorisation: a vector a user, a vector an item, no graph (Rendle et al., UAI 2009).", {"layers": 0}
    ),
    "lightgcn": ModelSpec("LightGCN: ID vectors averaged over steps on the user-item graph (He et al., SIGIR 2020)."),
    "vbpr": ModelSpec(
        "VBPR: matrix factorisation with half of the dimensions given by the picture (He and McAuley, AAAI 2016).",
        {"layers": 0, "item_encoder": "visual", "content_apart": True},
        content=True,
    ),
    "mmgcn": ModelSpec(
        "MMGCN: a graph convolution for pictures and one for texts, averaged (Wei et al., MM 2019).",
        {"architecture": "mmgcn", "layers": 2},
        content=True,
    ),
}

GATED_MODELS = {
    PAPER_MODEL: ModelSpec(
        "LightGCN whose items carry a gated blend of picture and text (Liu et al., arXiv 2506.00107).",
        GATED,
        content=True,
    ),
    BEST_MODEL: ModelSpec(
        "The gated LightGCN with whatever this project has that helps it: also a graph of like items (Zhou and Shen, "
        "MM 2023), and any number of layers.",
        {"item_encoder": "gated"},
        content=True,
        item_graph=True,
    ),
}

ABLATIONS = {
    "ablation_visual_only": _without("that sees pictures alone", item_encoder="visual"),
    "ablation_text_only": _without("that sees texts alone", item_encoder="text"),
    "ablation_sum": _without("that adds both views without weighing them", item_encoder="sum"),
    "ablation_concat": _without("that gives each view half of the dimensions", item_encoder="concat"),
    "ablation_no_gate": _without("with the gate held at one half", item_encoder="mean"),
    "ablation_no_graph": _without("without propagation", layers=0),
    "ablation_no_id": _without("whose items have no vector of their own", use_id=False),
}

LEARNED: dict[str, ModelSpec] = BASELINES | GATED_MODELS | ABLATIONS
COUNTED = {
    "popularity": "Everybody is recommended what most people bought: the baseline that any model has to beat.",
    "item_knn": "ItemKNN: what is like what a user has, by cosine (Deshpande and Karypis, TOIS 2004).",
    "ease": "EASE: every item predicted from a user's other items, in closed form (Steck, WWW 2019).",
}
NAMES = (*LEARNED, *COUNTED, "blend")  # all that are evaluated, and can be served

# What a dataset may ask for by one name: the paper's model with its baselines and what places new items; these and the
# ablations; everything.
PAPER = (*COUNTED, *BASELINES, PAPER_MODEL, PLACING_MODEL)
PRESETS = {"paper": PAPER, "ablations": (*PAPER, *ABLATIONS), "all": NAMES}
NOT_ASKED = "not in models"  # why a model is skipped that a dataset does not ask for


def names_of(asked: Iterable[str]) -> set[str]:
    """The models that names and presets ask for."""
    return {name for one in asked for name in PRESETS.get(one, (one,))}
