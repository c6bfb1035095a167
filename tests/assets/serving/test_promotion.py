"""Whether new models take the place of those that are served, on figures written here."""

import pytest

from assets.core.settings import PromotionSettings
from assets.serving.promotion import candidate, chosen
from storage.artifacts.releases import Pointer, Release
from storage.errors import InputError


def release(version: str, validation: float) -> Release:
    return Release(version=version, dataset="toys", validation=validation, models={}, model="ease")


SERVED, POINTER = release("old", 0.10), Pointer(version="old", models={}, withdrawn=["bad"])


@pytest.mark.parametrize("validation", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_no_candidate(validation: float) -> None:
    with pytest.raises(InputError, match=r"^ease has no NDCG@20 on validation that is a number; train it again$"):
        candidate("toys", "ease", validation, {})


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
        InputError, match=r"^ease reaches .*below max_validation_drop from the 0\.1000 of the promoted one, which stays"
    ):
        chosen(release("new", validation), SERVED, POINTER, config)
    assert chosen(release("new", validation), SERVED, POINTER, PromotionSettings(force=True)).version == "new"


def test_a_model_that_the_settings_name_may_be_worse_than_another_but_not_than_itself() -> None:
    other = release("new", 0.01).model_copy(update={"model": "popularity"})
    assert chosen(other, SERVED, POINTER, PromotionSettings(), named=True).version == "new"
    with pytest.raises(InputError, match="below max_validation_drop"):
        chosen(other, SERVED, POINTER, PromotionSettings())
    with pytest.raises(InputError, match="below max_validation_drop"):
        chosen(release("new", 0.01), SERVED, POINTER, PromotionSettings(), named=True)
    bad = release("bad", 0.5).model_copy(update={"model": "popularity"})
    assert chosen(bad, SERVED, POINTER, PromotionSettings(), named=True).version == "old"


def test_one_that_was_taken_back_stays_back_until_it_is_forced() -> None:
    assert chosen(release("bad", 0.5), SERVED, POINTER, PromotionSettings()).version == "old"
    assert chosen(release("bad", 0.5), SERVED, POINTER, PromotionSettings(force=True)).version == "bad"
