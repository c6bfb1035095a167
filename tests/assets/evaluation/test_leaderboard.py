"""Who stands beside whom on the leaderboard, what differences are and how sure, and what rows cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assets.evaluation.compute_costs import Costs, headline
from assets.evaluation.evaluate import Evaluation, settings_hash
from assets.evaluation.leaderboard import Comparison, Standing, as_facts, board_rows, compare, standings
from assets.evaluation.significance import FLIPS
from storage.artifacts.saved_models import SavedModel, SavedModels
from storage.schemas import SCHEMAS

RECALL, NDCG = ("recall", 20), ("ndcg", 20)
Values = Sequence[float] | np.ndarray


def fit_of(model: str, loss: str, seed: int, **facts: Any) -> SavedModel:
    return SavedModel({}, {"model": model, "loss": loss, "seed": seed, "score": "dot", "device": "cpu", **facts})


def evaluations(
    fit: SavedModel, ndcg: Values = (0.5, 0.5), recall: Values | None = None, **strata: Values
) -> Evaluation:
    """A fit with the metrics of its users written down; recall is 0 unless given, `strata` have NDCG@20 as well."""
    values = {NDCG: np.asarray(ndcg, np.float64)}
    values[RECALL] = np.zeros_like(values[NDCG]) if recall is None else np.asarray(recall, np.float64)
    return Evaluation(fit, values, {name: {NDCG: np.asarray(found, np.float64)} for name, found in strata.items()}, 1.5)


def fits_of(model: str, validation: dict[str, list[float]]) -> SavedModels:
    """Fits with what each seed of each loss reached on validation."""
    return SavedModels(
        tuple(
            fit_of(model, loss, seed, **{"validation_ndcg@20": value})
            for loss, values in validation.items()
            for seed, value in enumerate(values)
        )
    )


MODELS = {
    # The best single fit is one of bpr, the better mean is that of softmax.
    "lightgcn": fits_of("lightgcn", {"bpr": [0.30, 0.10], "softmax": [0.19, 0.22]}),
    "gated_lightgcn": fits_of("gated_lightgcn", {"bpr": [0.25, 0.26], "softmax": [0.24, 0.25]}),
    "popularity": SavedModels((fit_of("popularity", "none", 0),)),
    "ease": fits_of("ease", {"none": [0.2]}),
    "item_knn": SavedModels((), "30,000 items are over max_items (25,000)"),
    "blend": fits_of("blend", {"softmax": [0.3, 0.3]}),
}


def names(standing: Standing) -> dict[str, list[str]]:
    return {model: [one.fit.name for one in fits] for model, fits in standing.fits.items()}


def all_standings() -> dict[tuple[str, str], Standing]:
    found = standings([evaluations(fit) for model in MODELS.values() for fit in model.fits], MODELS)
    return {(standing.block, standing.name): standing for standing in found}


def test_the_controlled_block_has_every_learned_model_under_each_loss() -> None:
    found = all_standings()
    assert set(found) == {("controlled", "bpr"), ("controlled", "softmax"), ("open", "open")}
    for loss in ("bpr", "softmax"):
        fits = [f"{loss}-0", f"{loss}-1"]
        assert names(found["controlled", loss]) == {"lightgcn": fits, "gated_lightgcn": fits}


def test_the_open_block_has_the_loss_of_each_that_was_best_on_validation_by_the_mean_over_seeds() -> None:
    assert names(all_standings()["open", "open"]) == {
        "lightgcn": ["softmax-0", "softmax-1"],
        "gated_lightgcn": ["bpr-0", "bpr-1"],
        "popularity": ["none-0"],
        "ease": ["none-0"],
        "blend": ["softmax-0", "softmax-1"],
    }


def test_every_fit_stands_where_it_was_judged() -> None:
    standing = all_standings()["open", "open"]
    assert {one.model for fits in standing.fits.values() for one in fits} == set(standing.fits)
    assert [one.loss for one in standing.fits["lightgcn"]] == ["softmax", "softmax"]


def differences(found: Sequence[Comparison], against: str, metric: tuple[str, int]) -> dict[str, Comparison]:
    return {one.model: one for one in found if one.against == against and (one.metric, one.k) == metric}


def test_a_difference_is_of_the_same_users_and_of_each_users_mean_over_seeds() -> None:
    # Means over seeds: lightgcn 0.3 and 0.8, gated 0.1 and 0.7; the users differ by 0.2 and 0.1.
    fits = {
        "lightgcn": [
            evaluations(fit_of("lightgcn", "bpr", 0), [0.2, 1.0]),
            evaluations(fit_of("lightgcn", "bpr", 1), [0.4, 0.6]),
        ],
        "gated_lightgcn": [evaluations(fit_of("gated_lightgcn", "bpr", 0), [0.1, 0.7])],
    }
    found = compare(Standing("controlled", "bpr", fits), seed=0)
    one = differences(found, "gated_lightgcn", NDCG)["lightgcn"]
    assert one.standing == "bpr"
    assert one.difference == pytest.approx(0.15)
    # Of two users a quarter of the draws has the one alone, and a quarter the other.
    assert (one.low, one.high) == (pytest.approx(0.1), pytest.approx(0.2))
    other = differences(found, "lightgcn", NDCG)["gated_lightgcn"]
    assert (other.difference, other.low, other.high) == tuple(pytest.approx(v) for v in (-0.15, -0.2, -0.1))


def test_users_who_differ_from_each_other_take_nothing_from_a_difference_that_all_of_them_share() -> None:
    users = np.linspace(0, 0.9, 50)
    fits = {
        "gated_lightgcn": [evaluations(fit_of("gated_lightgcn", "bpr", 0), recall=users, ndcg=users)],
        "vbpr": [evaluations(fit_of("vbpr", "bpr", 0), recall=users + 0.1, ndcg=users)],
    }
    found = differences(compare(Standing("controlled", "bpr", fits), seed=0), "gated_lightgcn", RECALL)["vbpr"]
    assert (found.difference, found.low, found.high) == (pytest.approx(0.1),) * 3


ALIKE = np.full(60, 0.5)


def standing_of(name: str, ndcg_of: dict[str, np.ndarray]) -> Standing:
    return Standing(
        "controlled", name, {model: [evaluations(fit_of(model, name, 0), v)] for model, v in ndcg_of.items()}
    )


def test_p_values_are_adjusted_over_the_models_of_one_standing() -> None:
    # Where all of 60 users differ to the same side, no drawn flip comes near: the p-value is 1 / (FLIPS + 1).
    four = {"gated_lightgcn": ALIKE, "lightgcn": ALIKE - 0.1, "vbpr": ALIKE + 0.2, "bpr_mf": ALIKE}
    found = differences(compare(standing_of("bpr", four), seed=0), "gated_lightgcn", NDCG)
    # Holm: the smallest of three times 3; the next times 2, but not below the one before it.
    assert found["lightgcn"].p_holm == pytest.approx(3 / (FLIPS + 1))
    assert found["vbpr"].p_holm == pytest.approx(3 / (FLIPS + 1))
    assert found["bpr_mf"].p_holm == 1
    two = {"gated_lightgcn": ALIKE, "lightgcn": ALIKE - 0.1}
    (alone,) = differences(compare(standing_of("softmax", two), seed=0), "gated_lightgcn", NDCG).values()
    assert alone.p_holm == pytest.approx(1 / (FLIPS + 1))


def test_only_ndcg_against_the_gated_lightgcn_is_tested() -> None:
    models = ("gated_lightgcn", "lightgcn", "ablation_no_gate", "vbpr")
    found = compare(standing_of("bpr", {model: ALIKE + n / 10 for n, model in enumerate(models)}), seed=0)
    pairs = [(one.model, one.against, one.metric, one.k) for one in found]
    assert len(pairs) == len(set(pairs))
    # Three references, each with the three others, by two metrics.
    assert set(pairs) == {
        (model, against, *metric)
        for against in ("gated_lightgcn", "lightgcn", "ablation_no_gate")
        for model in models
        if model != against
        for metric in (RECALL, NDCG)
    }
    tested = [one for one in found if one.p_holm is not None]
    assert {(one.model, one.against, one.metric, one.k) for one in tested} == {
        (model, "gated_lightgcn", "ndcg", 20) for model in models[1:]
    }


def test_nothing_is_compared_where_no_reference_stands_or_nothing_beside_it() -> None:
    assert compare(standing_of("bpr", {"vbpr": ALIKE, "bpr_mf": ALIKE}), seed=0) == []
    assert compare(standing_of("bpr", {"gated_lightgcn": ALIKE}), seed=0) == []
    without_gated = compare(standing_of("bpr", {"lightgcn": ALIKE, "bpr_mf": ALIKE}), seed=0)
    assert {(one.model, one.against, one.p_holm) for one in without_gated} == {("bpr_mf", "lightgcn", None)}


def test_comparisons_are_plain_facts_for_a_manifest() -> None:
    one = Comparison("bpr", "vbpr", "lightgcn", "ndcg", 20, 0.1, 0.05, 0.15, None)
    assert as_facts([one]) == [
        {"standing": "bpr", "model": "vbpr", "against": "lightgcn", "metric": "ndcg", "k": 20,
         "difference": 0.1, "low": 0.05, "high": 0.15, "p_holm": None}
    ]  # fmt: skip


def with_p_value(standing: str, p_holm: float) -> Comparison:
    return Comparison(standing, "lightgcn", "gated_lightgcn", "ndcg", 20, -0.2, -0.2, -0.2, p_holm)


UNTESTED = Comparison("bpr", "gated_lightgcn", "lightgcn", "ndcg", 20, 0.2, 0.2, 0.2, None)


def board() -> list[dict[str, Any]]:
    """Rows of the gated LightGCN with two seeds, LightGCN with one, and what was unavailable."""
    models = {
        "gated_lightgcn": fits_of("gated_lightgcn", {"bpr": [0.2, 0.3]}),
        "lightgcn": fits_of("lightgcn", {"bpr": [0.1]}),
        "ease": SavedModels((), "30,000 items are over max_items (25,000)"),
    }
    found = [
        evaluations(models["gated_lightgcn"].fits[0], ALIKE, users_without_train=[0.5]),
        evaluations(models["gated_lightgcn"].fits[1], ALIKE + 0.2, users_without_train=[0.7]),
        evaluations(models["lightgcn"].fits[0], ALIKE - 0.1, users_without_train=[0.1]),
    ]
    compared = [with_p_value("bpr", 0.01), with_p_value("open", 0.02), UNTESTED]
    return list(board_rows(standings(found, models), compared, models, seed=0))


def test_the_board_has_one_row_a_seed_in_each_block() -> None:
    rows = [row for row in board() if row["status"] == "ok"]
    keys = [(row["block"], row["model"], row["seed"], row["stratum"], row["metric"], row["k"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert set(keys) == {
        (block, model, seed, *kind)
        for block in ("controlled", "open")
        for model, seed in (("gated_lightgcn", 0), ("gated_lightgcn", 1), ("lightgcn", 0))
        for kind in (("all", *NDCG), ("all", *RECALL), ("users_without_train", *NDCG))
    }
    for row in rows:
        if (row["model"], row["stratum"], row["metric"]) == ("gated_lightgcn", "all", "ndcg"):
            cell = [row[name] for name in ("value", "ci_low", "ci_high")]
            assert cell == pytest.approx([[0.5] * 3, [0.7] * 3][row["seed"]])
            assert row["n_users"] == 60


def test_a_p_value_stands_only_at_ndcg_of_all_users_and_is_that_of_its_block() -> None:
    with_p = [row for row in board() if row.get("p_holm") is not None]
    assert [(row["block"], row["model"], row["stratum"], row["metric"], row["k"], row["p_holm"]) for row in with_p] == [
        ("controlled", "lightgcn", "all", *NDCG, 0.01),
        ("open", "lightgcn", "all", *NDCG, 0.02),
    ]


def test_a_model_that_could_not_be_had_is_one_row_that_says_why_and_has_no_value() -> None:
    table = pa.Table.from_pylist(board(), schema=SCHEMAS["leaderboard"])
    (row,) = (row for row in table.to_pylist() if row["model"] == "ease")
    assert row["status"] == "skipped: 30,000 items are over max_items (25,000)"
    assert row["block"] == "open"
    assert [row[name] for name in ("value", "ci_low", "ci_high", "p_holm")] == [None] * 4
    assert row["n_users"] == 0
    assert {one["status"] for one in table.to_pylist() if one["model"] != "ease"} == {"ok"}


SETTINGS = {"model": "m", "loss": "bpr", "score": "dot", "learning_rate": 0.001, "layers": 2, "seed": 0}
OUTCOME = {"device": "cpu", "best_epoch": 9, "validation_ndcg@20": 0.1, "collision_rate": 0.2, "loss_curve": [1.0],
           "validation_curve": [(5, 0.1)]}  # fmt: skip


def test_seeds_and_outcomes_do_not_change_the_hash_of_settings() -> None:
    other = {"device": "cuda", "best_epoch": 3, "validation_ndcg@20": 0.3, "collision_rate": 0.0, "loss_curve": [],
             "validation_curve": []}  # fmt: skip
    found = settings_hash(SETTINGS | OUTCOME)
    assert found == settings_hash(SETTINGS | OUTCOME | {"seed": 1}) == settings_hash(SETTINGS | other)
    assert found == settings_hash(dict(reversed(SETTINGS.items())))


@pytest.mark.parametrize("changed", [{"learning_rate": 0.002}, {"layers": 1}, {"loss": "softmax"}, {"model": "n"}])
def test_every_setting_changes_the_hash(changed: dict[str, Any]) -> None:
    assert settings_hash(SETTINGS | changed) != settings_hash(SETTINGS)


BLEND = {"model": "blend", "first": "ease", "second": "lightgcn", "weight": 0.3, "loss": "bpr"}


def test_blends_of_two_seeds_have_the_same_hash() -> None:
    seeds = [BLEND | {"seed": seed, "second_fit": f"bpr-{seed}"} for seed in (0, 1)]
    assert settings_hash(seeds[0]) == settings_hash(seeds[1])


def test_blends_by_another_weight_have_another_hash() -> None:
    hashes = [settings_hash(BLEND | {"weight": weight, "seed": 0, "second_fit": "bpr-0"}) for weight in (0.3, 0.4)]
    assert hashes[0] != hashes[1]


TRIALS = [("lightgcn", "bpr", 3.0), ("lightgcn", "bpr", 4.5), ("lightgcn", "softmax", 1.0), ("ease", "none", 0.5)]
TUNING = pa.Table.from_pylist(
    [{"model": model, "loss": loss, "seconds": seconds, "trial": 0} for model, loss, seconds in TRIALS],
    schema=SCHEMAS["tuning"],
)


def test_costs_are_those_of_the_rows_model_loss_and_seed() -> None:
    facts = {"lightgcn": {"train_s": {"bpr-0": 7.0, "bpr-1": 8.0}}, "ease": {"train_s": {"none-0": 2.0}}, "knn": {}}
    costs = Costs.of(TUNING, facts)
    bpr = {"model": "lightgcn", "loss": "bpr"}
    assert costs.of_row(bpr | {"seed": 1, "value": 9}) == {"trials": 2, "tune_s": 7.5, "train_s": 8.0}
    assert costs.of_row(bpr | {"seed": 0}) == {"trials": 2, "tune_s": 7.5, "train_s": 7.0}
    ease = {"model": "ease", "loss": "none", "seed": 0}
    assert costs.of_row(ease) == {"trials": 1, "tune_s": 0.5, "train_s": 2.0}


def test_what_was_neither_tuned_nor_trained_cost_nothing() -> None:
    costs = Costs.of(TUNING.slice(0, 0), {"lightgcn": {"train_s": {"bpr-0": 7.0}}, "knn": {"skipped": "too many"}})
    nothing = {"trials": 0, "tune_s": 0.0, "train_s": 0.0}
    assert costs.of_row({"model": "knn", "loss": "none", "seed": 0}) == nothing
    assert costs.of_row({"model": "lightgcn", "loss": "bpr", "seed": 0}) == nothing | {"train_s": 7.0}


def test_the_headline_is_recall_of_the_open_block_as_a_mean_over_seeds() -> None:
    wanted = {"block": "open", "metric": "recall", "k": 20, "stratum": "all"}
    rows = [
        wanted | {"model": "lightgcn", "value": 0.1},
        wanted | {"model": "lightgcn", "value": 0.4},
        wanted | {"model": "ease", "value": 0.3},
        *(wanted | {"model": "lightgcn", "value": 9.0} | other
          for other in ({"block": "controlled"}, {"metric": "ndcg"}, {"k": 10}, {"stratum": "cold_items"})),
        {"block": "open", "metric": "ndcg", "k": 20, "stratum": "all", "model": "item_knn"},
    ]  # fmt: skip
    assert headline(rows) == {"recall@20/lightgcn": pytest.approx(0.25), "recall@20/ease": pytest.approx(0.3)}
