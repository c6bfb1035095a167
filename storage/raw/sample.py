"""Writes a small catalogue with planted preferences, in the format of the 2023 release, with rendered pictures.

Half of the items are told apart by their picture alone (their text is boilerplate), half by their text alone (their
picture is a placeholder). Users like a few groups of either kind, so what the gate ought to learn is known.
"""

import gzip
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from storage.files.atomic import publish_bytes, publishing
from storage.files.mirror import Mirror

GROUPS = 8  # of each kind
DAY_MS = 86_400_000
START_MS = 1_546_300_800_000  # 2019-01-01
SPAN_DAYS = 1400
PICTURE_SIZE = 128
SHARE_LACKING = 0.06  # of items without picture, and of items without text
UNSEEN_ITEMS = 12  # items that nobody has reviewed yet

BOILERPLATE = "Quality product for everyday use. Satisfaction guaranteed. Ships in standard packaging."
TOPICS = {
    "camping": "tent stove lantern sleeping-bag hiking trail waterproof backpack",
    "violin": "violin strings bow rosin orchestra concert sheet music tuner",
    "baking": "flour oven cake pastry mixing-bowl whisk dough cookie",
    "aquarium": "fish tank filter gravel aquatic plants heater water",
    "astronomy": "telescope lens stars planets eyepiece tripod night sky",
    "knitting": "yarn wool needles crochet pattern sweater scarf stitch",
    "cycling": "bicycle helmet pedal chain tire brake saddle ride",
    "chemistry": "beaker flask laboratory reagent molecule experiment goggles burner",
}
HUES = [
    (214, 39, 40),
    (31, 119, 180),
    (44, 160, 44),
    (255, 187, 20),
    (148, 60, 189),
    (20, 190, 207),
    (40, 40, 40),
    (227, 119, 194),
]

BROKEN_REVIEWS = (
    b'{"rating": 5.0, "title": "cut off in the mid',
    b'{"rating": "five stars", "user_id": "SAMPLE-X", "parent_asin": "SAMPLE-I0001", "timestamp": 1577836800000}',
    b'{"rating": 4.0, "parent_asin": "SAMPLE-I0002", "timestamp": 1577836800000}',
    b'{"rating": 3.0, "user_id": "SAMPLE-\xff", "parent_asin": "SAMPLE-I0003", "timestamp": 1577836800000}',
    b"[]",
)
BROKEN_ITEMS = (b'{"title": "no id"}', b"not json at all")


@dataclass(frozen=True)
class SampleSize:
    """How large the catalogue is, and the seed that it is drawn from."""

    users: int
    items: int
    seed: int


@dataclass(frozen=True)
class SampleItem:
    """One planted item.

    Attributes:
        kind: which of the two modalities tells its group.
        group: 0 … GROUPS-1 within its kind.
    """

    item_id: str
    kind: Literal["visual", "textual"]
    group: int
    has_picture: bool
    has_text: bool


def planted_items(size: SampleSize) -> list[SampleItem]:
    """The items of the catalogue; what lacks a modality never lacks the one that tells its group."""
    rng = np.random.default_rng([size.seed, 1])
    items = []
    for number in range(size.items + UNSEEN_ITEMS):
        kind: Literal["visual", "textual"] = "visual" if number % 2 == 0 else "textual"
        lacks = rng.random() < 2 * SHARE_LACKING
        items.append(
            SampleItem(
                item_id=f"SAMPLE-I{number:04d}",
                kind=kind,
                group=(number // 2) % GROUPS,
                has_picture=kind == "visual" or not lacks,
                has_text=kind == "textual" or not lacks,
            )
        )
    return items


def write_sample(
    folder: Path, kind: Literal["reviews", "metadata"], size: SampleSize, mirror: Mirror | None = None
) -> Path:
    """Write one raw file of the sample into `folder` (the pictures beside the metadata) and return its path."""
    if kind == "reviews":
        lines = _with_broken(_review_lines(size), BROKEN_REVIEWS)
    else:
        lines = _with_broken(_item_lines(size), BROKEN_ITEMS)
        rng = np.random.default_rng([size.seed, 3])
        with publishing(folder / "images", mirror) as pictures:
            pictures.mkdir()
            for item in planted_items(size):
                if item.has_picture:
                    (pictures / f"{item.item_id}.jpg").write_bytes(_picture(item, rng))
    target = folder / f"{kind}.jsonl.gz"
    publish_bytes(target, gzip.compress(b"\n".join(lines) + b"\n", mtime=0), mirror)
    return target


def _with_broken(lines: list[bytes], broken: tuple[bytes, ...]) -> list[bytes]:
    """Put the malformed lines at even distances between the sound ones."""
    step = len(lines) // len(broken)
    for number, line in enumerate(broken):
        lines.insert(number * (step + 1) + 3, line)
    return lines


def _review_lines(size: SampleSize) -> list[bytes]:
    """Every user likes two groups of each kind and spends seven eighths of the reviews on them."""
    rng = np.random.default_rng([size.seed, 2])
    items = planted_items(size)[: size.items]
    code = np.array([item.group + GROUPS * (item.kind == "textual") for item in items])
    popularity = (1 + np.arange(size.items)) ** -0.4
    rng.shuffle(popularity)
    lines = []
    for user in range(size.users):
        liked = np.concatenate([rng.choice(GROUPS, 2, replace=False), GROUPS + rng.choice(GROUPS, 2, replace=False)])
        weight = popularity * np.where(np.isin(code, liked), 21.0, 1.0)
        count = int(np.clip(rng.lognormal(2.6, 0.4), 6, size.items // 4))
        chosen = rng.choice(size.items, count, replace=False, p=weight / weight.sum())
        begin = rng.integers(0, SPAN_DAYS * 3 // 4)
        days = np.sort(rng.integers(begin, SPAN_DAYS, count))
        for item, day in zip(chosen, days, strict=True):
            rating = float(rng.choice([5, 4, 3, 2], p=[0.6, 0.25, 0.1, 0.05]))
            line: dict[str, Any] = {
                "rating": rating,
                "title": "A review",
                "text": "Written by the project itself.",
                "images": [],
                "asin": items[item].item_id,
                "parent_asin": items[item].item_id,
                "user_id": f"SAMPLE-U{user:05d}",
                "timestamp": int(START_MS + day * DAY_MS + rng.integers(DAY_MS)),
                "helpful_vote": 0,
                "verified_purchase": True,
            }
            lines.append(json.dumps(line).encode())
            if rng.random() < 0.01:  # the same review twice, as in real dumps
                lines.append(lines[-1])
    return lines


def _item_lines(size: SampleSize) -> list[bytes]:
    rng = np.random.default_rng([size.seed, 4])
    lines = []
    for number, item in enumerate(planted_items(size)):
        title, description, category = f"Article {number}", [BOILERPLATE], "Articles"
        if item.kind == "textual":
            topic = list(TOPICS)[item.group]
            words = rng.permutation(TOPICS[topic].split())
            title, category = f"{words[0].title()} {words[1]} for {topic}", topic.title()
            description = [f"{topic.title()}: " + ", ".join(words[2:6]) + "."]
        picture = f"images/{item.item_id}.jpg"
        line: dict[str, Any] = {
            "main_category": "Sample",
            "title": title if item.has_text else "",
            "average_rating": None,
            "rating_number": None,
            "features": [],
            "description": description if item.has_text else [],
            "price": round(float(rng.uniform(5, 90)), 2),
            "images": [{"large": picture, "variant": "MAIN", "hi_res": None}] if item.has_picture else [],
            "videos": [],
            "store": None,
            "categories": ["Sample", category] if item.has_text else [],
            "details": {},
            "parent_asin": item.item_id,
        }
        lines.append(json.dumps(line).encode())
    return lines


def _picture(item: SampleItem, rng: np.random.Generator) -> bytes:
    """A JPEG: a coloured motif that tells the group, or a grey placeholder that tells nothing."""
    image = Image.new("RGB", (PICTURE_SIZE, PICTURE_SIZE), (250, 250, 250))
    draw = ImageDraw.Draw(image)
    if item.kind == "textual":
        grey = int(rng.integers(196, 208))
        draw.rectangle((0, 0, PICTURE_SIZE, PICTURE_SIZE), fill=(grey, grey, grey))
        draw.rectangle((34, 44, 94, 88), outline=(150, 150, 150), width=4)
        draw.ellipse((52, 54, 76, 78), outline=(150, 150, 150), width=4)
    else:
        _motif(draw, item.group, rng)
    content = BytesIO()
    image.save(content, "JPEG", quality=85)
    return content.getvalue()


def _motif(draw: ImageDraw.ImageDraw, group: int, rng: np.random.Generator) -> None:
    """A shape in the group's colour, its place and size drawn at random."""
    colour = tuple(int(np.clip(channel + rng.integers(-18, 19), 0, 255)) for channel in HUES[group])
    size = int(rng.integers(72, 112))
    left, top = rng.integers(0, PICTURE_SIZE - size, 2)
    box = (int(left), int(top), int(left) + size, int(top) + size)
    shape = group % 4
    if shape == 0:
        draw.ellipse(box, fill=colour)
    elif shape == 1:
        draw.rectangle(box, fill=colour)
    elif shape == 2:
        draw.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) // 2, box[1])], fill=colour)
    else:
        for offset in range(0, size, 18):
            draw.rectangle((box[0], box[1] + offset, box[2], box[1] + offset + 9), fill=colour)
