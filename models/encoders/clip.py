"""Pictures to vectors by the image tower of a CLIP model, as `open_clip` loads and preprocesses it.

CLIP: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg

from models.device import cores, devices_of
from models.encoders.device_scheduler import Halving, Lane, through_lanes
from models.encoders.pixels import Batch, Decoded, Preprocessing, decode_pixels
from models.encoders.precision import DTYPES, dtype_of
from models.encoders.weights import UNTRAINED, local_path, require_architecture
from models.errors import ModelError

UNTRAINED_SEED = 0
LANES_OF_A_GPU = 2  # while one computes, the other copies

open_clip.add_model_config(Path(__file__).parent / "tiny.json")

# open_clip logs by the root logger, which without a handler would get one of its own and print every line twice.
logging.getLogger().addHandler(logging.NullHandler())

logger = logging.getLogger(__name__)


class ImageEncoder:
    """The image tower of a CLIP model.

    Args:
        architecture: an open_clip architecture; `tiny` is one of this project, for tests and the sample.
        weights: an open_clip tag, the path of a checkpoint, or `untrained` for seeded random weights.
        device: see `models.device.devices_of`.
        batch_size: pictures that a device takes at a time.
        precision: see `models.encoders.precision.dtype_of`; fp32 equals a direct call of open_clip.
        workers: processes that decode; as many as there are processors, if not given.

    Raises:
        ModelError: the architecture is unknown, the weights are unavailable, or the device lacks the precision.
    """

    def __init__(
        self,
        architecture: str,
        weights: str,
        device: str = "auto",
        batch_size: int = 64,
        precision: str = "auto",
        workers: int | None = None,
    ):
        require_architecture(architecture)
        devices = devices_of(device)
        self.dtype = dtype_of(precision, devices[0], "image_precision")
        self.batch_size, self.workers = batch_size, workers or cores()
        self.dimension = int(open_clip.get_model_config(architecture)["embed_dim"])
        model, self.preprocessing = _load(architecture, weights, self.dtype)
        self.pinned = devices[0].type == "cuda"
        models = [model, *(deepcopy(model) for _ in devices[1:])]
        self.lanes = [lane for copy, at in zip(models, devices, strict=True) for lane in self._lanes(copy, at)]

    def encode(
        self, batches: Sequence[Batch], on_progress: Callable[[int, float], None]
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """Encode pictures batch by batch, in the order given, whatever the number of devices.

        A batch's vectors depend on that batch alone. What cannot be decoded is left out, with a warning at the end.

        Args:
            batches: callables that return (key, content of a file) pairs; each can be pickled, and is called in
                another process.
            on_progress: called with the pictures of each batch, and the seconds that a device waited for them.

        Yields:
            The keys of a batch and what the encoder says of their pictures, float32 [b, dimension], not normalised.
        """
        broken = 0
        pictures = decode_pixels(batches, self.preprocessing, self.workers, self.pinned)
        with closing(pictures), closing(through_lanes(pictures, self.lanes)) as encoded:
            for (batch, vectors), waited in encoded:
                broken += batch.broken
                on_progress(len(batch.keys) + batch.broken, waited / len(self.lanes))
                yield batch.keys, vectors
        if broken:
            logger.warning(f"{broken} pictures cannot be decoded and have no vector")

    def vectors(self, batch: Decoded) -> np.ndarray:
        """What the encoder says of a batch that is decoded already, float32 [b, dimension], not normalised."""
        return self.lanes[0](batch)[1]

    def _lanes(self, model: open_clip.CLIP, device: torch.device) -> list[Lane[Decoded, tuple[Decoded, np.ndarray]]]:
        """What takes the batches to one device; several lanes there share the model and each has a stream."""
        model.to(device=device, memory_format=torch.channels_last)
        halving = Halving(self.batch_size, "image_batch")

        def forward(pixels: torch.Tensor) -> torch.Tensor:
            tensor = self.preprocessing.tensor(pixels.to(device, non_blocking=True))
            return model.encode_image(tensor.to(self.dtype)).float()

        def lane(batch: Decoded, stream: torch.cuda.Stream | None = None) -> tuple[Decoded, np.ndarray]:
            if not batch.keys:
                return batch, np.zeros((0, self.dimension), dtype=np.float32)
            with torch.inference_mode(), torch.cuda.stream(stream) if stream else nullcontext():
                vectors = halving(lambda size: torch.cat([forward(part) for part in batch.pixels.split(size)]))
                return batch, vectors.cpu().numpy()

        if device.type != "cuda":
            return [lane]
        return [partial(lane, stream=torch.cuda.Stream(device)) for _ in range(LANES_OF_A_GPU)]


def preprocessing_of(architecture: str, weights: str) -> Preprocessing:
    """What turns a picture into the encoder's input, for whoever decodes what others encode.

    Raises:
        ModelError: as the encoder does.
    """
    require_architecture(architecture)
    return _load(architecture, weights, torch.float32)[1]


def _load(architecture: str, weights: str, dtype: torch.dtype) -> tuple[open_clip.CLIP, Preprocessing]:
    """The model on the CPU, in its number format, and its preprocessing for inference."""
    pretrained = checkpoint_of(architecture, weights)
    [precision] = [name for name, known in DTYPES.items() if known is dtype]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(UNTRAINED_SEED)
            # A tag, not its file: with the tag come the mean, size and interpolation its weights were trained with.
            model, _, transform = open_clip.create_model_and_transforms(architecture, pretrained, precision=precision)
    except Exception as error:  # readers of checkpoints raise errors of many libraries
        raise ModelError(
            f"image_weights {weights!r} cannot be loaded into image_encoder {architecture!r} ({type(error).__name__})"
        ) from error
    size = PreprocessCfg(**model.visual.preprocess_cfg).input_size[1:]
    return model.eval().requires_grad_(False), Preprocessing(transform, size)


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
