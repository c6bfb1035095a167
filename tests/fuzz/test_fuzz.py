"""Nothing from outside raises what is not written down, and none of it is lost. `python -m tests.fuzz` asks more.

The inputs follow from the seed: whatever breaks something breaks it again.
"""

import warnings
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.pictures import Pictures, preprocessing
from tests.fuzz.readers import READERS
from tests.fuzz.search import BATCH, Target, search

INPUTS, SEED = 150, 7


@pytest.mark.parametrize("target", READERS, ids=lambda target: target.name)
def test_readers_hold_what_they_promise(target: Target, tmp_path: Path) -> None:
    assert [finding for _, finding in search(target, INPUTS, SEED, tmp_path) if finding] == []
    assert len(target.came_of_it) > 1  # some were sound and some were not


def test_the_decoding_of_pictures_holds_what_it_promises(tmp_path: Path) -> None:
    target = Pictures(preprocessing())
    with warnings.catch_warnings(action="ignore"):  # of decoders, about what they are given
        assert [finding for _, finding in search(target, INPUTS, SEED, tmp_path) if finding] == []
    assert target.came_of_it["usable"] > 10
    assert target.came_of_it["undecodable"] > 10


class Fragile:
    """Takes every input but one."""

    name = "fragile"

    def __init__(self) -> None:
        self.came_of_it: Counter[str] = Counter()

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        return [b"%d" % number for number in range(count)]

    def check(self, inputs: list[bytes], folder: Path) -> None:
        if b"167" in inputs:
            raise KeyError("167")


def test_the_search_finds_the_one_input_that_breaks_something(tmp_path: Path) -> None:
    found = list(search(Fragile(), BATCH + 100, 0, tmp_path))
    assert [inputs for inputs, _ in found] == [BATCH, 100]
    finding, nothing = (finding for _, finding in found)
    assert nothing is None
    assert finding is not None
    assert (finding.inputs, finding.error) == ([b"167"], "KeyError: '167'")
