"""Folders in the form of the MMRec toolbox, how they are judged, and what is shipped for them."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from assets.interactions.splits import TEST, TRAIN, VALIDATION
from assets.training.held_out import HeldOut
from benchmarks.mmrec import read_content, read_split
from benchmarks.published_split import PublishedSplit
from benchmarks.tuned import settings_of
from models.config import LOSSES, Loss
from models.model_spec import LEARNED
from models.ranking.ranking import Vectors

ROWS = "userID\titemID\tx_label\n0\t1\t0\n1\t0\t0\n0\t2\t1\n0\t0\t2\n1\t3\t2\n2\t3\t2\n"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_split_is_read_as_it_is_given(tmp_path: Path, zipped: bool) -> None:
    if zipped:
        (tmp_path / "shop.inter.gz").write_bytes(gzip.compress(ROWS.encode()))
    else:
        (tmp_path / "shop.inter").write_text(ROWS)
    parts = read_split(tmp_path)
    assert (parts.users, parts.items) == (3, 4)
    assert [pairs.tolist() for pairs in parts.pairs(TRAIN)] == [[0, 1], [1, 0]]
    assert [pairs.tolist() for pairs in parts.pairs(VALIDATION)] == [[0], [2]]
    assert [pairs.tolist() for pairs in parts.pairs(TEST)] == [[0, 1, 2], [0, 3, 3]]


def test_a_folder_without_a_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="0 files"):
        read_split(tmp_path)


def test_train_items_alone_are_masked_and_users_without_any_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "shop.inter").write_text(ROWS)
    # Everybody likes the items in the order 1, 2, 0, 3. User 0 has 1 in train: left are 2, which is validation's and
    # not masked, then 0 and 3. User 1 has 0 in train: left are 1, 2, 3. User 2 has nothing in train.
    everybody = Vectors(np.ones((3, 1), np.float32), np.array([[2.0], [4.0], [3.0], [1.0]], np.float32))
    found = HeldOut.of(read_split(tmp_path), TEST).metrics(everybody, (2, 3))
    assert found["recall", 2].tolist() == [1, 0]
    assert found["recall", 3].tolist() == [1, 1]
    assert found["ndcg", 3].tolist() == pytest.approx([1 / np.log2(3), 1 / np.log2(4)])


def test_features_are_read_in_single_precision_and_zeros_are_missing(tmp_path: Path) -> None:
    assert read_content(tmp_path, 3) is None
    image = np.array([[1, 0], [0, 0], [0, 2], [9, 9]], np.float16)  # one row more than there are items
    np.save(tmp_path / "image_feat.npy", image)
    with pytest.raises(SystemExit, match="0 files for the text side"):
        read_content(tmp_path, 3)
    np.save(tmp_path / "audio_feat.npy", np.ones((3, 5), np.float16))
    content = read_content(tmp_path, 3)
    assert content is not None
    assert content.visual.features.dtype == content.textual.features.dtype
    assert content.visual.present[:, 0].tolist() == [1, 0, 1]
    assert content.textual.features.shape == (3, 5)
    assert content.nearest_visual is not None
    assert content.nearest_visual[:, 0].tolist() == [2, -1, 0]
    np.save(tmp_path / "image_feat.npy", image[:2])
    with pytest.raises(SystemExit, match="has 2 rows for 3 items"):
        read_content(tmp_path, 3)


def test_what_the_folder_lists_as_missing_is_missing_though_its_row_is_filled(tmp_path: Path) -> None:
    np.save(tmp_path / "image_feat.npy", np.array([[1, 0], [0, 1], [0.5, 0.5]], np.float32))
    np.save(tmp_path / "text_feat.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "missed_img_itemIDs.csv").write_text("2\n")
    content = read_content(tmp_path, 3)
    assert content is not None
    assert content.visual.present[:, 0].tolist() == [1, 1, 0]
    assert content.textual.present[:, 0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("model", LEARNED)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_model_has_settings_under_every_loss_on_every_split(model: str, loss: Loss) -> None:
    for split in ("baby", "sports", "tiktok", "my_shop"):
        recommender, training = settings_of(split, model, loss, seed=2)
        assert (training.loss, training.seed) == (loss, 2)
        assert all(getattr(recommender, name) == value for name, value in LEARNED[model].fixed.items())


def test_a_lab_fits_each_model_once_and_judges_it_on_test(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(u, i, rng.integers(0, 3)) for u in range(30) for i in range(u % 2, 20, 2)]
    lines = "".join(f"{u}\t{i}\t{x}\n" for u, i, x in rows)
    (tmp_path / "camps.inter").write_text("userID\titemID\tx_label\n" + lines)
    benchmark = PublishedSplit(tmp_path)
    assert benchmark.losses("lightgcn", "both") == LOSSES
    assert (benchmark.losses("ease", "both"), benchmark.losses("blend", "bpr")) == (("none",), ("softmax",))
    blend = benchmark.evaluate("blend", "softmax", 0)
    assert set(benchmark.fitted) == {("blend", "softmax", 0), ("ease", "none", 0), ("lightgcn", "softmax", 0)}
    # Every user has the items of one camp: ten, of which those not in train come first in any ranking that found it.
    assert blend.by_user["recall", 10].mean() > 0.95
    assert benchmark.fit("ease", "none", 0) is benchmark.fit("ease", "none", 0)
