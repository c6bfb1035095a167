"""A data root that an earlier version of the project has made is read, and new tables are built on it.

`earlier_data/shop.tar.xz` is what the version of 29 November 2026 (21db358) made of a small invented shop: 300 users
who bought 3,206 times, and 135 items. Where a change of the code makes such a root unreadable on purpose, by a new
version of the schemas, the archive is made again.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from storage.artifacts.data_root import DataRoot
from storage.artifacts.releases import Promoted, find_pointer, find_recommendations, read_release
from storage.artifacts.saved_models import read_models
from tests.pipeline.in_process import Pipeline, failures

ARCHIVE = Path(__file__).parents[1] / "earlier_data" / "shop.tar.xz"


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return DataRoot(tmp_path)


def test_every_artefact_of_an_earlier_version_is_sound(root: DataRoot) -> None:
    manifests = sorted(root.root.glob("*/shop.manifest.json"))
    assert len(manifests) == 12
    for path in manifests:
        found = root.find_sound(path.parent.name, "shop")
        assert found is not None, path
        written = json.loads(path.read_text())
        assert {name: value for name, value in written.items() if name != "seal"} == found.model_dump()


def test_what_an_earlier_version_serves_is_read(root: DataRoot) -> None:
    pointer = find_pointer(root, "shop")
    assert pointer is not None
    lists = find_recommendations(root, "shop", pointer.version)
    assert lists is not None
    assert pointer.recommendations == lists.path
    recommended = pd.read_parquet(root.artefact(lists))
    assert recommended.groupby("user_id").size().eq(20).all()
    assert recommended["user_id"].nunique() == 300
    bought = pd.read_parquet(root.path("reviews", "shop", ".parquet"))
    assert not set(zip(bought["user_id"], bought["item_id"], strict=True)) & set(
        zip(recommended["user_id"], recommended["item_id"], strict=True)
    )

    # The first list is what the vectors of the served model say of the items that the user has not bought.
    model = Promoted(root, read_release(root, "shop", pointer.version)).models("served_model").main
    core = pd.read_parquet(root.path("interactions", "shop", ".parquet"))
    user = core.groupby("user_id")["user"].first()["0001"]
    item = core.groupby("item_id")["item"].first()
    vectors = model.tensors["item_vectors"]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    of_user = model.tensors["user_vectors"][user]
    scores = unit @ (of_user / np.linalg.norm(of_user))
    mine = recommended[(recommended["user_id"] == "0001") & ~recommended["is_new"]]
    assert model.config["score"] == "cosine"
    np.testing.assert_allclose(scores[item[mine["item_id"]]], mine["score"], rtol=1e-5)


def test_models_and_graphs_of_an_earlier_version_are_loaded(root: DataRoot) -> None:
    graph = sp.load_npz(root.artefact(root.manifest("interaction_graph", "shop")))
    train = (pd.read_parquet(root.path("splits", "shop", ".parquet"))["split"] == 0).sum()  # train
    assert graph.nnz == 2 * train
    knn = read_models(root.artefact(root.manifest("item_knn", "shop")))
    assert knn.main.config["model"] == "item_knn"


def test_new_artefacts_are_built_on_tables_of_an_earlier_version(root: DataRoot) -> None:
    before = root.manifest("interaction_graph", "shop")
    root.artefact(before).unlink()
    result = Pipeline(root).run("shop", "interaction_graph")
    assert result.success, failures(result)
    after = root.manifest("interaction_graph", "shop")
    assert after.run != before.run
    assert (after.sha256, after.recipe, after.numbering) == (before.sha256, before.recipe, before.numbering)
