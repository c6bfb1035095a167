"""From the bytes of pictures to the pixels that an image encoder takes, in processes beside the one that encodes.

The worker processes are forked from a server that has imported this module and nothing else of the run, so they
share no lock, thread or device with it, and each starts at once.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import BytesIO
from multiprocessing import forkserver, get_context, parent_process
from threading import Thread
from traceback import format_exc
from typing import NamedTuple

import numpy as np
import torch
from open_clip.transform import MaybeToTensor
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize

from models.errors import ModelError

Batch = Callable[[], list[tuple[str, bytes]]]

FIRST_BATCHES = 16  # about as many as one process decodes in the seconds that workers take to begin
BATCHES_AHEAD = 2  # of each worker
JPEG_SCALES = (8, 4, 2)


class Decoded(NamedTuple):
    """A batch: keys, pixels uint8 [batch, height, width, 3], and how many pictures could not be decoded."""

    keys: list[str]
    pixels: torch.Tensor
    broken: int


class Preprocessing:
    """A transform of `open_clip`, cut where bytes become numbers.

    The pictures of a batch travel from process to process and to the device as bytes, a quarter of their size as
    float32; the last two steps, the same for every picture, are made of whole batches there.

    Args:
        transform: what `open_clip` gives for inference: its last steps are MaybeToTensor and Normalize.
        size: height and width of the encoder's input.
    """

    def __init__(self, transform: Compose, size: tuple[int, int]):
        *steps, to_tensor, self.normalize = transform.transforms
        if not isinstance(to_tensor, MaybeToTensor) or not isinstance(self.normalize, Normalize):
            raise ModelError(f"image_encoder has a preprocessing that is not known: {transform}")
        self.to_picture, self.size = Compose(steps), size

    def pixels(self, content: bytes) -> np.ndarray:
        """The picture in a file as the encoder sees it, uint8 [height, width, 3]."""
        return np.asarray(self.to_picture(picture_of(content, max(self.size))))

    def tensor(self, pixels: torch.Tensor) -> torch.Tensor:
        """Numbers of pixels [batch, height, width, 3]: normalised float32 [batch, 3, height, width], channels last."""
        return self.normalize(pixels.permute(0, 3, 1, 2).float().div_(255))


def picture_of(content: bytes, size: int) -> Image.Image:
    """A picture as a viewer shows it: upright, its first frame, 16-bit greys as 8-bit ones.

    Args:
        size: the larger side of the encoder's input. A JPEG is decoded at a fraction of its size as long as both its
            sides stay at least twice as long as that.
    """
    image = Image.open(BytesIO(content))
    _shrink(image, 2 * size)
    with suppress(Exception):  # readers of EXIF raise whatever they like; then it lies as it lies
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        greys = np.asarray(image).clip(0, 0xFFFF)
        return Image.fromarray((greys // 0x101).astype(np.uint8))
    return image


def _shrink(image: Image.Image, least: int) -> None:
    """Let a JPEG be decoded at the smallest fraction of its size that leaves both sides `least` pixels.

    The fraction divides both sides: where it leaves a rest, the whole picture comes out shifted, by up to a pixel of
    the encoder's input, and the vectors of real photos differ visibly (centred cosine 0.94; 0.998 where it divides).
    """
    for scale in JPEG_SCALES:
        if all(side % scale == 0 and side // scale >= least for side in image.size):
            image.draft(image.mode, (image.width // scale, image.height // scale))
            return


class _Pictures(Dataset):
    """Item i is batch i, decoded; or the error that reading it met, for the process that asked to raise."""

    def __init__(self, batches: Sequence[Batch], preprocessing: Preprocessing):
        self.batches, self.preprocessing = batches, preprocessing

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Decoded | Exception:
        try:
            return decode(self.batches[index], self.preprocessing)
        except Exception as error:
            error.add_note(format_exc())
            return error


def decode(batch: Batch, preprocessing: Preprocessing) -> Decoded:
    """Read a batch, and decode what can be; raises what reading it raises."""
    pairs = batch()
    pixels = torch.empty(len(pairs), *preprocessing.size, 3, dtype=torch.uint8)
    keys: list[str] = []
    for key, content in pairs:
        try:
            pixels.numpy()[len(keys)] = preprocessing.pixels(content)
        except Exception:  # decoders raise whatever they like on broken bytes
            continue
        keys.append(key)
    return Decoded(keys, pixels[: len(keys)], len(pairs) - len(keys))


def decoded(
    batches: Sequence[Batch], preprocessing: Preprocessing, workers: int, pinned: bool
) -> Generator[Decoded, None, None]:
    """Decode batches ahead of the one who asks, in the order given.

    The first few are decoded in this process, while the server of the workers gets ready; often there are no more.

    Args:
        batches: callables that return (key, content of a file) pairs; a worker process unpickles and calls them.
        workers: processes that decode.
        pinned: whether the pixels lie in page-locked memory, from which a GPU copies while it computes.

    Raises:
        ModelError: a worker was killed.
        Exception: what reading a batch raised.
    """
    pictures = partial(_Pictures, preprocessing=preprocessing)
    # A generator of its own, for a loader draws a seed, also where nothing is drawn by it.
    load = partial(DataLoader, batch_size=None, pin_memory=pinned, generator=torch.Generator())
    first, rest = batches[:FIRST_BATCHES], batches[FIRST_BATCHES:]
    if rest:
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        forkserver.ensure_running()
    yield from _loaded(load(pictures(first)))
    if rest:
        yield from _loaded(
            load(
                pictures(rest),
                num_workers=workers,
                prefetch_factor=BATCHES_AHEAD,
                multiprocessing_context=context,
                worker_init_fn=_end_with_parent,
            )
        )


def _loaded(loader: DataLoader) -> Iterator[Decoded]:
    found = iter(loader)
    try:
        while (batch := _next(found)) is not None:
            if isinstance(batch, Exception):
                raise batch
            yield batch
    finally:
        del found  # ends the workers, also where an error keeps this frame alive


def _end_with_parent(worker: int) -> None:
    """Torch watches the server, which lives as long as a worker does: without this both outlive a parent killed."""

    def watch() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def _next(found: Iterator[Decoded | Exception]) -> Decoded | Exception | None:
    try:
        return next(found, None)
    except RuntimeError as error:
        raise ModelError(
            f"decoding pictures broke off ({error}); fewer image_workers or a smaller image_batch take less memory"
        ) from error


def cores() -> int:
    """How many processors this process may use; all of the machine, where a system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
