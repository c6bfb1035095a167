"""What is served: the chosen model of any family fitted to all interactions, and lists that may be sent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assets.interactions.splits import EVERY_PART, TRAIN, Parts
from models.model_spec import NAMES
from models.ranking.ranking import matrix_of
from pipeline.cli.recover import rows_of_unavailable
from storage.artifacts.releases import find_pointer
from storage.artifacts.saved_models import read_models
from storage.artifacts.tables import read_table
from storage.catalogue import Catalogue
from storage.errors import InputError
from tests.pipeline.in_process import Pipeline, failures

SERVE = "key:model_choice or key:served_model or key:new_item_model or key:current or key:recommendations"
FAMILIES = ("popularity", "item_knn", "mmgcn", "ablation_no_id", "blend")  # ease and others are served below


def frame(pipeline: Pipeline, asset: str) -> pd.DataFrame:
    return read_table(pipeline.root.root / pipeline.root.manifest(asset, "sample").path).to_pandas()


def parts_of(pipeline: Pipeline) -> Parts:
    return Parts.of(read_table(pipeline.root.path("splits", "sample", ".parquet")))


def served(pipeline: Pipeline, **settings: object) -> pd.DataFrame:
    """The lists after a run that serves a model with some settings of its own."""
    known = {"model_choice": {"serve", "explain"}, "recommendations": settings.keys() - {"serve"}}
    given = {asset: {name: settings[name] for name in names if name in settings} for asset, names in known.items()}
    result = pipeline.run("sample", SERVE, given)
    assert result.success, failures(result)
    return frame(pipeline, "recommendations")


@pytest.fixture(scope="module")
def shop(sample: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A copy of the sample that this module serves from again and again."""
    return sample.copy(tmp_path_factory.mktemp("served"))


def test_the_best_model_on_validation_is_chosen_and_the_margin_is_said(sample: Pipeline) -> None:
    choice = frame(sample, "model_choice")
    assert set(choice["model"]) == set(NAMES)
    first, second = choice.iloc[0], choice.iloc[1]
    assert choice["validation_ndcg"].is_monotonic_decreasing
    assert choice[choice["chosen"]]["model"].tolist() == [first["model"]]
    facts = sample.root.manifest("current", "sample").facts
    margin = first["validation_ndcg"] - second["validation_ndcg"]
    assert facts["choice"] == (
        f"{first['model']} is served, the best on validation: NDCG@20 {first['validation_ndcg']:.4f}, "
        f"{margin:+.4f} against {second['model']}"
    )
    page = sample.root.path("report", "sample", ".html").read_text()
    assert str(facts["choice"]) in page[: page.index("</header>")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_every_family_can_be_served_and_leaves_out_what_users_have(shop: Pipeline, family: str) -> None:
    found = served(shop, serve=family)
    interactions = frame(shop, "interactions")
    assert shop.root.manifest("current", "sample").facts["serves"] == family
    assert found.merge(interactions, on=["user_id", "item_id"]).empty
    assert found.groupby("user_id").size().tolist() == [20] * interactions["user_id"].nunique()
    assert not found.duplicated(["user_id", "item_id"]).any()


def test_what_is_served_knows_all_interactions_and_what_is_evaluated_train_alone(shop: Pipeline) -> None:
    """EASE worked out here: on everything for what is served, on train for what is evaluated."""
    found = served(shop, serve="ease")
    parts = parts_of(shop)
    model = read_models(shop.root.root / shop.root.manifest("ease", "sample").path).main
    lists = {}
    for name, wanted in (("served", EVERY_PART), ("evaluated", (TRAIN,))):
        x = matrix_of(*parts.pairs(*wanted), parts.users, parts.items).toarray().astype(np.float64)
        inverse = np.linalg.inv(x.T @ x + model.config["regularisation"] * np.eye(parts.items))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        scores = x @ weights
        everything = matrix_of(*parts.pairs(*EVERY_PART), parts.users, parts.items).toarray()
        scores[everything > 0] = -np.inf
        lists[name] = scores
    interactions = frame(shop, "interactions")
    users = interactions.drop_duplicates("user").sort_values("user")["user_id"].tolist()
    items = interactions.drop_duplicates("item").sort_values("item")["item_id"].tolist()
    differs = 0
    for number in range(0, parts.users, 7):
        mine = found[found["user_id"] == users[number]].sort_values("rank")
        row = lists["served"][number]
        np.testing.assert_allclose(mine["score"], np.sort(row)[::-1][:20], rtol=1e-3, atol=1e-4)
        best = [items[item] for item in np.argsort(-lists["evaluated"][number])[:20]]
        differs += best != mine["item_id"].tolist()
    assert differs > 0
    assert float(str(shop.root.manifest("served_model", "sample").facts["differs_from_evaluated_by"])) > 0.01


def test_a_learned_model_is_fitted_for_as_many_epochs_as_validation_chose(shop: Pipeline) -> None:
    served(shop, serve="gated_lightgcn")
    row = frame(shop, "model_choice").set_index("model").loc["gated_lightgcn"]
    evaluated = read_models(shop.root.root / shop.root.manifest("gated_lightgcn", "sample").path).best()[0]
    fit = read_models(shop.root.root / shop.root.manifest("served_model", "sample").path).main
    assert row["epochs"] == evaluated.config["best_epoch"] == len(fit.config["loss_curve"])
    assert fit.tensors["item_vectors"].shape == evaluated.tensors["item_vectors"].shape
    assert not np.allclose(fit.tensors["item_vectors"], evaluated.tensors["item_vectors"])
    facts = shop.root.manifest("served_model", "sample").facts
    assert facts["interactions"] == len(frame(shop, "interactions"))
    assert float(str(facts["train_s"])) > 0


def test_who_first_bought_in_the_last_window_is_served_by_the_model_too(sample: Pipeline, tmp_path: Path) -> None:
    """Train ends early here, so that some users have nothing in it; the served model knows them all the same."""
    pipeline = sample.copy(tmp_path)
    points = np.quantile(frame(pipeline, "interactions")["timestamp"], [0.1, 0.6]).astype(int).tolist()
    result = pipeline.run("sample", "key:splits", {"splits": {"split_points": points}})
    assert result.success, failures(result)
    found, parts = served(pipeline, serve="item_knn"), parts_of(pipeline)
    late = np.flatnonzero(np.bincount(parts.pairs(TRAIN)[0], minlength=parts.users) == 0)
    ids = frame(pipeline, "interactions").drop_duplicates("user").sort_values("user")["user_id"].to_numpy()[late]
    lists = {user: tuple(rows.sort_values("rank")["item_id"]) for user, rows in found.groupby("user_id")}
    assert len(late) > 10
    assert len({lists[user] for user in ids}) > 0.9 * len(ids)  # to each his own, where popularity has one for all


def test_reasons_come_with_every_model_that_can_give_them_and_with_no_other(shop: Pipeline) -> None:
    found = served(shop, serve="item_knn", explain=True)
    history = frame(shop, "interactions").groupby("user_id")["item_id"].agg(set)
    assert all(set(row.because) <= history[row.user_id] and len(row.because) for row in found.itertuples())
    result = shop.run("sample", SERVE, {"model_choice": {"serve": "blend", "explain": True}})
    assert "serve names blend, which cannot be served (cannot explain its scores)" in failures(result)["model_choice"]
    result = shop.run("sample", "key:model_choice", {"model_choice": {"explain": True}})
    choice = frame(shop, "model_choice")
    assert choice[choice["chosen"]]["explains"].tolist() == [True]


def test_a_warning_says_that_a_plain_model_beats_the_served_one(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    board = pipeline.root.manifest("leaderboard", "sample")
    served_now = pipeline.root.manifest("current", "sample").facts["serves"]
    one = {"standing": "open", "model": served_now, "against": "popularity", "metric": "ndcg", "k": 20,
           "difference": -0.1, "low": -0.2, "high": -0.02, "p_holm": None}  # fmt: skip
    pipeline.root.write_manifest(board.model_copy(update={"facts": {**board.facts, "comparisons": [one]}}))
    [found] = [
        check
        for check in pipeline.run("sample", "key:report").get_asset_check_evaluations()
        if check.check_name == "served_model_stands"
    ]
    assert not found.passed
    assert found.description == (
        f"{served_now} is served, and beaten on test in NDCG@20 by popularity by 0.1000 (0.0200 to 0.2000); set "
        "serve to that model, or find out why validation says otherwise"
    )


def test_lists_that_must_not_be_sent_are_not_served(
    sample: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what this project once did: train alone is left out."""
    pipeline = sample.copy(tmp_path)
    before = find_pointer(pipeline.root, "sample")

    def train_alone(parts: Parts) -> object:
        return matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)

    monkeypatch.setattr("assets.serving.recommend.owned", train_alone)
    result = pipeline.run("sample", "key:recommendations or key:report", {"recommendations": {"force": True}})
    assert not result.success
    [check] = [one for one in result.get_asset_check_evaluations() if one.check_name == "fit_to_send"]
    facts = {name: value.value for name, value in check.metadata.items()}
    assert not check.passed
    assert int(str(facts["owned"])) > 100
    assert (facts["twice"], facts["unavailable"], facts["users_without_a_list"]) == (0, 0, 0)
    assert find_pointer(pipeline.root, "sample") == before
    assert "report" not in {event.step_key for event in result.all_events if event.is_step_success}


def with_entry(pipeline: Pipeline, **places: object) -> Pipeline:
    """The same data under an entry of the catalogue that says more."""
    file, entry = pipeline.catalogue.entries["sample"]
    assert isinstance(entry, dict)
    own = {**entry, **places, "settings": {**entry["settings"], **places.get("settings", {})}}  # type: ignore[dict-item]
    return Pipeline(pipeline.root, replace_entry(pipeline.catalogue, file, own))


def replace_entry(catalogue: Catalogue, file: Path, entry: dict[str, object]) -> Catalogue:
    return replace(catalogue, entries={**catalogue.entries, "sample": (file, entry)})


def test_what_is_not_available_is_in_no_list(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path / "data")
    gone = frame(pipeline, "recommendations")["item_id"].value_counts().index[:5].tolist()
    (tmp_path / "gone.txt").write_text("\ufeff" + "\r\n".join([*gone, "", "not-of-this-shop"]) + "\r\n")
    changed = with_entry(pipeline, unavailable=str(tmp_path / "gone.txt"))
    result = changed.run("sample", "key:unavailable_items or key:recommendations or key:new_item_scores")
    assert result.success, failures(result)
    found = frame(changed, "recommendations")
    assert not set(found["item_id"]) & set(gone)
    assert found.groupby("user_id").size().unique().tolist() == [20]
    assert changed.root.manifest("unavailable_items", "sample").facts == {"in_list": 6}


def test_a_key_that_no_record_has_is_one_sentence(sample: Pipeline, tmp_path: Path) -> None:
    changed = with_entry(sample.copy(tmp_path), available="in_stock")
    said = failures(changed.run("sample", "key:unavailable_items"))["unavailable_items"]
    assert said.startswith("Dataset sample: 'available' names the key 'in_stock', which no record of the metadata has")
    assert "average_rating" in said


def test_new_items_enter_the_lists_where_their_content_puts_them(shop: Pipeline) -> None:
    apart = served(shop, serve="lightgcn", top_k=10)
    assert not apart["is_new"].any()
    mixed = served(shop, serve="lightgcn", top_k=10, new_items="mixed", new_item_share=0.3)
    core = set(frame(shop, "interactions")["item_id"])
    assert (mixed["is_new"] == ~mixed["item_id"].isin(core)).all()
    new = mixed.groupby("user_id")["is_new"].sum()
    assert new.max() <= 3
    assert new.sum() > 0
    assert mixed.groupby("user_id").size().unique().tolist() == [10]
    for user, rows in mixed.groupby("user_id"):
        known = rows[~rows["is_new"]].sort_values("rank")["item_id"].tolist()
        before = apart[apart["user_id"] == user].sort_values("rank")["item_id"].tolist()
        assert known == before[: len(known)]  # the others keep their order
        assert (np.diff(rows.sort_values("rank")["score"]) <= 0).all()


def test_ids_in_the_list_that_no_item_has_are_a_warning(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path / "data")
    known = frame(pipeline, "items")["item_id"][0]
    (tmp_path / "gone.txt").write_text(f"{known}\n12\n# a comment\n")
    changed = with_entry(pipeline, unavailable=str(tmp_path / "gone.txt"))
    made = changed.run("sample", "key:unavailable_items or key:recommendations")
    [found] = [one for one in made.get_asset_check_evaluations() if one.check_name == "listed_items_known"]
    assert (found.passed, found.metadata["unknown"].value) == (False, 2)
    assert found.description == (
        "2 of 3 ids in the list of unavailable items are of no item that metadata or reviews know, 12 for instance; "
        "write them as these do"
    )


def test_going_back_says_how_many_rows_are_not_available_any_more(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path / "data")
    served(pipeline, serve="lightgcn")
    lists = frame(pipeline, "recommendations")
    item = lists["item_id"].value_counts().index[0]
    (tmp_path / "gone.txt").write_text(f"{item}\n")
    changed = with_entry(pipeline, unavailable=str(tmp_path / "gone.txt"))
    assert changed.run("sample", "key:unavailable_items").success
    path = pipeline.root.manifest("recommendations", "sample").path
    assert rows_of_unavailable(pipeline.root, "sample", path) == int((lists["item_id"] == item).sum())


def test_where_mixing_cannot_be_measured_the_rest_is_and_the_reason_is_kept(
    sample: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_small(*_: object) -> list[dict[str, object]]:
        raise InputError("nobody has a test item among those that are not held out")

    monkeypatch.setattr("assets.evaluation.new_item_mixing.mixed_rows", too_small)
    pipeline = sample.copy(tmp_path)
    result = pipeline.run("sample", "key:new_item_recall", {"new_item_recall": {"force": True}})
    assert result.success, failures(result)
    facts = pipeline.root.manifest("new_item_recall", "sample").facts
    assert facts["mixing_not_measured"] == "nobody has a test item among those that are not held out"
    assert "mixed_into" not in facts
    assert set(frame(pipeline, "new_item_recall")["method"]) == {"gate", "content_neighbours", "popularity"}
