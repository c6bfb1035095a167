"""Pictures to vectors by the image tower of a CLIP model, as `open_clip` loads and preprocesses it.

CLIP: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from models.device import device_of
from models.encoders.weights import UNTRAINED, local_path
from models.errors import ModelError

open_clip.add_model_config(Path(__file__).parent / "tiny.json")

# open_clip logs by the root logger, which without a handler would get one of its own and print every line twice.
logging.getLogger().addHandler(logging.NullHandler())

UNTRAINED_SEED = 0
DECODERS = 4


class ImageEncoder:
    """The image tower of a CLIP model.

    Args:
        architecture: an open_clip architecture; `tiny` is one of this project, for tests and the sample.
        weights: an open_clip tag, the path of a checkpoint, or `untrained` for seeded random weights.
        device: see `models.device.device_of`.

    Raises:
        ModelError: the architecture is unknown or the weights cannot be had.
    """

    def __init__(self, architecture: str, weights: str, device: str, batch_size: int):
        if architecture not in open_clip.list_models():
            raise ModelError(f"image_encoder is {architecture!r}, and open_clip has no such architecture")
        self.device, self.batch_size = device_of(device), batch_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(UNTRAINED_SEED)
            # A tag, not its file: with the tag come the mean, size and interpolation its weights were trained with.
            model, _, self.preprocess = open_clip.create_model_and_transforms(
                architecture, checkpoint_of(architecture, weights)
            )
        self.model = model.eval().requires_grad_(False).to(self.device)
        self.dimension = open_clip.get_model_config(architecture)["embed_dim"]

    @torch.inference_mode()
    def encode(
        self, pictures: Iterable[tuple[str, bytes]], advance: Callable[[int], None]
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """Encode (key, file content) pairs batch by batch.

        Yields:
            The keys of a batch and its L2-normalised vectors, float32 [batch, dimension].
        """
        stream = iter(pictures)
        with ThreadPoolExecutor(DECODERS) as decoders:
            while batch := list(islice(stream, self.batch_size)):
                keys, contents = zip(*batch, strict=True)
                pixels = torch.stack(list(decoders.map(self._pixels, contents)))
                vectors = self.model.encode_image(pixels.to(self.device), normalize=True)
                yield list(keys), vectors.float().cpu().numpy()
                advance(len(keys))

    def _pixels(self, content: bytes) -> torch.Tensor:
        with Image.open(BytesIO(content)) as image:
            return self.preprocess(image)


def checkpoint_of(architecture: str, weights: str) -> str | None:
    """What open_clip calls `pretrained`: a file, a tag whose weights are here now, or nothing."""
    if weights == UNTRAINED:
        return None
    path = local_path(weights, "image_weights")
    if path is not None:
        return str(path)
    config = open_clip.get_pretrained_cfg(architecture, weights)
    if not config:
        raise ModelError(f"image_weights is {weights!r}, and open_clip has no such weights for {architecture}")
    try:
        open_clip.download_pretrained(config)
    except Exception as error:  # hub clients raise errors of many libraries
        raise ModelError(
            f"image_weights {weights!r} of {architecture} cannot be downloaded ({type(error).__name__}); "
            "image_weights takes the path of a checkpoint in their place, or 'untrained'"
        ) from error
    return weights
