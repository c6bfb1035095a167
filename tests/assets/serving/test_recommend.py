"""Recommendations: the best of what a user does not have, for every user, and reasons that name items by id."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from assets.serving import recommend
from assets.serving.recommend import NewItems, Recommending, explainer_of, new_item_batches, place_items
from assets.training.baselines import arrays_of
from assets.training.load_model import weights_of
from models.config import RecommenderConfig
from models.model_spec import LEARNED, PLACING_MODEL
from models.ranking.ranking import Vectors, matrix_of
from models.recommenders.fusion import Modality
from models.recommenders.item_models import Ease, ItemKnn
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import Content, TrainSet, new_model
from storage.artifacts.saved_models import SavedModel
from storage.artifacts.tables import Embeddings
from storage.environment import PROJECT_ROOT

USERS, ITEMS = 7, 5  # the last user has nothing
USER, ITEM = np.array([0, 0, 1, 2, 3, 4, 5]), np.array([0, 1, 1, 2, 3, 4, 0])
SEEN = matrix_of(USER, ITEM, USERS, ITEMS)
USER_IDS, ITEM_IDS = (pa.array([f"{kind}{n}" for n in range(size)]) for kind, size in (("u", USERS), ("i", ITEMS)))
DATA = TrainSet(USER, ITEM, USERS, ITEMS, normalised_adjacency(USER, ITEM, USERS, ITEMS))


def saved(score: str = "dot") -> SavedModel:
    config = RecommenderConfig.model_validate({"dim": 4, "layers": 1, "score": score})
    model = new_model(config, DATA, seed=0)
    user, item = model.vectors()
    weights = {f"weights.{name}": value.numpy() for name, value in model.state_dict().items()}
    facts = config.model_dump() | {"seed": 0, "kind": "vectors"}
    return SavedModel({"user_vectors": user, "item_vectors": item, **weights}, facts)


def rows(explain: bool = False, score: str = "dot", top_k: int = 3) -> list[dict]:
    model = saved(score)
    scorer = Vectors(model.tensors["user_vectors"], model.tensors["item_vectors"], score)
    explainer = explainer_of(model, DATA) if explain else None
    recommending = Recommending(SEEN, scorer, USER_IDS, ITEM_IDS, top_k, explainer)
    return pa.Table.from_batches(list(recommending.batches())).to_pylist()


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_each_gets_the_best_of_what_he_does_not_have(score: str) -> None:
    user, item = (saved(score).tensors[name] for name in ("user_vectors", "item_vectors"))
    if score == "cosine":
        user, item = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (user, item))
    scores = user @ item.T
    scores[SEEN.toarray() > 0] = -np.inf
    wanted = [(f"u{n}", rank + 1, f"i{i}") for n in range(USERS) for rank, i in enumerate(np.argsort(-scores[n])[:3])]
    assert [(row["user_id"], row["rank"], row["item_id"]) for row in rows(score=score)] == wanted


def test_batches_do_not_change_what_is_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows(explain=True)
    monkeypatch.setattr(recommend, "BLOCK_USERS", 2)
    for row, other in zip(rows(explain=True), whole, strict=True):
        assert row.pop("score") == pytest.approx(other.pop("score"), abs=1e-7)  # products round by their shapes
        assert row == other


def test_who_has_nearly_all_gets_what_is_left() -> None:
    found = [row for row in rows(top_k=ITEMS) if row["user_id"] == "u0"]
    assert sorted(row["item_id"] for row in found) == ["i2", "i3", "i4"]


def test_reasons_are_given_if_asked_for_and_name_the_history() -> None:
    assert {row["because"] for row in rows()} == {None}
    history = {f"u{u}": {f"i{i}" for i in SEEN[u].indices} for u in range(USERS)}
    for row in rows(explain=True):
        assert not row["is_new"]
        assert set(row["because"]) <= history[row["user_id"]]
        assert len(row["because"]) == len(row["because_part"])
        assert row["visual"] == row["textual"] == 0  # a model of IDs


def test_a_saved_model_is_restored_from_its_weights() -> None:
    model = saved()
    anatomy = explainer_of(model, DATA).anatomy
    np.testing.assert_allclose(anatomy.user, model.tensors["user_vectors"], atol=1e-7)
    assert weights_of(model).keys() == {"user_id.weight", "item_id.weight"}


def test_new_items_are_ranked_for_the_users_given_and_none_are_no_rows() -> None:
    scorer = Vectors(np.array([[1.0], [2.0], [-1.0]], np.float32), np.array([[3.0], [4.0]], np.float32))
    ids = pa.array(["a", "b", "c"]), pa.array(["x", "y"])
    found = pa.Table.from_batches(list(new_item_batches(scorer, np.array([0, 2]), 3, ids, 2))).to_pylist()
    assert [(row["user_id"], row["rank"], row["item_id"], row["score"]) for row in found] == [
        ("a", 1, "y", 4), ("a", 2, "x", 3), ("c", 1, "x", -3), ("c", 2, "y", -4),
    ]  # fmt: skip
    empty = Vectors(scorer.user_vectors, np.zeros((0, 1), np.float32))
    assert not list(new_item_batches(empty, np.array([0]), 3, ids, 2))


@pytest.mark.parametrize("core_pictures", [0, 1, 2])
def test_a_view_that_training_could_not_learn_from_places_nothing(core_pictures: int) -> None:
    """Items 0 to 3 are of the core; 4 has a picture alone, 5 a text alone, 6 nothing."""
    has_picture = np.array([core_pictures > 0, core_pictures > 1, False, False, True, False, False])
    has_text = np.array([True, True, True, True, False, True, False])
    rng = np.random.default_rng(0)
    views = [
        Embeddings((rng.normal(size=(7, 3)) * there[:, None]).astype(np.float32), there, {})
        for there in (has_picture, has_text)
    ]
    config = RecommenderConfig.model_validate({"dim": 4, **LEARNED[PLACING_MODEL].fixed})
    content = Content(*(Modality.of(view.matrix[:4], view.has_value[:4]) for view in views))
    data = TrainSet(np.arange(2), np.arange(2), 2, 4, normalised_adjacency(np.arange(2), np.arange(2), 2, 4), content)
    weights = {f"weights.{name}": value.numpy() for name, value in new_model(config, data, seed=0).state_dict().items()}
    model = SavedModel({"user_vectors": np.ones((2, 4), np.float32), **weights}, config.model_dump())
    index = pa.table({"item_id": list("abcdefg"), "in_core": [True] * 4 + [False] * 3})
    new, scorer, known = place_items(model, index, *views, np.empty(0, np.int64))
    assert new.tolist() == ([4, 5] if core_pictures > 1 else [5])
    assert (scorer.items, known.items) == (len(new), 4)
    assert place_items(model, index, *views, np.array([5]))[0].tolist() == ([4] if core_pictures > 1 else [])


def ranked_by(scores: list[list[float]]) -> Vectors:
    """What scores as it is written, [users, items]."""
    users = np.array(scores, np.float32)
    return Vectors(users, np.eye(users.shape[1], dtype=np.float32))


def lists(new_items: NewItems | None, unavailable: list[int], seen: list[list[int]], top_k: int = 3) -> list[list]:
    """For two users and four items of a core, a list each of (item, score); 4 and 5 are new."""
    scorer = ranked_by([[8, 7, 6, 5], [1, 2, 3, 4]])
    has = matrix_of(*(np.array(side) for side in zip(*seen, strict=True)), 2, 4)
    ids = pa.array(["u0", "u1"]), pa.array([f"i{n}" for n in range(6)])
    recommending = Recommending(has, scorer, *ids, top_k, None, np.array(unavailable, np.int64), new_items)
    found = pa.Table.from_batches(list(recommending.batches())).to_pylist()
    assert all(row["is_new"] == (row["item_id"] in ("i4", "i5")) for row in found)
    return [[(row["item_id"], row["score"]) for row in found if row["user_id"] == user] for user in ("u0", "u1")]


def test_what_is_not_available_is_in_no_list() -> None:
    first, second = lists(None, [1], [[0, 0], [1, 2]])
    assert first == [("i2", 6), ("i3", 5)]
    assert second == [("i3", 4), ("i0", 1)]


@pytest.mark.parametrize(
    ("of_new", "most", "first"),
    [
        # By content the core is i3 before i2 before i1 (i0 is owned): 9, 5, 1.
        ([[10, 0], [0, 0]], 1, [("i4", 7), ("i1", 7), ("i2", 6)]),  # before all of them
        ([[6, 0], [0, 0]], 1, [("i1", 7), ("i4", 6), ("i2", 6)]),  # after one of them: in the second place
        ([[6, 7], [0, 0]], 2, [("i1", 7), ("i5", 6), ("i4", 6)]),  # both after one of them, the better first
        ([[6, 7], [0, 0]], 1, [("i1", 7), ("i5", 6), ("i2", 6)]),  # one may enter
        ([[0.5, 0], [0, 0]], 1, [("i1", 7), ("i2", 6), ("i3", 5)]),  # behind all of them
    ],
)
def test_a_new_item_stands_where_its_content_puts_it_among_the_others(
    of_new: list[list[float]], most: int, first: list
) -> None:
    known = ranked_by([[99, 1, 5, 9], [9, 9, 9, 9]])
    new = NewItems(np.array([4, 5]), ranked_by(of_new), known, most)
    assert lists(new, [], [[0, 0]])[0] == first


def test_a_list_that_is_short_of_known_items_is_filled_with_new_ones() -> None:
    new = NewItems(np.array([4, 5]), ranked_by([[3, 2], [3, 2]]), ranked_by([[9, 9, 9, 9]] * 2), 2)
    assert [item for item, _ in lists(new, [], [[0, 0], [0, 1], [0, 2]])[0]] == ["i3", "i4", "i5"]


@pytest.mark.parametrize("model", ["ease", "item_knn"])
def test_scores_of_items_by_items_are_the_sums_of_their_reasons(model: str) -> None:
    scorers = {"ease": Ease.fit(SEEN, 1.0), "item_knn": ItemKnn.fit(SEEN, 3, 0.0)}
    config = {"model": model, "kind": model, "loss": "none", "seed": 0, "score": "dot"}
    explainer = explainer_of(SavedModel(arrays_of(scorers[model]), config), DATA)
    assert explainer is not None
    out = torch.empty(USERS, ITEMS)
    scorers[model].write(np.arange(USERS), out)
    items = np.tile(np.arange(ITEMS), (USERS, 1))
    found = explainer.reasons(np.arange(USERS), items, most=ITEMS)
    np.testing.assert_allclose(found.score, out.numpy(), atol=1e-5)
    above = np.where(found.because >= 0, found.because_part, 0).sum(axis=2)
    assert (above >= found.score - 1e-5).all()  # those below 0 are not named
    assert not found.visual.any()
    assert not found.textual.any()
    assert set(found.because[0].ravel().tolist()) <= {-1, 0, 1}  # what the user has


@pytest.mark.parametrize(("config", "explains"), [({"kind": "blend"}, False), ({"kind": "vectors"}, False)])
def test_a_model_whose_scores_are_no_sums_has_no_reasons(config: dict, explains: bool) -> None:
    assert (explainer_of(SavedModel({}, config), DATA) is not None) == explains


@pytest.mark.long
def test_a_hundred_thousand_users_and_fifty_thousand_items_fit_in_two_gigabytes() -> None:
    command = [sys.executable, "-m", "benchmarks.recommend", "--users", "100000", "--items", "50000"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["peak_rss_mb"] < 2048
