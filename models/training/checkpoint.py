"""The state of a training between two processes."""

from typing import Protocol

import numpy as np

State = dict[str, np.ndarray]


class Checkpoint(Protocol):
    """Where the state of one training is kept between two processes."""

    def load(self) -> tuple[State, str] | None:
        """What was saved last, if anything."""
        ...

    def save(self, arrays: State, facts: str) -> None:
        """Keep this in place of what was saved before, whole or not at all."""
        ...
