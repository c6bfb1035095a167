"""Which model is served, on figures written here."""

import json

import pytest

from assets.serving.model_choice import (
    Candidate,
    candidates,
    choice_table,
    choose,
    in_words,
    margin_over_next,
    row_of,
    row_version,
)
from models.config import RecommenderConfig, TrainerConfig
from storage.errors import InputError


def fit(model: str, loss: str, seed: int, validation: float, **facts: object) -> dict[str, object]:
    config = RecommenderConfig(layers=2).model_dump() | TrainerConfig.model_validate({"loss": loss}).model_dump()
    return config | {"model": model, "seed": seed, "kind": "vectors", "validation_ndcg@20": validation} | facts


TRAINED = {
    "blend": ([{"loss": "bpr", "first": "ease", "second": "lightgcn", "weight": 0.25, "validation_ndcg@20": 0.55}], ""),
    "lightgcn": (
        [
            fit("lightgcn", "softmax", 0, 0.9, best_epoch=99), fit("lightgcn", "softmax", 1, 0.0, best_epoch=99),
            fit("lightgcn", "bpr", 0, 0.4, best_epoch=10), fit("lightgcn", "bpr", 1, 0.6, best_epoch=20),
            fit("lightgcn", "bpr", 2, 0.5, best_epoch=5, cold_epochs=40),
        ],
        "",
    ),
    "mmgcn": ([fit("mmgcn", "bpr", 0, 0.8, best_epoch=1, architecture="mmgcn")], ""),
    "ease": ([{"kind": "ease", "loss": "none", "regularisation": 50.0, "validation_ndcg@20": 0.45}], ""),
    "item_knn": ([], "it is Tuesday"),
    "popularity": ([{"kind": "vectors", "loss": "none", "validation_ndcg@20": 0.1}], ""),
}  # fmt: skip


def test_a_model_is_as_good_as_the_mean_over_seeds_of_its_better_loss() -> None:
    found = candidates(TRAINED, with_reasons=False)
    assert [(one.model, one.loss) for one in found] == [
        ("mmgcn", "bpr"), ("blend", "bpr"), ("lightgcn", "bpr"), ("ease", "none"), ("popularity", "none"),
        ("item_knn", "none"),
    ]  # fmt: skip
    by_name = {one.model: one for one in found}
    assert by_name["lightgcn"].validation == pytest.approx(0.5)  # under softmax the mean is 0.45
    assert (by_name["lightgcn"].seeds, by_name["lightgcn"].epochs) == (3, 20)  # of 10, 20 and the 40 of a cold start
    assert by_name["lightgcn"].settings["max_epochs"] == 20
    assert by_name["ease"].settings == {"regularisation": 50.0}
    assert by_name["blend"].settings["weight"] == 0.25
    assert by_name["blend"].settings["first"] == {"model": "ease", "regularisation": 50.0}
    assert by_name["blend"].settings["second"]["model"] == "lightgcn"
    assert by_name["item_knn"].status == "skipped: it is Tuesday"


def test_the_best_is_chosen_and_the_margin_is_over_the_next() -> None:
    found = candidates(TRAINED, with_reasons=False)
    best = choose(found, "best")
    other, margin = margin_over_next(found, best)
    assert (best.model, other, margin) == ("mmgcn", "blend", pytest.approx(0.25))
    assert in_words(best, other, margin, "best") == (
        "mmgcn is served, the best on validation: NDCG@20 0.8000, +0.2500 against blend"
    )


def test_where_reasons_are_wanted_only_models_that_can_give_them_are_candidates() -> None:
    found = candidates(TRAINED, with_reasons=True)
    assert choose(found, "best").model == "lightgcn"
    assert {one.model for one in found if one.status == "cannot explain its scores"} == {"mmgcn", "blend", "popularity"}


def test_a_model_that_is_named_is_served_and_its_deficit_is_said() -> None:
    found = candidates(TRAINED, with_reasons=False)
    ease = choose(found, "ease")
    assert in_words(ease, *margin_over_next(found, ease), "ease") == (
        "ease is served, as the setting 'serve' says: NDCG@20 0.4500, -0.3500 against mmgcn"
    )


@pytest.mark.parametrize(("name", "reason"), [("item_knn", "skipped: it is Tuesday"), ("vbpr", "it was not trained")])
def test_a_model_that_cannot_be_served_is_one_sentence(name: str, reason: str) -> None:
    with pytest.raises(InputError) as error:
        choose(candidates(TRAINED, with_reasons=False), name)
    assert str(error.value) == f"serve names {name}, which cannot be served ({reason}); choose another, or 'best'"


def test_without_a_model_that_can_be_served_nothing_is() -> None:
    with pytest.raises(InputError, match="no model was trained that can be served"):
        choose([Candidate("ease", "none", 0.0, 0, 0, False, {}, "skipped: no")], "best")


def test_a_model_is_fitted_anew_when_its_own_row_changes_and_not_when_others_do() -> None:
    found = candidates(TRAINED, with_reasons=False)
    before = row_of(choice_table(found, choose(found, "best")))
    others = {**TRAINED, "ease": ([{**TRAINED["ease"][0][0], "regularisation": 9.0}], "")}
    found = candidates(others, with_reasons=False)
    assert row_version(row_of(choice_table(found, choose(found, "best")))) == row_version(before)
    longer = {**TRAINED, "mmgcn": ([{**TRAINED["mmgcn"][0][0], "best_epoch": 2}], "")}
    found = candidates(longer, with_reasons=False)
    now = row_of(choice_table(found, choose(found, "best")))
    assert row_version(now) != row_version(before)
    assert now["values"]["max_epochs"] == 2
    assert json.dumps(before["values"])
