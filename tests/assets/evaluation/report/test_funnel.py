"""The dataset in numbers."""

import numpy as np
import pandas as pd
import pytest

from assets.evaluation.report.funnel import (
    Step,
    counted_rows,
    funnel,
    items_with_half,
    missing_pictures,
    modality_rows,
    share_of_top,
)
from storage.artifacts.manifest import Manifest, Recipe


def manifest(asset: str, facts: dict[str, object], **settings: object) -> Manifest:
    recipe = Recipe(code_version="1", settings=settings, inputs={})
    about = {"path": "", "bytes": 0, "sha256": "", "data_version": "", "numbering": {}, "seconds": 0.0}
    return Manifest(asset=asset, dataset="d", recipe=recipe, facts=facts, **about)


REVIEWS = manifest("reviews", {"rejected_rows": 7, "duplicate_rows": 0, "rejected_by_reason": {"a": 2, "b": 5}})
LEFT = {"reviews": 93, "after_rating_filter": 80, "after_deduplication": 75, "in_core": 60, "sparsity": 0.9}
SPLITS = manifest("splits", {"train": 48, "validation": 5, "test": 7})


def test_every_step_from_the_dump_to_the_graph_says_what_it_left() -> None:
    core = manifest("interactions", LEFT, min_rating=None, user_core=5, item_core=3)
    assert funnel(REVIEWS, core, SPLITS) == [
        Step("records in the dump", 100),
        Step("valid reviews", 93, "7 rejected"),
        Step("duplicates removed", 75, "the earliest is kept"),
        Step("in the core", 60, "at least 5 a user and 3 an item"),
        Step("train: edges of the graph", 48, "held out: 5 for validation, 7 for the test"),
    ]


def test_the_rating_filter_is_a_step_where_it_is_on() -> None:
    core = manifest("interactions", LEFT, min_rating=4.0, user_core=5, item_core=5)
    assert funnel(REVIEWS, core, SPLITS)[2] == Step("rated well enough", 80, "at least 4.0")


def test_reasons_come_with_the_most_frequent_first() -> None:
    assert list(counted_rows([SPLITS, REVIEWS], "rejected_by_reason")) == [("reviews", "b", 5), ("reviews", "a", 2)]


def test_the_long_tail_in_two_numbers() -> None:
    popularity = np.array([1, 30, 1, 1, 10, 1, 1, 1, 1, 13])  # 60 in all
    assert share_of_top(popularity, 0.1) == 0.5
    assert share_of_top(popularity, 0.2) == pytest.approx(43 / 60)
    assert share_of_top(popularity[:4], 0.1) == pytest.approx(30 / 33)  # of at least one item
    assert items_with_half(popularity) == 1
    assert items_with_half(np.array([5, 5, 5, 5])) == 2
    assert items_with_half(np.array([4, 3, 3])) == 2


def test_items_are_counted_by_the_views_they_have_and_by_what_that_is_of_train() -> None:
    items = pd.DataFrame({"has_picture": [True, True, False, False], "has_text": [True, False, True, True]})
    assert modality_rows(items, np.array([10, 20, 30, 40])) == [
        ("picture and text", 1, 0.25, 0.1),
        ("picture alone", 1, 0.25, 0.2),
        ("text alone", 2, 0.5, 0.7),
        ("neither", 0, 0.0, 0.0),
    ]


def test_reasons_for_a_missing_picture_are_counted() -> None:
    items = pd.DataFrame({"status": ["ok", "missing", "http_404", "missing", "ok"]})
    assert missing_pictures(items) == [("missing", 2), ("http_404", 1)]
