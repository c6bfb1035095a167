"""The project's own dataset: what is planted is there."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.raw.sample import BROKEN_REVIEWS, SampleSize, planted_items, write_sample

SIZE = SampleSize(users=700, items=320, seed=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, "reviews", SIZE)
    write_sample(folder, "metadata", SIZE)
    return folder


def sound(path: Path) -> list[dict]:
    lines = []
    for line in gzip.decompress(path.read_bytes()).splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "parent_asin" in record:
            lines.append(record)
    return lines


def test_the_same_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for kind in ("reviews", "metadata"):
        again = write_sample(tmp_path, kind, SIZE)
        assert again.read_bytes() == (folder / again.name).read_bytes()
    assert (tmp_path / "images/SAMPLE-I0000.jpg").read_bytes() == (folder / "images/SAMPLE-I0000.jpg").read_bytes()


def test_it_is_as_large_as_it_says_and_has_malformed_lines(folder: Path) -> None:
    reviews = gzip.decompress((folder / "reviews.jsonl.gz").read_bytes()).splitlines()
    assert all(broken in reviews for broken in BROKEN_REVIEWS)
    users = {record.get("user_id") for record in sound(folder / "reviews.jsonl.gz")}
    items = {record["parent_asin"] for record in sound(folder / "metadata.jsonl.gz")}
    assert len({user for user in users if user and user.startswith("SAMPLE-U")}) == 700
    assert len(items) == 320 + 12


def test_some_items_lack_a_picture_and_some_their_text_but_never_what_tells_their_group(folder: Path) -> None:
    described = {record["parent_asin"]: record for record in sound(folder / "metadata.jsonl.gz")}
    items = planted_items(SIZE)
    for item in items:
        record = described[item.item_id]
        assert bool(record["images"]) == item.has_picture == (folder / f"images/{item.item_id}.jpg").exists()
        assert bool(record["title"]) == bool(record["description"]) == bool(record["categories"]) == item.has_text
        assert item.has_picture if item.kind == "visual" else item.has_text
    assert 5 < sum(not item.has_picture for item in items) < 60
    assert 5 < sum(not item.has_text for item in items) < 60


def test_a_category_tells_the_group_where_the_text_does_and_nothing_elsewhere(folder: Path) -> None:
    described = {record["parent_asin"]: record for record in sound(folder / "metadata.jsonl.gz")}
    groups: dict[tuple, set] = {}
    for item in planted_items(SIZE):
        if item.has_text:
            groups.setdefault((item.kind, item.group), set()).add(tuple(described[item.item_id]["categories"]))
    assert all(len(found) == 1 for found in groups.values())
    assert len(set.union(*(found for (kind, _), found in groups.items() if kind == "textual"))) == 8
    assert set.union(*(found for (kind, _), found in groups.items() if kind == "visual")) == {("Sample", "Articles")}


def test_placeholders_are_grey_and_motifs_are_not(folder: Path) -> None:
    for item in planted_items(SIZE)[:64]:
        if not item.has_picture:
            continue
        with Image.open(folder / f"images/{item.item_id}.jpg") as image:
            pixels = np.asarray(image.convert("HSV"), dtype=float)
        colourful = (pixels[..., 1] > 60).mean()
        assert colourful < 0.01 if item.kind == "textual" else (colourful > 0.05 or item.group == 6)


def test_users_spend_most_of_their_reviews_on_four_groups(folder: Path) -> None:
    group_of = {item.item_id: (item.kind, item.group) for item in planted_items(SIZE)}
    by_user: dict[str, list] = {}
    for record in sound(folder / "reviews.jsonl.gz"):
        if record.get("user_id", "").startswith("SAMPLE-U"):
            by_user.setdefault(record["user_id"], []).append(group_of[record["parent_asin"]])
    shares = []
    for groups in by_user.values():
        counts = sorted((groups.count(group) for group in set(groups)), reverse=True)
        shares.append(sum(counts[:4]) / len(groups))
    assert np.mean(shares) > 0.8  # 4 of 16 groups; without planting, the four largest hold well under half
