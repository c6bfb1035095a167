"""Trainings of several processes, and what one process makes of the same."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import multiprocessing

import models.training.trainer
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from assets.training.held_out import HeldOut
from models.config import RecommenderConfig, TrainerConfig
from models.distributed.launching import join_processes
from models.distributed.process_group import ProcessGroup
from models.model_spec import LEARNED
from models.ranking.ranking import Vectors
from models.recommenders.fusion import Modality
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import Content, TrainSet, fit
from models.training.single_process import SINGLE_PROCESS, SingleProcess

USERS, ITEMS, DIM, STEPS = 60, 50, 16, 50
VISUAL_DIM, TEXTUAL_DIM = 12, 20
BATCH, NEGATIVES = 128, 32


def parts() -> Parts:
    """Random pairs, a fifth of them held out; the last user and the last item have none in train."""
    rng = np.random.default_rng(0)
    user, item = np.divmod(np.unique(rng.integers(0, USERS * ITEMS, 800)), ITEMS)
    split = rng.choice([TRAIN, VALIDATION, TEST], len(user), p=[0.8, 0.1, 0.1]).astype(np.int8)
    split[(split == TRAIN) & ((user == USERS - 1) | (item == ITEMS - 1))] = TEST
    return Parts(user, item, split, USERS, ITEMS)


def train_set() -> TrainSet:
    """Every kind of item: with both views, with one of them, with neither (the last, which has no edges either)."""
    rng = np.random.default_rng(1)
    has = rng.random((2, ITEMS)) < 0.7
    has[:, -1] = False
    assert all(((has[0] == one) & (has[1] == other)).any() for one, other in itertools.product([0, 1], repeat=2))
    views = [
        Modality.of(rng.normal(size=(ITEMS, dim)).astype(np.float32), there)
        for dim, there in zip((VISUAL_DIM, TEXTUAL_DIM), has, strict=True)
    ]
    nearest = [np.where(there[:, None], rng.integers(0, ITEMS, (ITEMS, 20)), -1).astype(np.int32) for there in has]
    pairs = parts().pairs(TRAIN)
    return TrainSet(*pairs, USERS, ITEMS, normalised_adjacency(*pairs, USERS, ITEMS), Content(*views, *nearest))


Case = tuple[str, str, dict[str, Any]]
CASES: dict[str, Case] = {
    "lightgcn, BPR": ("lightgcn", "bpr", {}),
    "lightgcn, softmax, shared": ("lightgcn", "softmax", {}),
    "lightgcn, softmax, in batch": ("lightgcn", "softmax", {"softmax_negatives": "in_batch"}),
    "gate, BPR": ("gated_lightgcn", "bpr", {"score": "cosine"}),
    "gate, softmax, both": ("gated_lightgcn", "softmax", {"softmax_negatives": "both", "l2": 0.01}),
    "gate without IDs": ("ablation_no_id", "softmax", {}),  # a vector of zeros is among the items
    "gate and like items": ("gated_lightgcn_plus", "softmax", {"item_graph_layers": 2}),
    "half ID, half picture": ("vbpr", "bpr", {}),
    "concatenated": ("ablation_concat", "softmax", {}),
    "summed": ("ablation_sum", "bpr", {}),
    "gate held at one half": ("ablation_no_gate", "bpr", {}),
}


def configure_model(case: Case, **given: Any) -> tuple[RecommenderConfig, TrainerConfig]:
    model, loss, settings = case
    common = {"dim": DIM, "shared_negatives": NEGATIVES, "learning_rate": 0.003, "batch_size": BATCH, "device": "cpu"}
    values = common | settings | given | LEARNED[model].fixed | {"loss": loss}
    return RecommenderConfig.model_validate(values), TrainerConfig.model_validate(values)


def run(case: Case, group: SingleProcess = SINGLE_PROCESS, **given: Any) -> dict[str, Any]:
    """The losses of all steps, the last weights and vectors, and validation by every metric."""
    recommender, config = configure_model(case, **{"max_epochs": STEPS // 5, "evaluate_every": STEPS // 5} | given)
    losses: list[float] = []
    original, held_out = models.training.trainer.objective_of, HeldOut.of(parts(), VALIDATION)
    metrics: dict[tuple[str, int], float] = {}

    def recording(*asked: Any) -> Callable[..., Any]:
        objective = original(*asked)

        def step(*batch: Any) -> Any:
            loss, collisions = objective(*batch)
            losses.append(loss.item())
            return loss, collisions

        return step

    def validate(user: np.ndarray, item: np.ndarray) -> float:
        metrics.update(held_out.means(Vectors(user, item, recommender.score), group=group))
        return metrics["ndcg", 20]

    models.training.trainer.objective_of = recording  # type: ignore[assignment]
    try:
        model, history = fit(recommender, config, train_set(), validate, group=group)
    finally:
        models.training.trainer.objective_of = original
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    curve, sent = history.model_dump(exclude={"seconds"}), dict(group.sent) if isinstance(group, ProcessGroup) else {}
    return {"losses": losses, "weights": weights, "metrics": metrics, "curve": curve, "sent": sent}


def begun(
    folder: Path, size: int, job: Callable[..., Any], *given: Any, timeout_s: float = 60
) -> tuple[list[Any], Any]:
    """The processes of a group that run `job(group, *given)`, and the queue of (rank, what it returns)."""
    context = multiprocessing.get_context("spawn")
    queue, store = context.Queue(), (folder / f"store-{size}").as_uri()
    places = [(store, rank_, size, timeout_s) for rank_ in range(size)]
    members = [context.Process(target=take_part, args=(queue, place, job, given), daemon=True) for place in places]
    for member in members:
        member.start()
    return members, queue


def take_part(queue: Any, place: tuple[str, int, int, float], job: Callable[..., Any], given: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    with join_processes(*place) as group:
        queue.put((group.rank, job(group, *given)))


def in_team(folder: Path, size: int, job: Callable[..., Any], *given: Any) -> list[Any]:
    """What `job(group, *given)` returns in every process of a group, by rank."""
    members, queue = begun(folder, size, job, *given)
    found = dict(queue.get(timeout=120) for _ in members)
    for member in members:
        member.join()
    return [found[rank_] for rank_ in range(size)]
