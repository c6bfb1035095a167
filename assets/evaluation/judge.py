"""Ranks the test split with a trained model and turns the metrics into rows of the leaderboard."""

import hashlib
import json
import time
from typing import Any

import numpy as np

from assets.evaluation.significance import bootstrap_intervals
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from models.ranking import CUTOFFS, Scorer, matrix_of, rank, ranking_metrics
from storage.errors import InputError
from storage.models import SavedModel


def scorer_of(model: SavedModel) -> Scorer:
    """The scorer that a saved model is."""
    return Scorer(model.tensors["user_vectors"], model.tensors["item_vectors"], model.config["score"])


def judge(model: SavedModel, parts: Parts, mask_validation: bool, seed: int) -> list[dict[str, Any]]:
    """Metrics of one model on the test split, for users with train items and, apart, for users without any.

    Items that train does not know stay in the denominator. `eval_s` is ranking and metrics, without the intervals.

    Raises:
        InputError: no user has items both in train and in test.
    """
    train = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)
    masked = matrix_of(*parts.pairs(TRAIN, VALIDATION), parts.users, parts.items) if mask_validation else train
    test = matrix_of(*parts.pairs(TEST), parts.users, parts.items)
    tested, known = np.diff(test.indptr) > 0, np.diff(train.indptr) > 0
    if not (tested & known).any():
        raise InputError("no user has items both in train and in test; choose another 'split' or 'split_points'")
    rows, eval_s = [], 0.0
    for stratum, chosen in (("all", tested & known), ("users_without_train", tested & ~known)):
        users = np.flatnonzero(chosen)
        if not len(users):
            continue
        started = time.perf_counter()
        ranking = rank(scorer_of(model), users, masked, max(CUTOFFS), seed)
        by_user = ranking_metrics(ranking, users, test)
        eval_s += time.perf_counter() - started
        values = np.stack(list(by_user.values()), axis=1)
        columns = np.stack([values.mean(axis=0), *bootstrap_intervals(values, seed)], axis=1).tolist()
        for (metric, cutoff), (value, low, high) in zip(by_user, columns, strict=True):
            row = {"stratum": stratum, "metric": metric, "k": cutoff, "value": value, "ci_low": low, "ci_high": high}
            rows.append(row | {"n_users": len(users)})
    about = {
        "model": model.config["model"],
        "loss": model.config["loss"],
        "score": model.config["score"],
        "seed": model.config.get("seed", 0),
        "device": model.config.get("device", "cpu"),
        "settings_hash": settings_hash(model.config),
        "eval_s": eval_s,
    }
    return [row | about for row in rows]


def settings_hash(config: dict[str, Any]) -> str:
    """A short hash of a model's hyper-parameters."""
    results = {"loss_curve", "validation_curve", "best_epoch", "validation_ndcg@20", "collision_rate", "device"}
    settings = {name: value for name, value in config.items() if name not in results}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
