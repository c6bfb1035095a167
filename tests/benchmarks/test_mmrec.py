"""Splits in the form of the MMRec toolbox, and how they are judged."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from assets.interactions.splits import TEST, TRAIN, VALIDATION
from benchmarks.mmrec import judge_of, read_split
from benchmarks.tuned import LOSSES, MODELS, tuned

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
    users, items = np.ones((3, 1), np.float32), np.array([[2.0], [4.0], [3.0], [1.0]], np.float32)
    found = judge_of(read_split(tmp_path), TEST, "dot", (2, 3))(users, items)
    assert found["recall", 2] == pytest.approx((1 + 0) / 2)
    assert found["recall", 3] == pytest.approx(1)
    assert found["ndcg", 3] == pytest.approx((1 / np.log2(3) + 1 / np.log2(4)) / 2)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_model_has_settings_under_every_loss_on_every_split(model: str, loss) -> None:
    for split in ("baby", "sports", "tiktok", "my_shop"):
        settings = tuned(split, model, loss, seed=2)
        assert (settings.trainer.loss, settings.trainer.seed) == (loss, 2)
        assert settings.recommender.layers == MODELS[model]["layers"]
