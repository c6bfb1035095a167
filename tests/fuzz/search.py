"""Runs inputs against what must hold, many at a time, and finds the one that breaks it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

BATCH = 500
SHOWN_BYTES = 300


class Target(Protocol):
    """Something that takes inputs from outside.

    Attributes:
        came_of_it: how often inputs ended in each way; without some of each a run says little.
    """

    name: str
    came_of_it: Counter[str]

    def inputs(self, draw: Random, count: int) -> list[bytes]: ...

    def check(self, inputs: list[bytes], folder: Path) -> None:
        """Raise if anything does not hold that must."""


@dataclass(frozen=True)
class Finding:
    """The fewest inputs of a batch that break something, and how."""

    target: str
    error: str
    inputs: list[bytes]

    def shown(self) -> dict[str, object]:
        return {"target": self.target, "error": self.error, "inputs": [repr(one[:SHOWN_BYTES]) for one in self.inputs]}


def search(target: Target, count: int, seed: int, folder: Path) -> Iterator[tuple[int, Finding | None]]:
    """Yield after every batch how many inputs it had, and what it found."""
    for start in range(0, count, BATCH):
        draw = Random(f"{seed} {target.name} {start}")
        batch = target.inputs(draw, min(BATCH, count - start))
        error = broken(target, batch, folder)
        yield len(batch), error and least(target, batch, folder)


def broken(target: Target, inputs: list[bytes], folder: Path) -> Finding | None:
    try:
        target.check(inputs, folder)
    except Exception as error:
        return Finding(target.name, f"{type(error).__name__}: {error}"[:500], inputs)
    return None


def least(target: Target, inputs: list[bytes], folder: Path) -> Finding:
    """Halve inputs as long as a half of them breaks something by itself."""
    while len(inputs) > 1:
        middle = len(inputs) // 2
        halves = (inputs[:middle], inputs[middle:])
        smaller = next((half for half in halves if broken(target, half, folder)), None)
        if smaller is None:
            break
        inputs = smaller
    found = broken(target, inputs, folder)
    assert found is not None
    return found
