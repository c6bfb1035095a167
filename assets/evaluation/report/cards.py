"""Items as the report shows them: a picture, a title, and a line below it."""

import base64
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

import pandas as pd
from PIL import Image, ImageOps

from assets.evaluation.report.findings import names_of
from models.encoders.white_background import on_white
from storage.images.store import PictureStore

THUMBNAIL_PIXELS = 96


@dataclass(frozen=True)
class Card:
    """One item.

    Attributes:
        picture: a data URI, or None.
        note: a few words below the title.
        hit: whether it was recommended and is in the user's test part.
        why: what a recommendation rests on, or None where nothing explains it.
    """

    title: str
    picture: str | None
    note: str = ""
    hit: bool = False
    why: str | None = None


class Cards:
    """Makes cards of items; the pictures of all of them are read at once.

    Args:
        items: as `item_frame` makes it.
        numbers: every item that a card may be made of.
    """

    def __init__(self, items: pd.DataFrame, pictures: PictureStore, numbers: Iterable[int]):
        shown = items.loc[sorted(set(numbers)), ["item_id", "title", "sha256"]]
        keys = {key for key in shown["sha256"] if isinstance(key, str)}
        thumbnails = {key: thumbnail(content) for key, content in pictures.read(keys)}
        self._faces = {
            number: (name, thumbnails.get(key))
            for number, name, key in zip(shown.index, names_of(shown), shown["sha256"], strict=True)
        }

    def of(self, number: int, note: str = "", hit: bool = False, why: str | None = None) -> Card:
        """The card of one item."""
        return Card(*self._faces[number], note, hit, why)


def thumbnail(content: bytes) -> str:
    """A small JPEG of a picture, as a data URI."""
    with Image.open(BytesIO(content)) as image:
        with suppress(Exception):  # readers of EXIF raise whatever they like; then it lies as it lies
            ImageOps.exif_transpose(image, in_place=True)
        small = on_white(image).convert("RGB")
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
