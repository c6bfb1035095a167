"""When worker processes take over the decoding of pictures, for tests, and who it is that decodes."""

import os
import threading

import pytest

from models.encoders import pixels
from tests.models.photos import plain


def take_over_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let worker processes be ready for what is left when some batches have been given."""
    monkeypatch.setattr(pixels, "FEW_BATCHES", 0)
    monkeypatch.setattr(pixels, "_server_of_workers", lambda: _Later(batches))


class _Later(threading.Event):
    """An event that is there when it has been asked for some times."""

    def __init__(self, times: int):
        super().__init__()
        self.times = times

    def is_set(self) -> bool:
        self.times -= 1
        return self.times < 0


def signed() -> list[tuple[str, bytes]]:
    """A batch of one picture, whose key is the process that reads it."""
    return [(str(os.getpid()), plain("red"))]
