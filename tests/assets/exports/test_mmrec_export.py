"""The MMRec folder: its files are those of MMRec's own notebooks, and what is read back is what went in."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from assets.exports.assets import core_ids
from assets.exports.mmrec import IMAGE, TEXT, write_mmrec
from assets.interactions.splits import TEST, TRAIN, VALIDATION
from benchmarks.mmrec import read_content, read_split
from models.recommenders.fusion import Modality
from storage.artifacts.tables import Embeddings
from storage.errors import InputError

INTERACTIONS = pa.table(
    {
        "user": pa.array([0, 0, 0, 1, 1], pa.int32()),
        "item": pa.array([2, 0, 1, 0, 2], pa.int32()),
        "user_id": ["ann", "ann", "ann", "bob", "bob"],
        "item_id": ["C", "A", "B", "A", "C"],
        "rating": pa.array([5, 4.5, 1, 3, 2], pa.float32()),
        "timestamp": [1328140800000, 1628643414042, 1, 0, 1658002729837],
    }
)
SPLITS = pa.table(
    {"user": INTERACTIONS["user"], "item": INTERACTIONS["item"], "split": pa.array([0, 1, 2, 0, 2], pa.int8())}
)
USERS, ITEMS = pa.array(["ann", "bob"]), pa.array(["A", "B", "C"])
# Four items are embedded, the last with metadata alone; the second has no picture.
PICTURES = Embeddings(
    np.array([[1, 0], [0, 0], [0, 3], [9, 9]], np.float32), np.array([True, False, True, True]), {"encoder": "ViT-B-32"}
)
TEXTS = Embeddings(np.eye(4, 5, dtype=np.float32), np.ones(4, bool), {"encoder": "MiniLM"})


def written(folder: Path, pictures: Embeddings = PICTURES, users: pa.Array = USERS) -> Path:
    write_mmrec(folder, "shop", INTERACTIONS, SPLITS, users, ITEMS, {IMAGE: pictures, TEXT: TEXTS})
    return folder


def test_files_are_those_of_mmrec(tmp_path: Path) -> None:
    written(tmp_path)
    assert (tmp_path / "shop.inter").read_text() == (
        "userID\titemID\trating\ttimestamp\tx_label\n"
        "0\t2\t5\t1328140800.000\t0\n"
        "0\t0\t4.5\t1628643414.042\t1\n"
        "0\t1\t1\t0.001\t2\n"
        "1\t0\t3\t0.000\t0\n"
        "1\t2\t2\t1658002729.837\t2\n"
    )
    assert (tmp_path / "u_id_mapping.csv").read_text() == "user_id\tuserID\nann\t0\nbob\t1\n"
    assert (tmp_path / "i_id_mapping.csv").read_text() == "asin\titemID\nA\t0\nB\t1\nC\t2\n"
    assert (tmp_path / "missed_img_itemIDs.csv").read_text() == "1\n"
    assert (tmp_path / "missed_txt_itemIDs.csv").read_text() == ""
    assert json.loads((tmp_path / "features.json").read_text())["image_feat.npy"] == {"encoder": "ViT-B-32"}


def test_the_config_names_files_and_columns_that_are_there(tmp_path: Path) -> None:
    written(tmp_path)
    config = yaml.safe_load((tmp_path / "shop.yaml").read_text())
    columns = pd.read_csv(tmp_path / config["inter_file_name"], sep=config["field_separator"]).columns
    assert {config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"]} < set(columns)
    for name in ("vision_feature_file", "text_feature_file"):
        assert np.load(tmp_path / config[name], allow_pickle=False).dtype == np.float32


def test_features_are_cut_to_the_core_and_the_mean_stands_where_there_is_none(tmp_path: Path) -> None:
    written(tmp_path)
    image = np.load(tmp_path / "image_feat.npy", allow_pickle=False)
    assert image.tolist() == [[1, 0], [0.5, 1.5], [0, 3]]
    assert np.load(tmp_path / "text_feat.npy", allow_pickle=False).tolist() == np.eye(3, 5).tolist()


def test_items_with_metadata_alone_are_not_exported() -> None:
    index = pa.table({"item": [0, 1, 2], "item_id": ["B", "C", "A"], "in_core": [True, True, False]})
    assert core_ids(index).to_pylist() == ["B", "C"]


def test_what_is_read_back_is_what_went_in(tmp_path: Path) -> None:
    written(tmp_path)
    parts = read_split(tmp_path)
    assert (parts.users, parts.items) == (2, 3)
    assert [pairs.tolist() for pairs in parts.pairs(TRAIN)] == [[0, 1], [2, 0]]
    assert [pairs.tolist() for pairs in parts.pairs(VALIDATION)] == [[0], [0]]
    assert [pairs.tolist() for pairs in parts.pairs(TEST)] == [[0, 1], [1, 2]]
    content = read_content(tmp_path, parts.items)
    assert content is not None
    for found, view in ((content.visual, PICTURES), (content.textual, TEXTS)):
        wanted = Modality.of(view.matrix[:3], view.has_value[:3])
        np.testing.assert_array_equal(found.features.numpy(), wanted.features.numpy())
        np.testing.assert_array_equal(found.present.numpy(), wanted.present.numpy())


def test_a_view_that_no_item_has_is_left_out(tmp_path: Path) -> None:
    nothing = Embeddings(np.zeros((4, 2), np.float32), np.zeros(4, bool), {})
    written(tmp_path, pictures=nothing)
    assert not (tmp_path / "image_feat.npy").exists()
    assert (tmp_path / "text_feat.npy").exists()


@pytest.mark.parametrize("hostile", ["bo\tb", "bo\nb", "bo\rb", '"bob', "NA", "null", "bo\x00b"])
def test_an_id_that_would_not_come_back_is_refused_and_not_told(tmp_path: Path, hostile: str) -> None:
    with pytest.raises(InputError, match="1 user_id of the raw file cannot be written") as caught:
        written(tmp_path, users=pa.array(["ann", hostile]))
    assert "bo" not in str(caught.value)
    assert not list(tmp_path.iterdir())
