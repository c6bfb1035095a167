"""From the bytes of pictures to the pixels that an image encoder takes, in processes beside the one that encodes.

The worker processes are forked from a server that has imported this module and nothing else of the run, so they
share no lock, thread or device with it, and each starts at once.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from multiprocessing import get_context, parent_process
from threading import Event, Thread
from traceback import format_exc
from typing import NamedTuple

import numpy as np
import torch
from open_clip.transform import MaybeToTensor
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize

from models.encoders.white_background import on_white
from models.errors import ModelError

Batch = Callable[[], list[tuple[str, bytes]]]

FEW_BATCHES = 16  # are decoded before worker processes could begin
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
    """A picture as a viewer shows it: upright, its first frame, on white, 16-bit greys as 8-bit ones.

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
    return on_white(image)


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


def decode_pixels(
    batches: Sequence[Batch], preprocessing: Preprocessing, workers: int, pinned: bool
) -> Generator[Decoded, None, None]:
    """Decode batches ahead of the one who asks, in the order given.

    Threads of this process begin, until worker processes are there for the rest: threads hold each other up a little,
    processes take seconds to begin. Often there is no rest.

    Args:
        batches: callables that return (key, content of a file) pairs; a worker process unpickles and calls them.
        workers: threads, then processes, that decode.
        pinned: whether the pixels lie in page-locked memory, from which a GPU copies while it computes.

    Raises:
        ModelError: a worker was killed.
        Exception: what reading a batch raised.
    """
    workers_can_begin = _server_of_workers() if len(batches) > FEW_BATCHES else Event()
    threads, under_way, begun = ThreadPoolExecutor(workers), deque[Future[Decoded]](), 0
    beside: Iterator[Decoded | Exception] = iter(())
    try:
        while begun < len(batches) and not workers_can_begin.is_set():
            for batch in batches[begun : begun + BATCHES_AHEAD * workers - len(under_way)]:
                under_way.append(threads.submit(_decode_here, batch, preprocessing, pinned))
                begun += 1
            yield under_way.popleft().result()
        if rest := batches[begun:]:
            beside = iter(_loader(_Pictures(rest, preprocessing), workers, pinned))
        while under_way:
            yield under_way.popleft().result()
        while (found := _next(beside)) is not None:
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        threads.shutdown(cancel_futures=True)
        del beside  # ends the workers, also where an error keeps this frame alive


def _server_of_workers() -> Event:
    """Start the process that workers are forked from; the event says that it has imported what they need."""
    ready = Event()

    def start() -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        first = context.Process(target=_nothing)
        first.start()
        first.join()
        ready.set()

    Thread(target=start, daemon=True).start()
    return ready


def _nothing() -> None:
    """What the first process does, which only shows that the next ones start at once."""


def _decode_here(batch: Batch, preprocessing: Preprocessing, pinned: bool) -> Decoded:
    found = decode(batch, preprocessing)
    return found._replace(pixels=found.pixels.pin_memory()) if pinned else found


def _loader(pictures: _Pictures, workers: int, pinned: bool) -> DataLoader:
    return DataLoader(
        pictures,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=BATCHES_AHEAD,
        pin_memory=pinned,
        multiprocessing_context=get_context("forkserver"),
        worker_init_fn=_end_with_parent,
        generator=torch.Generator(),  # of its own, for a loader draws a seed, also where nothing is drawn by it
    )


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
