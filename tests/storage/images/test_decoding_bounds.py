"""Pictures that would cost too much, or that trip what handles them later."""

import struct
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from storage.images.decoding import FULL_SCANS, MAX_ASPECT, decode_picture
from storage.images.statuses import RefusedError
from tests.storage.picture_server import LIMITS, fetch, statuses, wanted


def png(width: int, height: int) -> bytes:
    content = BytesIO()
    Image.new("RGB", (width, height), "red").save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("turned", [False, True])
def test_a_picture_that_is_a_mere_line_is_too_thin(turned: bool) -> None:
    for short, long, usable in ((1, MAX_ASPECT, True), (1, MAX_ASPECT + 1, False), (4, 4 * MAX_ASPECT + 1, False)):
        content = png(*(short, long)[:: -1 if turned else 1])
        if usable:
            assert {decode_picture(content, 10_000).width, decode_picture(content, 10_000).height} == {short, long}
        else:
            with pytest.raises(RefusedError, match="too_thin") as refused:
                decode_picture(content, 10_000)
            assert {refused.value.width, refused.value.height} == {short, long}


def test_it_is_so_for_good(tmp_path: Path) -> None:
    (tmp_path / "line.png").write_bytes(png(1, 500))
    for asked in (1, 0):
        found = fetch(wanted("line.png"), tmp_path / "shards", base=tmp_path, limits=LIMITS)
        assert (statuses(found), found.asked) == (["too_thin"], asked)


def scans(side: int, more: int) -> bytes:
    """A progressive JPEG of a square, whose last scan comes again and again."""
    content = BytesIO()
    Image.new("RGB", (side, side), "red").save(content, "JPEG", progressive=True)
    whole = content.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * more + whole[-2:]


def test_a_large_progressive_jpeg_is_usable_at_the_limit_of_pixels() -> None:
    content = scans(1000, 2)
    assert 10 <= content.count(b"\xff\xda") <= FULL_SCANS
    assert decode_picture(content, 1000 * 1000).width == 1000


def test_scans_are_bounded_by_the_pixels_that_they_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    many = scans(1000, 100)
    assert len(many) < 100_000
    with monkeypatch.context() as patch, pytest.raises(RefusedError, match="undecodable"):
        patch.setattr(JpegImageFile, "load", lambda _: pytest.fail("its scans are visited"))
        decode_picture(many, 1000 * 1000)
    assert decode_picture(scans(100, 100), 1000 * 1000).width == 100  # a small picture costs little


def test_a_picture_whose_exif_breaks_a_rotation_is_usable() -> None:
    entries = (
        struct.pack("<HHIHH", 0x100, 2, 1, 6, 0),
        struct.pack("<HHIHH", 0x112, 3, 1, 6, 0),
        struct.pack("<HHI4s", 0x128, 2, 4, b"abc\0"),
    )
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    content = BytesIO()
    Image.new("RGB", (30, 20), "green").save(content, "JPEG", exif=exif)
    with Image.open(content) as image, pytest.raises(Exception, match=r"."):
        ImageOps.exif_transpose(image)
    picture = decode_picture(content.getvalue(), 10_000)
    assert (picture.status, picture.width, picture.height) == ("ok", 30, 20)
