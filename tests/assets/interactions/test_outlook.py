"""What is said before a run is paid for, on tables and rates written here."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from assets.interactions import outlook
from assets.interactions.outlook import (
    FIT,
    IMAGE,
    PICTURE,
    TEXT,
    TRIAL,
    estimate_seconds,
    in_words,
    rates_here,
    shares,
)
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.schemas import SCHEMAS


def test_shares_are_of_interactions_not_of_items() -> None:
    interactions = pa.table({"item_id": ["a", "a", "a", "b", "c", "d"]})
    rows = [
        {"item_id": "a", "image_urls": [["u"]], "text": "t"}, {"item_id": "b", "image_urls": [], "text": "t"},
        {"item_id": "c", "image_urls": [["u"]], "text": ""},
    ]  # fmt: skip
    items = pa.Table.from_pylist(rows, schema=SCHEMAS["items"])
    assert shares(interactions, items) == pytest.approx(
        {"orders_described": 5 / 6, "orders_with_picture": 4 / 6, "orders_with_text": 4 / 6}
    )


def made(root: DataRoot, asset: str, dataset: str, seconds: float, **facts: object) -> None:
    root.write_manifest(
        Manifest(
            asset=asset, dataset=dataset, path=f"{asset}/{dataset}.parquet", bytes=0, sha256="", data_version="1",
            recipe=Recipe(code_version="1", settings={}, inputs={}), numbering={}, facts=facts, seconds=seconds,
        )
    )  # fmt: skip


def test_rates_are_the_medians_of_what_was_measured_here(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    for dataset, seconds in (("a", 10.0), ("b", 20.0), ("c", 90.0)):
        made(root, "image_embeddings", dataset, seconds, encoded=200)
    made(root, "text_embeddings", "a", 5.0, encoded=3)  # of so few a rate says nothing
    searched = {"found": {"interactions": 1000}, "trial_seconds": {"bpr": [2.0, 6.0], "softmax": [7.0]}}
    made(root, "lightgcn", "a", 1.0, train_rows=1000, train_s={"bpr-0": 2.0, "bpr-1": 4.0}, **searched)
    made(root, "lightgcn", "b", 1.0, found={"interactions": 1000}, trial_seconds={})  # nothing was searched
    (tmp_path / "item_images").mkdir()
    (tmp_path / "item_images" / "a.manifest.json").write_text("broken")
    assert rates_here(root) == pytest.approx({IMAGE: 0.1, TRIAL: 0.005, FIT: 0.003})


def test_seconds_come_from_rates_here_and_trainings_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    work = {PICTURE: 227, IMAGE: 100, TEXT: 154, TRIAL: 1e6, FIT: 1000}
    found = estimate_seconds(work, {IMAGE: 0.1, FIT: 0.003})
    assert found == pytest.approx({PICTURE: 1, IMAGE: 10, TEXT: 1, TRIAL: 40, FIT: 1.5})


@pytest.mark.parametrize(
    ("here", "by"),
    [
        ({}, "by rates of another machine, for none were measured here yet"),
        ({IMAGE: 0.1, TEXT: 1}, "by rates measured below this data root"),
        ({IMAGE: 0.1}, "by rates measured below this data root; for encoding texts by those of another machine"),
    ],
)
def test_the_sentence_says_whose_rates_they_are(here: dict[str, float], by: str) -> None:
    found = {"orders_described": 0.995, "orders_with_picture": 0.5, "orders_with_text": 1.0}
    said = in_words(found, {IMAGE: 100, TEXT: 7200}, here, 1234)
    assert said == (
        "99.5% of the 1,234 interactions are of items that the metadata know, 50.0% of items that name a picture, "
        "100.0% of items that have a text; what follows takes about 2.0 h (encoding pictures 2 min, encoding texts "
        f"2.0 h), {by}; what is there already costs nothing"
    )
    assert outlook.LEAST == 100
