"""The exports of the sample: what other programs read from them is what the pipeline has."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from assets.interactions.splits import TEST, TRAIN, Parts
from assets.training.held_out import HeldOut
from benchmarks.mmrec import read_content, read_split
from models.model_spec import BEST_MODEL
from models.ranking.ranking import Vectors, matrix_of, rank
from models.recommenders.fusion import Modality
from storage.artifacts.saved_models import read_models
from storage.artifacts.tables import read_embeddings, read_table
from tests.pipeline.in_process import Pipeline, failures

EXPORTS = ("mmrec_export", "recbole_export", "vectors_export")


def folder(pipeline: Pipeline, export: str) -> Path:
    return pipeline.root.artefact(pipeline.root.manifest(export, "sample"))


def table(pipeline: Pipeline, asset: str):
    return read_table(pipeline.root.path(asset, "sample", ".parquet"))


def core_ids(pipeline: Pipeline) -> list[str]:
    """The ids of the items that models know, by number."""
    index = table(pipeline, "item_index")
    return index.filter(index["in_core"])["item_id"].to_pylist()


def test_every_export_is_a_folder_named_by_its_dataset(sample: Pipeline) -> None:
    for export in EXPORTS:
        assert folder(sample, export) == sample.root.root / export / "sample"
        assert sorted(path.name for path in folder(sample, export).parent.iterdir()) == [
            "sample", "sample.manifest.json",
        ]  # fmt: skip


def test_the_mmrec_folder_has_the_splits_and_the_embeddings(sample: Pipeline) -> None:
    read = read_split(folder(sample, "mmrec_export"))
    parts = Parts.of(table(sample, "splits"))
    for name in ("user", "item", "split"):
        np.testing.assert_array_equal(getattr(read, name), getattr(parts, name))
    content = read_content(folder(sample, "mmrec_export"), read.items)
    assert content is not None
    for asset, found in (("image_embeddings", content.visual), ("text_embeddings", content.textual)):
        made = read_embeddings(sample.root.path(asset, "sample", ".parquet"))
        assert len(made.matrix) > read.items  # of the whole catalogue
        has_value = made.has_value[: read.items]
        wanted = Modality.of(made.matrix[: read.items], has_value)
        assert 0 < has_value.sum() < read.items  # the sample lacks some
        np.testing.assert_array_equal(found.features.numpy(), wanted.features.numpy())
        np.testing.assert_array_equal(found.present.numpy(), wanted.present.numpy())
    made_by = json.loads((folder(sample, "mmrec_export") / "features.json").read_text())
    assert made_by["image_feat.npy"]["weights"] == "untrained"
    for name in ("image_feat.npy", "text_feat.npy"):  # models of MMRec divide by the length of every row
        assert (np.linalg.norm(np.load(folder(sample, "mmrec_export") / name), axis=1) > 0).all()


def test_the_recbole_files_have_the_interactions_by_parts(sample: Pipeline) -> None:
    interactions, splits = table(sample, "interactions"), table(sample, "splits")
    wanted = [
        set(
            zip(
                *(interactions.filter(splits["split"].to_numpy() == part)[side].to_pylist() for side in ids),
                strict=True,
            )
        )
        for part in range(3)
        for ids in [("user_id", "item_id")]
    ]
    found = []
    for part in ("train", "valid", "test"):
        lines = (folder(sample, "recbole_export") / f"sample.{part}.inter").read_text().splitlines()[1:]
        found.append({tuple(line.split("\t")[:2]) for line in lines})
    assert found == wanted
    items = (folder(sample, "recbole_export") / "sample.item").read_text().splitlines()[1:]
    assert [line.split("\t")[0] for line in items] == core_ids(sample)


@pytest.fixture(scope="module")
def served(sample: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A copy of the sample that a model of vectors is served of."""
    pipeline = sample.copy(tmp_path_factory.mktemp("served"))
    chain = "key:model_choice or key:served_model or key:current or key:vectors_export"
    result = pipeline.run("sample", chain, {"model_choice": {"serve": BEST_MODEL}})
    assert result.success, failures(result)
    return pipeline


def test_the_vectors_rank_as_the_served_model_does(served: Pipeline) -> None:
    sample = served
    model = read_models(sample.root.root / sample.root.manifest("served_model", "sample").path).main
    users, items = (pq.read_table(folder(sample, "vectors_export") / f"{name}.parquet") for name in ("users", "items"))
    exported = Vectors(*(np.array(side["vector"].to_pylist(), np.float32) for side in (users, items)))
    own = Vectors(model.tensors["user_vectors"], model.tensors["item_vectors"], model.config["score"])
    test = HeldOut.of(Parts.of(table(sample, "splits")), TEST)
    np.testing.assert_allclose(test.metrics(exported, (10,))["ndcg", 10], test.metrics(own, (10,))["ndcg", 10])
    assert items["item_id"].to_pylist() == core_ids(sample)
    trained = np.unique(Parts.of(table(sample, "splits")).pairs(TRAIN)[0])
    assert np.flatnonzero(users["in_train"].to_numpy()).tolist() == trained.tolist()


@pytest.mark.process
def test_the_example_finds_the_best_items_of_a_user(served: Pipeline) -> None:
    sample = served
    model = read_models(sample.root.root / sample.root.manifest("served_model", "sample").path).main
    own = Vectors(model.tensors["user_vectors"], model.tensors["item_vectors"], model.config["score"])
    nothing = matrix_of(np.array([], int), np.array([], int), 400, 200)
    ids = core_ids(sample)
    hits = 0
    for user in (3, 200, 399):
        wanted = {ids[item] for item in rank(own, np.array([user]), nothing, 10).items[0]}
        command = [sys.executable, "-I", str(folder(sample, "vectors_export") / "search.py"), f"SAMPLE-U{user:05d}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        hits += len(wanted & {line.split("\t")[0] for line in shown})
    assert hits >= 0.95 * 30


def test_of_a_model_without_vectors_a_note_is_exported_that_says_so(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    chain = "key:model_choice or key:served_model or key:current or key:vectors_export"
    assert pipeline.run("sample", chain, {"model_choice": {"serve": "ease"}}).success
    assert [path.name for path in folder(pipeline, "vectors_export").iterdir()] == ["README.txt"]
    said = (folder(pipeline, "vectors_export") / "README.txt").read_text()
    assert said == "Nothing was exported: ease is served, which has no vectors; 'serve' names another model.\n"


def test_what_was_changed_or_lost_is_made_again_as_a_whole_and_names_no_user(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = sample.copy(tmp_path)
    before = {export: pipeline.root.manifest(export, "sample") for export in EXPORTS}
    (folder(pipeline, "mmrec_export") / "mm_adj_freedomdsp_10_1.pt").write_bytes(b"left by a model")
    (folder(pipeline, "recbole_export") / "sample.inter").unlink()
    shutil.rmtree(folder(pipeline, "vectors_export"))
    result = pipeline.run("sample", " or ".join(f"key:{export}" for export in EXPORTS))
    assert result.success, failures(result)
    for export in EXPORTS:
        again = pipeline.root.manifest(export, "sample")
        assert (again.sha256, again.data_version) == (before[export].sha256, before[export].data_version)
        assert folder(pipeline, export)
        assert "SAMPLE-U" not in str(pipeline.metadata(export, "sample"))
