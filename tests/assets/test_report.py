"""What the report says in figures."""

from io import BytesIO

import numpy as np
from PIL import Image

from assets.evaluation.plots import share_histogram
from assets.evaluation.report import gate_facts, thumbnail


def test_the_gate_is_counted_by_what_items_have() -> None:
    share = np.array([0.2, 0.4, 0.9, 1.0, 0.0, 0.0, np.nan])
    assert gate_facts(share) == {
        "items with both": "3",
        "with a picture alone": "1",
        "with a text alone": "2",
        "with neither": "1",
        "median share of the picture, of items with both": "0.40",
    }
    assert gate_facts(np.array([np.nan]))["median share of the picture, of items with both"] == "–"


def test_thumbnails_are_small_whatever_they_come_from() -> None:
    content = BytesIO()
    Image.new("CMYK", (2000, 500)).save(content, "TIFF")
    found = thumbnail(content.getvalue())
    assert found.startswith("data:image/jpeg;base64,")
    assert len(found) < 5_000


def test_plots_are_the_same_for_the_same_values() -> None:
    share = np.array([0.1, 0.5, np.nan])
    assert share_histogram(share) == share_histogram(share)
    assert share_histogram(share).startswith("<svg")
