"""The whole page, made from little."""

from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa

from assets.evaluation.report.page import render
from assets.evaluation.report.tables import HEADLINE
from assets.evaluation.report.user_examples import rests_on
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.saved_models import SavedModel
from storage.schemas import SCHEMAS
from tests.assets.shop import Shelf, findings, frame

EVIL = "<script>alert('é')</script>"


class Tags(HTMLParser):
    """Counts the tags of a page, and keeps its ids and what its links point to."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if tag == "a" and name == "href" and value:
                self.links.add(value)


def manifest(asset: str, settings: dict[str, object], facts: dict[str, object]) -> Manifest:
    recipe = Recipe(code_version="1", settings=settings, inputs={})
    about = {"path": "", "bytes": 7, "sha256": "abcdef0123456789", "data_version": "v", "numbering": {}, "seconds": 0.0}
    return Manifest(asset=asset, dataset="shop", recipe=recipe, facts=facts, **about)


LINEAGE = [
    manifest("reviews", {}, {"rejected_rows": 1, "duplicate_rows": 0, "rejected_by_reason": {EVIL: 1}}),
    manifest(
        "interactions",
        {"min_rating": None, "user_core": 1, "item_core": 1},
        {"reviews": 12, "after_rating_filter": 12, "after_deduplication": 11, "in_core": 11},
    ),
    manifest("items", {}, {"values_not_read": {"price: a range of prices": 2, f"images: {EVIL}": 3}}),
    manifest("item_index", {}, {"core_items": 3, "other_items": 0, "without_metadata": 1}),
    manifest("splits", {}, {"train": 7, "validation": 1, "test": 3, "users_without_train_items": 0}),
    manifest("image_embeddings", {}, {"with_value": 1}),
    manifest("text_embeddings", {}, {"with_value": 0}),
]


def page(**other: Any) -> str:
    row = {"block": "open", "model": "lightgcn", "loss": "bpr", "score": "dot", "stratum": "all", "seed": 0,
           "trials": 0, "n_users": 3, "tune_s": 0.0, "train_s": 1.0, "eval_s": 0.5, "status": "ok",
           "split_rule": "random", "value": 0.2, "ci_low": 0.1, "ci_high": 0.3}  # fmt: skip
    rows = [row | {"metric": metric, "k": k} for metric, k in HEADLINE]
    curve = {"model": "lightgcn", "loss": "bpr", "loss_curve": [0.7, 0.6], "validation_curve": [(1, 0.1), (2, 0.2)],
             "best_epoch": 2, "validation_ndcg@20": 0.2}  # fmt: skip
    about = {
        "leaderboard": pa.Table.from_pylist(rows, schema=SCHEMAS["leaderboard"]).to_pandas(),
        "tuning": SCHEMAS["tuning"].empty_table().to_pandas(),
        "curves": {"lightgcn (bpr)": SavedModel({}, curve)},
        "encoders": {"image_embeddings": {"encoder": "tiny", "weights": "untrained", "dimension": "4"}},
        "lineage": LINEAGE,
    }
    return render(replace(findings(), **about | other), Shelf(), users=2)


plain_page = cache(page)  # drawn once for all who only read it


def test_nothing_of_a_dump_becomes_markup() -> None:
    found = page(items=frame(title=EVIL))
    assert "script" not in Tags(found).open
    assert found.count("&lt;script&gt;alert(&#39;é&#39;)&lt;/script&gt;") >= 2  # the title, and the reason of a reject


def test_users_are_numbers() -> None:
    found = plain_page()
    assert "User 0" in found
    assert "User 3" in found
    assert "buyer-" not in found


def test_what_is_wrong_with_the_content_stands_at_the_top() -> None:
    found = plain_page()
    assert found.index("Untrained weights.") < found.index("Nothing to embed.") < found.index("From the dump")
    assert "No item has a text that was encoded, so the models that read content saw pictures alone." in found
    assert "1 of 3 items of the core are in no metadata, so these have neither text nor picture." in found
    assert "Made 2026-01-02 00:00 UTC" in found


def test_the_contents_lead_to_what_is_there() -> None:
    tags = Tags(plain_page())
    assert len(tags.links) >= 8
    assert all(link.startswith("#") and link[1:] in tags.ids for link in tags.links)


def test_hits_are_marked_and_counted() -> None:
    found = plain_page()
    assert "1 of 3 in test" in found  # by ease for user 0: items 3, 4, 5, of which 3 is in test
    assert found.count("✓ in test") == 4  # one of each of the two users, by ease and by lightgcn
    assert found.count("fitted to all interactions</small>") == 2  # what is sent can hit nothing


def test_where_the_gate_has_nothing_to_weigh_the_page_says_so() -> None:
    found = plain_page()
    assert "No category is shared by ten items" in found
    assert "There are no pictures to compare" in found


def test_a_leaderboard_row_has_its_interval() -> None:
    found = plain_page()
    assert "0.2000<small>0.1000–0.3000</small>" in found


def test_a_recommendation_says_what_it_rests_on() -> None:
    found = plain_page()
    # User 0 has the items 0, 1 and 2, worth 6, 5 and 4 by gated_lightgcn_plus; only item 2 has a title.
    assert "because of I0 and I1; mostly who bought what (75%)" in found
    assert "because of Second" in found  # by lightgcn item 2 is worth most of these


def test_the_largest_part_is_named_and_a_share_only_where_it_is_one() -> None:
    assert rests_on(["A", "B"], 3.0, 1.0, 4.0) == "because of A and B; mostly pictures (75%)"
    assert rests_on([], 0.0, 2.0, 2.5) == "mostly texts (80%)"
    assert rests_on([], -1.0, 3.0, 2.0) == "mostly texts"
    assert rests_on(["A"], 0.0, 0.0, 3.0) == "because of A"
    assert rests_on(["A"], -3.0, -2.0, -6.0) == "because of A; mostly who bought what"


def test_where_items_cannot_be_held_out_the_page_says_so() -> None:
    found = page(new_items=SCHEMAS["new_item_recall"].empty_table().to_pandas())
    assert "too small to hold items out" in found
    assert "placed by" not in found


def test_of_a_path_among_the_settings_the_last_part_is_told() -> None:
    path = manifest("text_embeddings", {"text_encoder": "/home/somebody/weights/mini"}, {"with_value": 0})
    found = page(lineage=[*LINEAGE[:-1], path])
    assert "text_encoder = mini" in found
    assert "somebody" not in found


def test_new_items_have_a_row_a_method() -> None:
    assert "0.2500<small>0.1250–0.5000</small>" in plain_page()
