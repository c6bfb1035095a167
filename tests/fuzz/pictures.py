"""What must hold of the decoding of pictures whatever their bytes are."""

import struct
import warnings
import zlib
from collections import Counter
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from assets.core.inline import inline
from assets.features.embedding_preview import picture_grid
from models.encoders.pixels import Preprocessing, picture_of
from storage.images.decoding import FORMATS, MAX_ASPECT, Picture, decode_picture
from storage.images.statuses import RefusedError
from tests.fuzz.mutations import mutated

PNG = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 100_000
SIDE = 32
REFUSALS = {"undecodable", "too_many_pixels", "too_thin"}
SIZES = (0, 1, 50, 51, 316, 317, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def with_checksums(png: bytes) -> bytes:
    """A PNG whose chunks have the checksums that belong to them, so that a decoder looks at what is in them."""
    content, place = bytearray(png), len(PNG)
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4])
        content[end : end + 4] = zlib.crc32(content[place + 4 : end]).to_bytes(4)
        place = end + 4
    return bytes(content)


def sound_pictures() -> list[bytes]:
    """One of every kind, form and mode that decoders treat by themselves."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    grey16 = Image.fromarray(np.arange(960, dtype=np.uint16).reshape(24, 40) * 60)
    frames = {"save_all": True, "append_images": [Image.new("RGB", (40, 24), "red")]}
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.new("RGB", (320, 256), "green")
    return [
        saved(noise, "JPEG"), saved(noise, "JPEG", progressive=True), saved(noise.convert("L"), "JPEG"),
        saved(noise.convert("CMYK"), "JPEG"), saved(noise, "JPEG", exif=exif), saved(large, "JPEG"),
        saved(noise, "PNG"), saved(noise.convert("P"), "PNG"), saved(noise.convert("RGBA"), "PNG"),
        saved(noise.convert("1"), "PNG"), saved(noise.convert("LA"), "PNG"), saved(grey16, "PNG"),
        saved(noise, "PNG", exif=exif), saved(noise, "PNG", **frames), saved(noise, "GIF"),
        saved(noise, "GIF", **frames), saved(noise, "WEBP"), saved(noise, "WEBP", lossless=True),
        saved(noise, "WEBP", **frames), saved(noise, "BMP"), saved(noise.convert("P"), "BMP"),
        saved(noise.convert("1"), "BMP"),
    ]  # fmt: skip


class Pictures:
    """Bytes are a picture within its limits, or refused for a reason that is written down.

    What counts as a picture can be shown, and encoded or counted as broken.
    """

    name = "pictures"

    def __init__(self, preprocessing: Preprocessing):
        self.preprocessing, self.sound = preprocessing, sound_pictures()
        self.came_of_it: Counter[str] = Counter()

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        return [self._input(draw) for _ in range(count)]

    def _input(self, draw: Random) -> bytes:
        content = self._changed(draw.choice(self.sound), draw)
        return with_checksums(content) if content.startswith(PNG) and draw.random() < 0.7 else content

    def _changed(self, content: bytes, draw: Random) -> bytes:
        match draw.randrange(12):
            case 0:
                return draw.randbytes(draw.randrange(200))
            case 1:
                return content[:8] + draw.randbytes(200)
            case 2:
                return content[: draw.randrange(len(content))]
            case 3 | 4:  # sizes lie in the first bytes
                place, form = draw.randrange(min(40, len(content))), draw.choice(("<H", ">H", "<I", ">I"))
                number = struct.pack(form, draw.choice(SIZES) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
                return content[:place] + number + content[place + len(number) :]
            case 5:
                other = draw.choice(self.sound)
                return content[: draw.randrange(len(content))] + other[draw.randrange(len(other)) :]
            case 6:  # the header alone is broken
                return mutated(content[:64], draw, 3) + content[64:]
        return mutated(content, draw, draw.choice((1, 4, 20)))

    def check(self, contents: list[bytes], folder: Path) -> None:
        for content in contents:
            try:
                picture = decode_picture(content, MAX_PIXELS)
            except RefusedError as refused:
                assert refused.status in REFUSALS
                self.came_of_it[refused.status] += 1
                continue
            self.came_of_it["usable"] += 1
            self._assert_usable(picture)

    def _assert_usable(self, picture: Picture) -> None:
        assert 0 < picture.width * picture.height <= MAX_PIXELS
        assert max(picture.width, picture.height) <= MAX_ASPECT * min(picture.width, picture.height)
        with Image.open(BytesIO(picture.content)) as image:
            assert image.format in (*FORMATS, "MPO")
        assert picture_grid([[picture.content]], 1).startswith(inline(b"", "jpeg")[:20])
        try:
            pixels = self.preprocessing.pixels(picture.content)
        except Exception:  # it is left out and counted
            self.came_of_it["not encodable"] += 1
            return
        assert (pixels.shape, pixels.dtype) == ((SIDE, SIDE, 3), np.uint8)
        assert picture_of(picture.content, SIDE).size


def preprocessing() -> Preprocessing:
    from open_clip.transform import image_transform

    return Preprocessing(image_transform(SIDE, is_train=False), (SIDE, SIDE))


def pictures() -> Pictures:
    warnings.simplefilter("ignore")  # of decoders, about what they are given
    return Pictures(preprocessing())
