"""Says whether bytes are a picture: of a common format, not too large, and sound to its last row."""

import hashlib
import logging
from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar

from PIL import Image, features

from storage.images.statuses import OK, RefusedError

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", *(("AVIF",) if features.check("avif") else ()))
PNG = b"\x89PNG\r\n\x1a\n"
START_OF_SCAN = b"\xff\xda"
MAX_ASPECT = 50  # an encoder makes the short side as long as it wants, and the long side in proportion
# A progressive JPEG has about ten scans; each visits every pixel, however few bytes it has. So many may visit as many
# pixels as a picture may have, and a smaller picture may have more of them, but not without end.
FULL_SCANS = 20
MAX_SCANS = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """A file that decodes, its hash, and its size in pixels as stored: before its EXIF orientation is applied."""

    content: bytes
    sha256: str
    width: int
    height: int
    status: ClassVar[str] = OK

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)


def is_too_thin(width: int, height: int) -> bool:
    """Whether a picture is a mere line: brought to the size of an encoder's input, it would need gigabytes."""
    return max(width, height) > MAX_ASPECT * min(width, height) > 0


def decode_picture(content: bytes, max_pixels: int, min_side: int = 1) -> Picture:
    """The picture that `content` is, whatever its sender says that it is; of an animated one, the first frame.

    Args:
        max_pixels: of the whole picture; min_side: pixels of its shorter side.

    Raises:
        RefusedError: `undecodable`, or `too_many_pixels`, `too_thin` or `too_small` before any of them is decoded, or
            `png_text_too_long`, which Pillow does not read past.
    """
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise RefusedError("too_many_pixels", width=width, height=height)
            if is_too_thin(width, height):
                raise RefusedError("too_thin", width=width, height=height)
            if min(width, height) < min_side:
                raise RefusedError("too_small", width=width, height=height)
            if image.format in ("JPEG", "MPO"):
                scans = content.count(START_OF_SCAN)
                if scans > MAX_SCANS or scans * width * height > FULL_SCANS * max_pixels:
                    raise RefusedError("undecodable")
            image.load()
            return Picture(content, hashlib.sha256(content).hexdigest(), width, height)
    except RefusedError:
        raise
    except ValueError as error:
        too_long = content.startswith(PNG) and "MAX_TEXT" in str(error)
        raise RefusedError("png_text_too_long" if too_long else "undecodable") from None
    except Image.DecompressionBombError:
        raise RefusedError("too_many_pixels") from None
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        logger.debug("undecodable picture: %s", type(error).__name__)
        raise RefusedError("undecodable") from None
