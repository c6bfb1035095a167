"""Pictures for the tests of encoders, and how near two sets of vectors are."""

import random
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from models.encoders.pixels import Batch

SOME = 8


def photos(folder: Path, count: int) -> dict[str, bytes]:
    """Real product photos by name, always the same ones of all."""
    files = sorted((folder / "product_photos").glob("*.jpeg"))
    return {file.name: file.read_bytes() for file in random.Random(0).sample(files, count)}


def enlarged(content: bytes, longest: int) -> bytes:
    """The JPEG whose longer side is `longest` pixels."""
    with Image.open(BytesIO(content)) as image:
        factor = longest / max(image.size)
        large = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)
    file = BytesIO()
    large.save(file, "JPEG", quality=90)
    return file.getvalue()


def plain(colour: str, size: tuple[int, int] = (90, 70)) -> bytes:
    """A PNG of one colour."""
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def batches_of(pictures: dict[str, bytes], size: int) -> list[Batch]:
    """Batches that any process can unpickle."""
    pairs = list(pictures.items())
    return [partial(list, pairs[at : at + size]) for at in range(0, len(pairs), size)]


def centred_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The least cosine of two vectors of one picture, after the mean of all has been taken off each side."""
    one, other = (vectors - vectors.mean(axis=0) for vectors in (one, other))
    return float(((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)).min())
