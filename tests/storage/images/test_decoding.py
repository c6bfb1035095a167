"""Bytes are a picture, or they are not, whatever they say of themselves."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from storage.images.decoding import decode_picture
from storage.images.statuses import RefusedError

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def noise(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(NOISE).convert(mode)


def frames(kind: str) -> bytes:
    others = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green", "blue")]
    return saved(noise(), kind, save_all=True, append_images=others)


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    return saved(noise(), "JPEG", exif=exif)


PICTURES = {
    "jpeg": saved(noise(), "JPEG"),
    "progressive": saved(noise(), "JPEG", progressive=True),
    "grey": saved(noise("L"), "JPEG"),
    "cmyk": saved(noise("CMYK"), "JPEG"),
    "exif-rotated": rotated(),
    "16-bit": saved(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257), "PNG"),
    "palette": saved(noise("P"), "PNG"),
    "transparent": saved(noise("RGBA"), "PNG"),
    "grey and transparent": saved(noise("LA"), "PNG"),
    "one bit": saved(noise("1"), "PNG"),
    "animated gif": frames("GIF"),
    "animated webp": frames("WEBP"),
    "animated png": frames("PNG"),
    "webp": saved(noise(), "WEBP"),
    "bmp": saved(noise(), "BMP"),
    "avif": saved(noise(), "AVIF"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_of_every_usual_kind_are_usable_at_the_size_that_the_file_says(kind: str) -> None:
    picture = decode_picture(PICTURES[kind], 64 * 48)
    assert (picture.width, picture.height, picture.content) == (64, 48, PICTURES[kind])


@pytest.mark.parametrize("kind", [kind for kind in PICTURES if not kind.startswith("animated")])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_picture_is_none(kind: str, share: float) -> None:
    content = PICTURES[kind]
    with pytest.raises(RefusedError, match="undecodable"):
        decode_picture(content[: int(len(content) * share)], 10_000)


def test_of_an_animated_picture_the_first_frame_counts() -> None:
    content = PICTURES["animated gif"]
    second = content.index(b"\x21\xf9\x04", content.index(b"\x21\xf9\x04") + 1)
    assert decode_picture(content[:second] + b";", 10_000).width == 64
    with pytest.raises(RefusedError, match="undecodable"):
        decode_picture(content[: second // 2], 10_000)


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is large, in less than a hundred bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(101, 100), (5_000, 5_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_of_too_many_pixels_is_refused_before_one_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(RefusedError, match="too_many_pixels"):
        decode_picture(bomb(*size), 10_000)


def test_the_limit_is_the_last_size_that_passes() -> None:
    content = saved(Image.new("L", (100, 100)), "PNG")
    assert decode_picture(content, 10_000).width == 100
    with pytest.raises(RefusedError) as refused:
        decode_picture(content, 9_999)
    assert (refused.value.width, refused.value.height) == (100, 100)


@pytest.mark.parametrize(("size", "usable"), [((16, 16), True), ((15, 200), False), ((1, 1), False)])
def test_a_picture_of_a_few_pixels_stands_for_none(size: tuple[int, int], usable: bool) -> None:
    content = saved(Image.new("P", size), "GIF")
    if usable:
        assert decode_picture(content, 10_000, min_side=16).width == 16
        return
    with pytest.raises(RefusedError, match="too_small") as refused:
        decode_picture(content, 10_000, min_side=16)
    assert (refused.value.width, refused.value.height) == size


def test_a_png_whose_text_is_longer_than_pillow_reads_says_so() -> None:
    text = PngInfo()
    text.add_text("Comment", "x" * 2_000_000, zip=True)
    with pytest.raises(RefusedError, match="png_text_too_long"):
        decode_picture(saved(noise(), "PNG", pnginfo=text), 10_000)


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each costs a pass over all pixels."""
    content = PICTURES["progressive"]
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * count + content[-2:]


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    assert decode_picture(scans(3), 10_000).width == 64
    with pytest.raises(RefusedError, match="undecodable"):
        decode_picture(scans(600), 10_000)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><body>Robot check</body></html>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"\xff\xd8\xff",
        b"\x1f\x8b" + bytes(40),
        saved(noise(), "TIFF"),
        bomb(0, 0),
        bytes(1000),
    ],
)
def test_what_is_no_picture_of_a_usual_kind_is_undecodable(content: bytes) -> None:
    with pytest.raises(RefusedError, match="undecodable"):
        decode_picture(content, 10_000)
