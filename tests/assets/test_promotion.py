"""Whether new models take the place of those that are served, on figures written here."""

import pytest

from assets.settings import PromotionSettings
from assets.training.promotion import chosen, validation_of
from storage.errors import InputError
from storage.layout import Manifest, Recipe
from storage.releases import Pointer, Release


def trained(**facts: float) -> Manifest:
    return Manifest(
        asset="m", dataset="toys", path="m", bytes=0, sha256="", data_version="1", numbering={}, seconds=0.0,
        recipe=Recipe(code_version="1", settings={}, inputs={}), facts=dict(facts),
    )  # fmt: skip


def release(version: str, validation: float) -> Release:
    return Release(version=version, dataset="toys", validation=validation, models={})


SERVED, POINTER = release("old", 0.10), Pointer(version="old", models={}, withdrawn=["bad"])


def test_a_model_is_as_good_as_the_mean_over_seeds_of_its_better_loss() -> None:
    facts = {f"validation_ndcg@20/{fit}": value for fit, value in
             (("bpr-0", 0.5), ("bpr-1", 0.1), ("softmax-0", 0.3), ("softmax-1", 0.4))}  # fmt: skip
    assert validation_of(trained(**facts, **{"best_epoch/bpr-0": 70})) == pytest.approx(0.35)
    assert validation_of(trained()) == 0.0


def test_the_first_is_promoted_however_bad() -> None:
    assert chosen(release("new", 0.0), None, None, PromotionSettings()).version == "new"


@pytest.mark.parametrize(("validation", "drop"), [(0.2, 0.3), (0.0701, 0.3), (0.0501, 0.5), (0.0, 1.0)])
def test_one_that_is_good_enough_is_promoted(validation: float, drop: float) -> None:
    config = PromotionSettings(max_validation_drop=drop)
    assert chosen(release("new", validation), SERVED, POINTER, config).version == "new"


@pytest.mark.parametrize(("validation", "drop"), [(0.0699, 0.3), (0.0, 0.99), (float("nan"), 1.0)])
def test_one_that_collapsed_is_refused(validation: float, drop: float) -> None:
    config = PromotionSettings(max_validation_drop=drop)
    with pytest.raises(
        InputError, match=r"below max_validation_drop from the 0\.1000 of the promoted one, which stays"
    ):
        chosen(release("new", validation), SERVED, POINTER, config)
    assert chosen(release("new", validation), SERVED, POINTER, PromotionSettings(force=True)).version == "new"


def test_one_that_was_taken_back_stays_back_until_it_is_forced() -> None:
    assert chosen(release("bad", 0.5), SERVED, POINTER, PromotionSettings()).version == "old"
    assert chosen(release("bad", 0.5), SERVED, POINTER, PromotionSettings(force=True)).version == "bad"
