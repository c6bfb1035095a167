"""Which pictures the asset item_images asks for, and where it may ask."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.core.asset_context import AssetContext
from assets.core.settings import PictureSettings
from assets.features.item_pictures import (
    WANTED_ROWS,
    is_local,
    likely_placeholders,
    picture_folder,
    pictures_by_item,
    places_of,
    select_pictures,
)
from storage.artifacts.data_root import DataRoot
from storage.catalogue import Dataset
from storage.images.fetch import Wanted


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def test_the_items_of_the_index_come_in_its_order_with_their_pictures() -> None:
    items = table(item_id=["C", "A", "B"], image_urls=[[["c"]], [["a1", "a2"], ["b"]], []])
    index = table(item_id=["A", "B", "unknown", "C"])
    assert list(select_pictures(places_of(items, index))) == [
        Wanted("A", [["a1", "a2"], ["b"]]),
        Wanted("B", []),
        Wanted("unknown", None),
        Wanted("C", [["c"]]),
    ]


def test_no_item_is_lost_between_blocks_and_chunks() -> None:
    ids = [f"I{number}" for number in range(2 * WANTED_ROWS + 3)]
    half = len(ids) // 2
    parts = [table(item_id=part, image_urls=[[[name]] for name in part]) for part in (ids[half:], ids[:half])]
    found = list(select_pictures(places_of(pa.concat_tables(parts), table(item_id=ids))))
    assert found == [Wanted(item_id, [[item_id]]) for item_id in ids]


@pytest.mark.parametrize(
    ("metadata", "local"),
    [
        ("sample:", True),
        ("/data/meta.jsonl.gz", True),
        ("https://a.example/meta.gz", False),
        ("HTTP://a/b", False),
    ],
)
def test_a_dataset_is_local_unless_its_metadata_come_from_the_web(tmp_path: Path, metadata: str, local: bool) -> None:
    dataset = Dataset(name="mine", format="amazon2023", reviews="sample:", metadata=metadata)
    context = AssetContext("item_images", dataset, DataRoot(tmp_path), "run")
    assert is_local(context) == local
    if not local:
        assert picture_folder(context) is None
        with_folder = AssetContext(
            "item_images", dataset.model_copy(update={"images": "/pictures"}), DataRoot(tmp_path), "run"
        )
        assert picture_folder(with_folder) == Path("/pictures")


@pytest.mark.parametrize(
    "wrong",
    [{"picture_retries": -1}, {"pictures_per_item": 0}, {"picture_max_pixels": 10**9}, {"picture_max_bytes": 2**31}],
)
def test_settings_stay_within_what_the_fetcher_can_hold(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PictureSettings.model_validate(wrong)


def test_an_items_pictures_stand_in_their_order() -> None:
    index = pa.table({"item_id": ["B", "A", "C"]})
    pictures = pa.table(
        {
            "item_id": ["A", "C", "A", "B", "A"],
            "position": pa.array([1, 0, 0, 0, 2], pa.int32()),
            "status": ["ok", "http_404", "ok", "ok", "ok"],
            "sha256": ["a1", None, "a0", "b0", "a2"],
        }
    )
    assert pictures_by_item(index, pictures).to_pylist() == [["b0"], ["a0", "a1", "a2"], []]


def test_a_picture_that_is_the_first_of_many_items_likely_stands_for_none() -> None:
    rows = [(f"B{n}", 0, "ok", "none" if n < 12 else f"own{n}", f"https://a.test/{n}.gif") for n in range(100)]
    rows += [(f"B{n}", 1, "ok", "second", "https://a.test/second") for n in range(50)]
    rows += [(f"C{n}", 0, "http_404", None, "https://a.test/gone") for n in range(50)]
    columns = zip(*rows, strict=True)
    names = ("item_id", "position", "status", "sha256", "url")
    images = table(**{name: list(column) for name, column in zip(names, columns, strict=True)})
    assert likely_placeholders(images, 0.05) == {"none": {"items": 12, "url": "https://a.test/0.gif"}}
    assert likely_placeholders(images, 0.08) == {}  # 12 of 150 items
    assert likely_placeholders(images.slice(0, 9), 0.05) == {}  # few may be variants of one product
