"""What the settings say of an encoder: how to build it, and what its vectors share.

Building imports torch; the rest costs nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from assets.core.settings import ImageEncoderSettings, TextEncoderSettings
from models.encoders import IMAGE_PREPROCESSING, TEXT_PREPROCESSING
from models.encoders.weights import UNTRAINED, local_path
from storage.files.atomic import sha256_of

if TYPE_CHECKING:
    from models.encoders.clip import ImageEncoder
    from models.encoders.sbert import TextEncoder


def image_encoder(config: ImageEncoderSettings) -> "ImageEncoder":
    from models.encoders.clip import ImageEncoder

    return ImageEncoder(
        config.image_encoder,
        config.image_weights,
        config.device,
        config.image_batch,
        config.image_precision,
        config.image_workers,
    )


def text_encoder(config: TextEncoderSettings) -> "TextEncoder":
    from models.encoders.sbert import TextEncoder

    return TextEncoder(
        config.text_encoder,
        config.device,
        config.text_batch,
        config.text_precision,
        config.text_prompt,
        config.text_max_tokens,
    )


def image_space(config: ImageEncoderSettings) -> dict[str, object]:
    """What vectors of pictures share that stand for the same."""
    return {
        "kind": "image",
        "encoder": config.image_encoder,
        "weights": weights_version(config.image_weights, "image_weights"),
        "precision": config.image_precision,
        "preprocessing": IMAGE_PREPROCESSING,
    }


def text_space(config: TextEncoderSettings) -> dict[str, object]:
    """What vectors of texts share that stand for the same."""
    return {
        "kind": "text",
        "weights": weights_version(config.text_encoder, "text_encoder"),
        "precision": config.text_precision,
        "prompt": config.text_prompt,
        "max_tokens": config.text_max_tokens,
        "preprocessing": TEXT_PREPROCESSING,
    }


def weights_version(place: str, setting: str) -> str:
    """The checksum of weights that lie here, since others may come to the same path; else their name."""
    path = None if place == UNTRAINED else local_path(place, setting)
    return place if path is None else f"sha256:{sha256_of(path)}"


def without_folder(name: str) -> str:
    """How a setting that may be a path is shown to others: a path by its last part, another name as it is."""
    return Path(name).name if Path(name).is_absolute() else name
