"""Models that are counted rather than learned, on data small enough to count by hand, and the blend of two models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch

from assets.interactions.splits import TRAIN, VALIDATION, Parts
from assets.training.baselines import blend_of, counted_fit, make_result, popular, popularity_of
from assets.training.held_out import HeldOut
from assets.training.scorers import pack_models, scorer_of
from models.ranking.ranking import Scorer, matrix_of
from models.recommenders.item_models import Ease, ItemKnn
from storage.artifacts.saved_models import SavedModel, SavedModels, read_models, write_models
from storage.schemas import SCHEMAS

# (user, item, part). In train item 0 is four users', item 1 two of theirs, and item 2 one other user's.
ROWS = [(0, 0, TRAIN), (0, 1, TRAIN), (1, 0, TRAIN), (1, 1, TRAIN), (2, 0, TRAIN), (3, 0, TRAIN), (4, 2, TRAIN),
        (2, 1, VALIDATION), (3, 2, VALIDATION)]  # fmt: skip
# For the users 2 and 3, who have item 0, item 1 comes before item 2: the one is right, the other has it second.
WORKED_NDCG = (1 + 1 / np.log2(3)) / 2


def splits(rows: list[tuple[int, int, int]] = ROWS) -> pa.Table:
    return pa.table(list(zip(*rows, strict=True)), schema=SCHEMAS["splits"])


def validation() -> HeldOut:
    return HeldOut.of(Parts.of(splits()), VALIDATION)


def scores_of(scorer: Scorer, users: int) -> np.ndarray:
    out = torch.empty(users, scorer.items)
    scorer.write(np.arange(users), out)
    return out.numpy()


def test_ease_is_kept_with_its_weights_and_what_it_reached_on_validation() -> None:
    model = counted_fit("ease", validation(), {"regularisation": 2.0, "max_items": 9})
    # With two items that go together, each is regressed on the other alone: 2 / (4 + λ) and 2 / (2 + λ).
    expected = [[0, 2 / 6, 0], [2 / 4, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(model.tensors["weights"], expected, atol=1e-6)
    assert model.config["validation_ndcg@20"] == pytest.approx(WORKED_NDCG)
    assert (model.name, model.config["model"], model.config["regularisation"]) == ("none-0", "ease", 2.0)


@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
def test_item_knn_is_kept_with_its_weights_and_what_it_reached_on_validation(shrinkage: float) -> None:
    model = counted_fit("item_knn", validation(), {"neighbours": 5, "shrinkage": shrinkage})
    likeness = 2 / ((4 * 2) ** 0.5 + shrinkage)
    weights = sp.csr_matrix(tuple(model.tensors[name] for name in ("data", "indices", "indptr")), shape=(3, 3))
    np.testing.assert_allclose(weights.toarray(), [[0, likeness, 0], [likeness, 0, 0], [0, 0, 0]], rtol=1e-6)
    assert model.config["validation_ndcg@20"] == pytest.approx(WORKED_NDCG)
    assert (model.config["neighbours"], model.config["shrinkage"]) == (5, shrinkage)


def test_popularity_scores_every_item_by_how_often_it_is_in_train() -> None:
    model = popularity_of(validation().train)
    found = scores_of(scorer_of(model, validation().train), users=5)
    np.testing.assert_array_equal(found, [[4, 2, 1]] * 5)


Given = dict[str, Any]


def vectors_of(model: str, loss: str, seed: int, scores: Sequence[Sequence[float]], **facts: Any) -> SavedModel:
    """A model of vectors whose scores [users, items] are written down."""
    users = np.array(scores, np.float32)
    tensors = {"user_vectors": users, "item_vectors": np.eye(users.shape[1], dtype=np.float32)}
    about = {"model": model, "kind": "vectors", "loss": loss, "seed": seed, "score": "dot", "device": "cpu"}
    return SavedModel(tensors, about | facts)


def known(value: float) -> Given:
    return {"validation_ndcg@20": value}


# Two users who have item 0; validation has item 1 of user 0 and item 2 of user 1, and the wrong item is 3. In z-scores
# the first model has item 1 ahead by 1.83 for user 0 and item 2 behind by 1.21 for user 1; its partner has them behind
# and ahead by 2.31. The blend is right about user 0 from w = 2.31 / (1.83 + 2.31) = 0.558 on and about user 1 up to
# w = 2.31 / (1.21 + 2.31) = 0.657: of the tenths, at 0.6 alone about both.
FIRST = [[0, 1, 0, 0.25], [0, 0, 0.5, 1]]
PARTNER = [[0, 0, 0, 1], [0, 0, 1, 0]]
WRONG = [[0, 0, 1, 0.5], [0, 1, 0, 0.5]]  # what is wanted comes last
SLIM = [[0, 1, 0.95, 0], [0, 0.95, 1, 0]]  # right about both, by so little that a tenth of WRONG is too much
HELD_OUT = [(0, 0, TRAIN), (0, 1, VALIDATION), (1, 0, TRAIN), (1, 2, VALIDATION), (2, 3, TRAIN)]


def blend_validation() -> HeldOut:
    return HeldOut.of(Parts.of(splits(HELD_OUT)), VALIDATION)


def blended(names: tuple[str, ...] = ("wrong", "partner"), **instead: SavedModels) -> SavedModels:
    models = {
        "ease": SavedModels((vectors_of("ease", "none", 0, FIRST),)),
        "wrong": SavedModels((vectors_of("wrong", "bpr", 0, WRONG, **known(0.9)),)),
        "partner": SavedModels(
            (
                vectors_of("partner", "bpr", 0, WRONG, **known(0.1)),
                vectors_of("partner", "bpr", 1, WRONG, **known(0.4)),
                vectors_of("partner", "softmax", 0, PARTNER, **known(0.3)),
                vectors_of("partner", "softmax", 1, WRONG, **known(0.3)),
            )
        ),
    }
    return blend_of("ease", names, models | instead, blend_validation())


def test_a_blend_takes_the_partner_and_the_weight_that_are_best_on_validation() -> None:
    config = blended().main.config
    assert (config["first"], config["second"], config["weight"]) == ("ease", "partner", 0.6)
    assert config["validation_ndcg@20"] == pytest.approx(1)
    by_weight = config["validation_by_weight"]
    assert set(by_weight) == {f"{name} {n / 20}" for name in ("wrong", "partner") for n in range(21)}
    # Below and above, one user's item comes first and the other's second; at 0 second and third are a tie.
    for tenth in (1, 2, 3, 4, 5, 7, 8, 9, 10):
        assert by_weight[f"partner {tenth / 10}"] == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert by_weight["partner 0.6"] == pytest.approx(1)
    assert by_weight["wrong 0.0"] == pytest.approx(1 / np.log2(4))


def test_there_is_one_blend_for_each_seed_of_the_loss_that_was_best_on_validation(tmp_path: Path) -> None:
    fits = reread(tmp_path, blended()).fits
    assert [(fit.name, fit.config["second_fit"]) for fit in fits] == [("softmax-0",) * 2, ("softmax-1",) * 2]
    assert {fit.config["weight"] for fit in fits} == {0.6}  # what was chosen with the first seed
    assert {fit.config["model"] for fit in fits} == {"blend"}


def test_a_partner_that_helps_nothing_leaves_the_first_model_alone() -> None:
    config = blended(("wrong",), ease=SavedModels((vectors_of("ease", "none", 0, SLIM),))).main.config
    assert (config["second"], config["weight"]) == ("wrong", 1.0)
    assert config["validation_ndcg@20"] == pytest.approx(1)


@pytest.mark.parametrize("missing", ["ease", "partner"])
def test_there_is_no_blend_of_a_model_that_was_skipped(missing: str) -> None:
    found = blended(**{missing: SavedModels((), "30,000 items are over max_items (25,000)")})
    assert found == SavedModels((), f"{missing} was skipped: 30,000 items are over max_items (25,000)")
    assert make_result(found, 1.0).metadata == {"skipped": found.skipped}


def reread(folder: Path, models: SavedModels) -> SavedModels:
    return read_models(write_models(folder, models)[0])


def some_train(seed: int = 0) -> sp.csr_matrix:
    dense = np.random.default_rng(seed).random((30, 9)) < 0.3
    return matrix_of(*dense.nonzero(), *dense.shape)


def test_counted_models_score_the_same_when_they_come_from_disk(tmp_path: Path) -> None:
    train = some_train()
    user, item = train.nonzero()
    held_out = HeldOut(train, train, matrix_of(user, (item + 1) % 9, 30, 9), np.unique(user))
    for saved, model in (
        (counted_fit("ease", held_out, {"regularisation": 3.0}), Ease.fit(train, 3.0)),
        (counted_fit("item_knn", held_out, {"neighbours": 4, "shrinkage": 1.0}), ItemKnn.fit(train, 4, 1.0)),
    ):
        found = scorer_of(reread(tmp_path / saved.config["model"], SavedModels((saved,))).main, train)
        assert type(found) is type(model)
        np.testing.assert_array_equal(scores_of(found, 30), scores_of(model, 30))


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_vectors_score_by_the_comparison_that_they_were_trained_for(tmp_path: Path, score: str) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(30, 4)).astype(np.float32), rng.normal(size=(9, 4)).astype(np.float32)
    about = {"model": "m", "kind": "vectors", "loss": "bpr", "seed": 0, "score": score}
    models = SavedModels((SavedModel({"user_vectors": users, "item_vectors": items}, about),))
    expected = users @ items.T
    if score == "cosine":
        expected = expected / np.linalg.norm(users, axis=1)[:, None] / np.linalg.norm(items, axis=1)
    found = scores_of(scorer_of(reread(tmp_path, models).main, some_train()), 30)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_blend_scores_by_the_fits_that_it_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    first, *seconds = rng.normal(size=(4, 30, 9)).round(2)
    others = {
        "ease": SavedModels((vectors_of("ease", "none", 0, first.tolist()),)),
        "lightgcn": SavedModels(
            tuple(
                vectors_of("lightgcn", loss, seed, scores.tolist())
                for (loss, seed), scores in zip((("bpr", 0), ("softmax", 0), ("softmax", 1)), seconds, strict=True)
            )
        ),
    }
    about = {"model": "blend", "kind": "blend", "first": "ease", "second": "lightgcn", "weight": 0.3, "loss": "softmax"}
    configs = [about | {"seed": seed, "second_fit": f"softmax-{seed}"} for seed in (0, 1)]
    blends = SavedModels(tuple(SavedModel({"weight": np.array([0.3])}, config) for config in configs))
    for fit, second in zip(reread(tmp_path, blends).fits, seconds[1:], strict=True):
        expected = 0.3 * z_scores(first) + 0.7 * z_scores(second)
        found = scores_of(scorer_of(fit, some_train(), others), 30)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_popularity_says_how_well_it_ranks_validation() -> None:
    """Users 2 and 3 have item 0; of the others item 1 is the more popular, which the one wants and the other not."""
    model = popular(validation()).main
    assert model.config["validation_ndcg@20"] == pytest.approx(WORKED_NDCG)


def test_a_blend_that_is_served_holds_both_of_its_models_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(30, 9)).round(2)
    train = some_train()
    user, item = train.nonzero()
    held_out = HeldOut(train, train, matrix_of(user, (item + 1) % 9, 30, 9), np.unique(user))
    first = counted_fit("ease", held_out, {"regularisation": 3.0})
    second = vectors_of("lightgcn", "softmax", 0, scores.tolist())
    served = reread(tmp_path, SavedModels((pack_models(first, second, 0.3),))).main
    found, by_ease = scores_of(scorer_of(served, train), 30), scores_of(Ease.fit(train, 3.0), 30)
    some = held_out.users
    expected = 0.3 * z_scores(by_ease[some]) + 0.7 * z_scores(scores[some])
    np.testing.assert_allclose(found[some], expected, rtol=1e-4, atol=1e-5)


def z_scores(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
