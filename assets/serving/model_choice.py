"""Which model is served: the best on validation, or the one that the settings name."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.core.settings import BEST
from models.config import RecommenderConfig, TrainerConfig
from models.model_spec import LEARNED
from models.training.search_spaces import COUNTED_SPACES
from storage.errors import InputError
from storage.schemas import SCHEMAS

VALIDATED_BY = "validation_ndcg@20"
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """One evaluated model under the loss that was best on validation.

    Attributes:
        validation: NDCG@20, the mean over seeds.
        epochs: the median over seeds of the epoch that validation chose, of trainings that began from nothing; 0 for a
            model that is not learned.
        explains: whether a score can be taken apart into what the history, the picture and the text add.
        settings: all that fitting it anew takes.
        status: "ok", or why it is not served.
    """

    model: str
    loss: str
    validation: float
    seeds: int
    epochs: int
    explains: bool
    settings: Config
    status: str = "ok"


def candidates(trained: Mapping[str, tuple[Sequence[Config], str]], with_reasons: bool) -> list[Candidate]:
    """Every model, the best on validation first; those that were skipped last.

    Args:
        trained: the configs of all fits of each model, and why it was skipped, if it was.
        with_reasons: whether only a model that explains its scores will do.
    """
    found: dict[str, Candidate] = {}
    for model in sorted(trained, key=lambda name: name == "blend"):  # a blend is made of others
        configs, skipped = trained[model]
        if not configs:
            found[model] = Candidate(model, "none", 0.0, 0, 0, False, {}, f"skipped: {skipped}")
            continue
        one = _candidate(model, _best_loss(configs), found)
        found[model] = one if one.explains or not with_reasons else replace(one, status="cannot explain its scores")
    return sorted(found.values(), key=lambda one: (not one.seeds, -one.validation))


def _best_loss(configs: Sequence[Config]) -> list[Config]:
    """The fits under the loss that was best on validation, by the mean over seeds."""
    by_loss: dict[str, list[Config]] = defaultdict(list)
    for config in configs:
        by_loss[config["loss"]].append(config)
    return max(by_loss.values(), key=_validation)


def _validation(configs: Sequence[Config]) -> float:
    return float(np.mean([config[VALIDATED_BY] for config in configs]))


def _candidate(model: str, configs: Sequence[Config], others: Mapping[str, Candidate]) -> Candidate:
    first, epochs = configs[0], 0
    if model in LEARNED:
        epochs = max(1, int(np.median([config.get("cold_epochs", config["best_epoch"]) for config in configs])))
        recommender, training = RecommenderConfig.model_validate(first), TrainerConfig.model_validate(first)
        settings = recommender.model_dump() | training.model_dump(exclude={"device"}) | {"max_epochs": epochs}
    elif model == "blend":
        parts = {part: {"model": first[part], **others[first[part]].settings} for part in ("first", "second")}
        settings = {"weight": first["weight"], **parts}
    else:
        settings = {name: first[name] for name in COUNTED_SPACES.get(model, ())}
    by_graph = settings.get("architecture") == "lightgcn" and settings["layers"] > 0
    explains = by_graph or model in COUNTED_SPACES
    return Candidate(model, first["loss"], _validation(configs), len(configs), epochs, explains, settings)


def choose(found: Sequence[Candidate], serve: str) -> Candidate:
    """The model to serve: the best that can be, or the one of that name.

    Raises:
        InputError: none can be, or the one that is named cannot.
    """
    able = [one for one in found if one.status == "ok"]
    if not able:
        raise InputError(
            "no model was trained that can be served: each was skipped, or explain asks for reasons that it cannot give"
        )
    if serve == BEST:
        return able[0]
    named = next((one for one in found if one.model == serve), None)
    if named is None or named.status != "ok":
        reason = named.status if named else "it was not trained"
        raise InputError(f"serve names {serve}, which cannot be served ({reason}); choose another, or {BEST!r}")
    return named


def margin_over_next(found: Sequence[Candidate], chosen: Candidate) -> tuple[str, float]:
    """The best other model that could be served, and how much better the chosen one is on validation."""
    other = next((one for one in found if one.status == "ok" and one is not chosen), None)
    return (other.model, chosen.validation - other.validation) if other else ("none", 0.0)


def in_words(chosen: Candidate, other: str, margin: float, serve: str) -> str:
    """The choice as one sentence."""
    why = "the best on validation" if serve == BEST else "as the setting 'serve' says"
    said = f"{chosen.model} is served, {why}: NDCG@20 {chosen.validation:.4f}"
    return f"{said}, {margin:+.4f} against {other}" if other != "none" else said


def choice_table(found: Sequence[Candidate], chosen: Candidate) -> pa.Table:
    """The table `model_choice`."""
    rows = [
        {
            "model": one.model,
            "loss": one.loss,
            "validation_ndcg": one.validation,
            "seeds": one.seeds,
            "epochs": one.epochs,
            "explains": one.explains,
            "chosen": one is chosen,
            "values": json.dumps(one.settings, sort_keys=True),
            "status": one.status,
        }
        for one in found
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMAS["model_choice"])


def row_of(choice: pa.Table, model: str | None = None) -> dict[str, Any]:
    """The row of the table `model_choice` of one model, or of the chosen one, with its settings read."""
    wanted = choice["chosen"] if model is None else pc.equal(choice["model"], model)
    [row] = choice.filter(wanted).to_pylist()
    return row | {"values": json.loads(row["values"])}


def has_row(choice: pa.Table, model: str) -> bool:
    """Whether the table `model_choice` has a model that was trained."""
    return pc.any(pc.and_(pc.equal(choice["model"], model), pc.greater(choice["seeds"], 0))).as_py() or False


def row_version(row: Mapping[str, Any]) -> str:
    """A short hash of the part of a row that fitting the model anew depends on."""
    part = {name: row[name] for name in ("model", "loss", "values")}
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]
