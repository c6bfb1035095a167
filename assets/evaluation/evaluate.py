"""Ranks the test split with a trained model: metrics of every user, and the leaderboard's rows made of them."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from assets.evaluation.significance import bootstrap_intervals
from assets.training.held_out import ByUser, HeldOut
from models.ranking.ranking import CUTOFFS, Ranking, Scorer, rank, ranking_metrics
from storage.artifacts.saved_models import SavedModel

WITHOUT_TRAIN = "users_without_train"


@dataclass(frozen=True)
class Bench:
    """What models are evaluated on.

    Attributes:
        test: the test split, for users who have something in train.
        strata: which items each stratum holds, bool [items] by name.
        seed: of the order of equal scores, and of the bootstrap.
    """

    test: HeldOut
    strata: Mapping[str, np.ndarray]
    seed: int

    def without_train(self) -> np.ndarray:
        """Users with something in test and nothing in train."""
        return np.flatnonzero((np.diff(self.test.wanted.indptr) > 0) & (np.diff(self.test.train.indptr) == 0))


@dataclass(frozen=True)
class Evaluation:
    """One fit and its metrics.

    Attributes:
        by_user: metrics of the users of the test split.
        by_stratum: of each stratum that somebody has test items in, the recall of those users.
        eval_s: what ranking all items for all users and the metrics took.
    """

    fit: SavedModel
    by_user: ByUser
    by_stratum: Mapping[str, ByUser]
    eval_s: float

    @property
    def model(self) -> str:
        return self.fit.config["model"]

    @property
    def loss(self) -> str:
        return self.fit.config["loss"]

    def of(self, stratum: str) -> ByUser:
        """The metrics of one stratum; `all` is the whole test split."""
        return self.by_user if stratum == "all" else self.by_stratum[stratum]


def evaluate_fit(fit: SavedModel, scorer: Scorer, bench: Bench) -> Evaluation:
    """Rank all items for all users of the test split, once.

    Items that train does not know stay in the denominator.
    """
    test = bench.test
    started = time.perf_counter()
    ranking = rank(scorer, test.users, test.masked, max(CUTOFFS), bench.seed)
    by_user = ranking_metrics(ranking, test.users, test.wanted)
    eval_s = time.perf_counter() - started
    by_stratum = {name: _recall_of(ranking, test, items) for name, items in bench.strata.items()}
    strangers = bench.without_train()
    if len(strangers):
        unknown = rank(scorer, strangers, test.masked, max(CUTOFFS), bench.seed)
        by_stratum[WITHOUT_TRAIN] = ranking_metrics(unknown, strangers, test.wanted)
    return Evaluation(fit, by_user, {name: found for name, found in by_stratum.items() if found}, eval_s)


def _recall_of(ranking: Ranking, test: HeldOut, items: np.ndarray) -> ByUser:
    """Recall of the test items in one stratum, all items being candidates; empty where nobody has one."""
    wanted = (test.wanted @ sp.diags_array(items.astype(np.float32))).tocsr()
    wanted.eliminate_zeros()
    rows = np.flatnonzero(np.diff(wanted.indptr)[test.users] > 0)
    if not len(rows):
        return {}
    chosen = Ranking(ranking.items[rows], ranking.scores[rows])
    found = ranking_metrics(chosen, test.users[rows], wanted)
    return {key: values for key, values in found.items() if key[0] == "recall"}


Intervals = dict[str, np.ndarray]


def intervals_of(evaluations: Sequence[Evaluation], seed: int) -> list[Intervals]:
    """Of each fit, by stratum: the bootstrap intervals of its metrics, float64 [2, metrics].

    All fits see the same draws of users, which are made once a stratum.
    """
    found: list[Intervals] = [{} for _ in evaluations]
    strata = ["all", *evaluations[0].by_stratum] if evaluations else []
    for stratum in strata:
        columns = [np.stack(list(one.of(stratum).values()), axis=1) for one in evaluations]
        ends = np.stack(bootstrap_intervals(np.concatenate(columns, axis=1), seed))
        for one, part in zip(found, np.split(ends, len(evaluations), axis=1), strict=True):
            one[stratum] = part
    return found


def rows_of(evaluation: Evaluation, intervals: Intervals) -> Iterator[dict[str, Any]]:
    """The leaderboard's rows of one fit: every metric of every stratum, with its bootstrap interval over users."""
    config = evaluation.fit.config
    about = {
        "model": evaluation.model,
        "loss": evaluation.loss,
        "score": config["score"],
        "seed": config["seed"],
        "device": config["device"],
        "settings_hash": settings_hash(config),
        "eval_s": evaluation.eval_s,
    }
    for stratum, (lows, highs) in intervals.items():
        for ((metric, cutoff), values), low, high in zip(evaluation.of(stratum).items(), lows, highs, strict=True):
            row = {"stratum": stratum, "metric": metric, "k": cutoff, "value": float(values.mean())}
            yield about | row | {"ci_low": float(low), "ci_high": float(high), "n_users": len(values)}


RESULTS = {"loss_curve", "validation_curve", "validation_by_weight", "validation_ndcg@20", "best_epoch"}
OF_ITS_DATA = {"train_until", "splits", "spaces", "cold_epochs", "cold_run", "warm_start"}
NO_SETTINGS = RESULTS | OF_ITS_DATA | {"collision_rate", "device", "seed", "second_fit"}


def settings_hash(config: Mapping[str, Any]) -> str:
    """A short hash of a model's hyper-parameters, the same for all seeds."""
    settings = {name: value for name, value in config.items() if name not in NO_SETTINGS}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
