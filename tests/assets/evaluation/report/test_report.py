"""What the report says in figures, and that nothing of a dump becomes part of the page."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from assets.evaluation.report.cards import thumbnail
from assets.evaluation.report.gate import Spread
from assets.evaluation.report.page import gate_facts
from assets.evaluation.report.plots import long_tail, share_histogram, spreads
from assets.evaluation.report.provenance import all_settings, find_changed_settings, package_versions
from storage.artifacts.manifest import Manifest, Recipe


def test_the_gate_is_counted_by_what_items_have() -> None:
    share = np.array([0.2, 0.4, 0.9, 1.0, 0.0, 0.0, np.nan])
    assert gate_facts(share) == {
        "items with both": "3",
        "with a picture alone": "1",
        "with a text alone": "2",
        "with neither": "1",
        "median share of the picture, of items with both": "0.40",
        "quartiles of it": "0.30 – 0.65",
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
    assert share_histogram(share).startswith('<svg role="img" aria-label="How far items lean')


def test_plots_take_their_colours_from_the_page() -> None:
    assert "fill: var(--plot-1, #2a78d6)" in share_histogram(np.array([0.1, 0.5]))


def test_a_long_tail_takes_hardly_more_room_than_a_short_one() -> None:
    short, long = (long_tail(np.array([1000, 100, 10, *[1] * ones])) for ones in (10, 100_000))
    assert len(long) < 2 * len(short)  # with a point an item it would be a hundred times as long


def test_names_in_a_plot_are_text_and_nothing_else() -> None:
    svg = spreads([Spread("<script>$x_{$</script>", 5, 0.1, 0.2, 0.3), Spread("a" * 40, 5, 0.1, 0.2, 0.3)])
    assert "<script" not in svg
    assert "&lt;script&gt;$x_{$&lt;/script&gt; (5)" in svg
    assert f"{'a' * 27}… (5)" in svg


def manifest(asset: str, **settings: object) -> Manifest:
    recipe = Recipe(code_version="1", settings=settings, inputs={})
    about = {"path": "", "bytes": 0, "sha256": "", "data_version": "", "numbering": {}, "facts": {}, "seconds": 0.0}
    return Manifest(asset=asset, dataset="d", recipe=recipe, **about)


def test_settings_that_are_not_at_their_default_are_told_with_the_assets_that_have_them() -> None:
    lineage = [
        manifest("splits", split="random", split_seed=0),
        manifest("lightgcn", batch_size=1024, layers=2),
        manifest("vbpr", batch_size=1024, searched="abc"),
        manifest("reviews"),
    ]
    found = [(one.name, one.value, one.default, one.assets) for one in find_changed_settings(lineage)]
    assert found == [
        ("batch_size", 1024, None, ["lightgcn", "vbpr"]),
        ("split", "random", "temporal", ["splits"]),
    ]
    assert list(all_settings(lineage)) == [
        ("splits", "split = random, split_seed = 0"),
        ("lightgcn", "batch_size = 1024, layers = 2"),
        ("vbpr", "batch_size = 1024, searched = abc"),
    ]


def test_versions_are_those_that_are_installed() -> None:
    import torch

    found = dict(package_versions())
    assert torch.__version__.startswith(found["torch"].split("+")[0])
    assert set(found) >= {"Python", "dagster", "open_clip_torch", "sentence-transformers"}
    assert "not installed" not in found.values()


def test_what_shows_through_is_white_and_a_picture_stands_upright() -> None:
    content = BytesIO()
    Image.new("RGBA", (40, 20), (0, 0, 0, 0)).save(content, "PNG")
    assert decoded(thumbnail(content.getvalue())).getpixel((5, 5)) == (255, 255, 255)
    content, turned = BytesIO(), Image.Exif()
    turned[0x0112] = 6  # lies on its side
    Image.new("RGB", (40, 20), "red").save(content, "JPEG", exif=turned)
    assert decoded(thumbnail(content.getvalue())).size == (20, 40)


def decoded(uri: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))
