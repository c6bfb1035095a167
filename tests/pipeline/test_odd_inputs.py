"""What real files do to a run: nothing is lost without a word, and what stops a run says why and what to do."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.runs.failure_reason import reason_of
from storage.raw.rejects import RejectCounts, rejects_path
from tests.pipeline.in_process import Pipeline, failures

USERS, ITEMS = 12, 10


def review(user: int, item: int, **other: Any) -> dict[str, Any]:
    return {
        "rating": 5.0,
        "user_id": f"AU{user:03}",
        "parent_asin": f"B{item:03}",
        "timestamp": 1_500_000_000_000 + 1000 * user + item,
        **other,
    }


def reviews() -> list[dict[str, Any]]:
    """Every user has every item, so that all of them are in the core."""
    return [review(user, item) for user in range(USERS) for item in range(ITEMS)]


def metadata(prefix: str = "B", **other: Any) -> list[dict[str, Any]]:
    return [{"parent_asin": f"{prefix}{item:03}", "title": f"Thing {item}", **other} for item in range(ITEMS)]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Shop":
    return Shop(tmp_path, monkeypatch)


class Shop:
    """The dataset `sample`, made of files that are written here."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        self.reviews, self.metadata = folder / "r.jsonl", folder / "m.jsonl"

    def write(self, reviews: list[dict[str, Any]], metadata: list[dict[str, Any]]) -> None:
        for path, records in ((self.reviews, reviews), (self.metadata, metadata)):
            path.write_text("".join(json.dumps(record) + "\n" for record in records))

    def pipeline(self, **settings: Any) -> Pipeline:
        entry = {"format": "amazon2023", "reviews": "r.jsonl", "metadata": "m.jsonl", "settings": settings}
        catalogue = self.folder / "datasets.yaml"
        catalogue.write_text(yaml.safe_dump({"datasets": {"sample": entry}}))
        self.monkeypatch.setenv("REC_DATASETS", str(catalogue))
        return Pipeline(self.folder / "data")


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def test_where_no_record_can_be_used_the_reasons_are_said_and_the_rejects_are_kept(shop: Shop) -> None:
    shop.write([{**review(1, 1), "parent_asin": None}] * 3, metadata())
    pipeline = shop.pipeline()
    result = pipeline.run("sample", "+key:reviews")
    assert failures(result)["reviews"] == (
        "Dataset sample: the file of 'reviews', r.jsonl, holds not one review in the format amazon2023; 3 of 3 "
        'records: no parent_asin, the first in line 1 ({"rating": 5.0, "user_id": "AU001", "parent_asin": null, "t…); '
        "the rejected records are in data/reviews/sample.rejects.parquet."
    )
    assert reason_of(pipeline.instance, result.run_id, quoting=False) == (  # as an alert says it
        "Dataset sample: the file of 'reviews', r.jsonl, holds not one review in the format amazon2023; 3 of 3 "
        "records: no parent_asin, the first in line 1; the rejected records are in data/reviews/sample.rejects.parquet."
    )
    kept = pq.read_table(rejects_path(pipeline.root, "reviews", "sample"))
    assert kept.select(["line", "reason"]).to_pylist() == [{"line": n, "reason": "no parent_asin"} for n in (1, 2, 3)]
    assert pipeline.root.find_manifest("reviews", "sample") is None


def test_a_table_keeps_the_rejects_that_belong_to_it_when_the_next_dump_cannot_be_used(shop: Shop) -> None:
    shop.write([*reviews(), {"user_id": "AU1"}], metadata())
    pipeline = shop.pipeline()
    assert pipeline.run("sample", "+key:reviews").success
    shop.write([{"user_id": "AU1"}] * 3, metadata())
    result = pipeline.run("sample", "+key:reviews")
    assert failures(result)["reviews"].endswith("records are in data/reviews/sample.unusable.rejects.parquet.")
    assert RejectCounts(rejects_path(pipeline.root, "reviews", "sample")).by_reason == {"no parent_asin": 1}


def test_too_many_rejects_are_said_with_their_reason_their_file_and_what_to_do(shop: Shop) -> None:
    bad = [{key: value for key, value in review(1, 1).items() if key != "parent_asin"}] * 24
    shop.write(reviews() + bad, metadata())
    pipeline = shop.pipeline()
    result = pipeline.run("sample", "+key:reviews +")
    assert reason_of(pipeline.instance, result.run_id) == (
        "Dataset sample: reviews has failed its check reviews_usable: 24 of 144 records could not be used: 24 no "
        "parent_asin; see data/reviews/sample.rejects.parquet, and mend the file, or set max_reject_rate; nothing is "
        "built on it: run it again when data or settings are mended."
    )


def test_a_table_to_go_back_to_is_named_where_there_is_one(shop: Shop) -> None:
    shop.write(reviews(), metadata())
    pipeline = shop.pipeline()
    assert pipeline.run("sample", "+key:reviews").success
    shop.write(reviews() + [{"user_id": 1}] * 24, metadata())
    result = pipeline.run("sample", "+key:reviews")
    said = reason_of(pipeline.instance, result.run_id)
    assert said is not None
    assert said.endswith("or `make restore DATASET=sample` takes the table before.")


def test_pictures_as_a_dict_of_lists_are_read_and_what_is_not_read_is_counted_and_warned_of(shop: Shop) -> None:
    columns = {"hi_res": [None], "large": ["pics/1.jpg"], "thumb": ["pics/1.t.jpg"], "variant": ["MAIN"]}
    described = metadata(images=columns)
    described[3]["images"] = {"main": {"url": "pics/3.jpg"}}
    shop.write(reviews(), described)
    pipeline = shop.pipeline()
    result = pipeline.run("sample", "+key:items")
    assert result.success
    places = pq.read_table(pipeline.root.path("items", "sample", ".parquet"))["image_urls"].to_pylist()
    assert places == [[["pics/1.jpg", "pics/1.t.jpg"]]] * 3 + [[]] + [[["pics/1.jpg", "pics/1.t.jpg"]]] * 6
    assert pipeline.metadata("items", "sample")["values_not_read"] == {"images: another shape": 1}
    check = checks(result)["items_read"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == (
        "values are there and were not read (1 images: another shape, of 10 items); the first of each lie in "
        "data/items/sample.rejects.parquet; mend the metadata file, or raise max_not_read_rate where they are of no use"
    )
    kept = pq.read_table(rejects_path(pipeline.root, "items", "sample")).to_pylist()
    assert kept == [{"line": 4, "reason": "images: another shape (not read)", "raw": '{"main": {"url": "pics/3.jpg"}}'}]


def test_metadata_of_other_items_stop_the_run(shop: Shop) -> None:
    shop.write(reviews(), metadata("C"))
    pipeline = shop.pipeline()
    result = pipeline.run("sample", "+key:splits")
    assert not result.success
    assert reason_of(pipeline.instance, result.run_id) == (
        "Dataset sample: item_index has failed its check core_described: 0 of 10 items of the core are in the "
        "metadata; the reviews have B000 for instance, the metadata C000; see whether both files are of the same "
        "category, and count products by the same id; nothing is built on it: run it again when data or settings are "
        "mended."
    )


def test_metadata_of_the_same_items_in_other_letters_say_so(shop: Shop) -> None:
    shop.write(reviews(), [{**row, "parent_asin": f" {row['parent_asin'].lower()}"} for row in metadata()])
    pipeline = shop.pipeline()
    result = pipeline.run("sample", "+key:splits")
    said = reason_of(pipeline.instance, result.run_id)
    assert said is not None
    assert "10 more are there in other letter case, or with blanks around the id" in said


def test_metadata_of_some_items_warn_and_each_other_item_says_that_it_has_none(shop: Shop) -> None:
    shop.write(reviews(), metadata()[:8])
    pipeline = shop.pipeline()
    result = pipeline.run("sample", "+key:item_images or +key:splits")
    assert result.success, failures(result)
    check = checks(result)["core_described"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description is not None
    assert check.description.startswith("8 of 10 items of the core are in the metadata; the reviews have B008 ")
    table = pq.read_table(pipeline.root.path("item_images", "sample", ".parquet"))
    assert table["status"].to_pylist() == ["missing"] * 8 + ["no_metadata"] * 2
