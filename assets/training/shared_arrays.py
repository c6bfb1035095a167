"""A value whose arrays many processes of this machine read from one copy in memory.

The arrays lie in a file that everybody maps. What joins them to the value goes from process to process and is never on
disk, so that nothing is unpickled that another could have written.
"""

import io
import mmap
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ALIGNMENT = 64  # bytes; where vector instructions like an array to begin


@dataclass(frozen=True)
class Placed:
    """Where the arrays of a value lie, and how the value is made of them again.

    Attributes:
        spans: the first byte of each array, and its bytes.
    """

    file: Path
    spans: tuple[tuple[int, int], ...]
    head: bytes


class _Pickler(pickle.Pickler):
    """Takes arrays out of what is pickled, tensors' too."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.device.type == "cpu" and not value.requires_grad:
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented


@contextmanager
def place_arrays(value: Any, folder: Path) -> Iterator[Placed]:
    """Put the arrays of a value into a file of `folder` as long as this lasts."""
    head, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(head, protocol=5, buffer_callback=buffers.append).dump(value)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="arrays-") as file:
        spans = []
        for buffer in buffers:
            raw = buffer.raw()
            file.seek(-file.tell() % ALIGNMENT, os.SEEK_CUR)
            spans.append((file.tell(), raw.nbytes))
            file.write(raw)
        file.write(b"\0")  # an empty file cannot be mapped
        file.flush()
        yield Placed(Path(file.name), tuple(spans), head.getvalue())


_READ: dict[Path, Any] = {}  # the value that was read last


def read_placed(placed: Placed) -> Any:
    """The value, its arrays read-only and shared with everybody who reads it."""
    if placed.file not in _READ:
        _READ.clear()
        with placed.file.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        arrays = [content[start : start + size] for start, size in placed.spans]
        _READ[placed.file] = pickle.loads(placed.head, buffers=arrays)
    return _READ[placed.file]
