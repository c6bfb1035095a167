"""The leaderboard: which models stand beside which, and how sure their differences are.

Two blocks. *controlled*: every learned model under the same loss, once under each; there it shows what a way to fuse is
worth. *open*: each model under the loss that was best on validation, with the models that have no loss and the blend.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from assets.evaluation.evaluate import Evaluation, intervals_of, rows_of
from assets.evaluation.significance import bootstrap_intervals, holm, sign_flip_p_value
from models.model_spec import LEARNED, PAPER_MODEL
from storage.artifacts.saved_models import SavedModels

TESTED = ("ndcg", 20)  # what p-values are of
COMPARED = (("recall", 20), TESTED)
REFERENCES = (PAPER_MODEL, "lightgcn", "ablation_no_gate", "popularity", "item_knn")


@dataclass(frozen=True)
class Standing:
    """The models of one block that are compared with each other, each with the fits of its seeds."""

    block: str
    name: str
    fits: Mapping[str, Sequence[Evaluation]]


@dataclass(frozen=True)
class Comparison:
    """One model minus another on the same users, each user's metric a mean over seeds.

    Attributes:
        standing: the name of what both stand in: a loss, or "open".
        low, high: 95 % bootstrap interval of the mean difference.
        p_holm: of the sign-flip test, adjusted for all models of the standing; None where it is not tested.
    """

    standing: str
    model: str
    against: str
    metric: str
    k: int
    difference: float
    low: float
    high: float
    p_holm: float | None


def standings(evaluations: Sequence[Evaluation], models: Mapping[str, SavedModels]) -> list[Standing]:
    """Who is compared with whom."""
    losses = dict.fromkeys(one.loss for one in evaluations if one.model in LEARNED)
    found = []
    for loss in losses:
        fits = _by_model(one for one in evaluations if one.loss == loss and one.model in LEARNED)
        found.append(Standing("controlled", loss, fits))
    best = {name: {fit.name for fit in model.best()} for name, model in models.items()}
    found.append(Standing("open", "open", _by_model(one for one in evaluations if one.fit.name in best[one.model])))
    return found


def _by_model(evaluations: Iterator[Evaluation]) -> dict[str, list[Evaluation]]:
    found: dict[str, list[Evaluation]] = {}
    for one in evaluations:
        found.setdefault(one.model, []).append(one)
    return found


def compare(standing: Standing, seed: int) -> list[Comparison]:
    """Every model of a standing against each of REFERENCES in it; p-values are of the differences from the first."""
    found = []
    for against in REFERENCES:
        others = [model for model in standing.fits if model != against]
        if against not in standing.fits or not others:
            continue
        for metric in COMPARED:
            values = {model: over_seeds(fits, metric) for model, fits in standing.fits.items()}
            differences = np.stack([values[model] - values[against] for model in others], axis=1)
            low, high = bootstrap_intervals(differences, seed)
            p_values: Sequence[float | None] = [None] * len(others)
            if metric == TESTED and against == PAPER_MODEL:
                p_values = holm(np.array([sign_flip_p_value(column, seed) for column in differences.T])).tolist()
            for n, model in enumerate(others):
                mean, ends = float(differences[:, n].mean()), (float(low[n]), float(high[n]))
                found.append(Comparison(standing.name, model, against, *metric, mean, *ends, p_values[n]))
    return found


def over_seeds(fits: Sequence[Evaluation], metric: tuple[str, int]) -> np.ndarray:
    """Each user's metric as the mean over seeds, float64 [users]."""
    return np.mean([fit.by_user[metric] for fit in fits], axis=0)


def board_rows(
    found: Sequence[Standing], compared: Sequence[Comparison], models: Mapping[str, SavedModels], seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of the table `leaderboard`, without what is the same for all of them; one row a seed."""
    evaluations = list({id(one): one for each in found for fits in each.fits.values() for one in fits}.values())
    intervals = intervals_of(evaluations, seed)
    rows = {id(one): list(rows_of(one, ends)) for one, ends in zip(evaluations, intervals, strict=True)}
    p_holm = {(one.standing, one.model): one.p_holm for one in compared if one.p_holm is not None}
    for standing in found:
        for model, fits in standing.fits.items():
            for row in (row for one in fits for row in rows[id(one)]):
                tested = (row["metric"], row["k"]) == TESTED and row["stratum"] == "all"
                p_value = p_holm.get((standing.name, model)) if tested else None
                yield row | {"block": standing.block, "p_holm": p_value, "status": "ok"}
    for name, saved in models.items():
        if saved.skipped:
            nothing = {"loss": "none", "score": "", "settings_hash": "", "seed": 0, "device": "", "n_users": 0}
            kind = {"stratum": "all", "metric": TESTED[0], "k": TESTED[1], "block": "open", "model": name}
            yield nothing | kind | {"status": f"skipped: {saved.skipped}"}


def as_facts(compared: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Comparisons as a manifest keeps them."""
    return [asdict(one) for one in compared]
