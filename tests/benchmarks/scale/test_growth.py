"""How growth is measured, and on what."""

import numpy as np
import pytest

from benchmarks.resource_usage import Cost, exponent, in_own_process, median_cost, resident_mb
from benchmarks.scale.growth import grown
from benchmarks.scale.stages import Stage, lightgcn, seconds_of_steps
from benchmarks.scale.synthetic import power_law_pairs
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import TrainSet


def test_a_known_exponent_is_found_again() -> None:
    sizes = [10, 40, 160]
    assert exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [7, 7, 7]) == pytest.approx(0)
    # Of logarithms 0, 1, 3 at 0, 1, 2 the best slope is 3/2.
    assert exponent([1, 10, 100], [1, 10, 1000]) == pytest.approx(1.5)


def test_medians_are_taken_part_by_part() -> None:
    assert median_cost([Cost(1, 9, 5), Cost(2, 7, 4), Cost(9, 8, 6)]) == Cost(2, 8, 5)


def test_pairs_have_the_counts_asked_for() -> None:
    user, item = power_law_pairs(50_000, users=5_000, items=750, seed=3)
    assert (user.dtype, item.dtype) == (np.int32, np.int32)
    assert len(set(zip(user.tolist(), item.tolist(), strict=True))) == 50_000
    assert set(user.tolist()) == set(range(5_000))
    assert set(item.tolist()) == set(range(750))
    again = power_law_pairs(50_000, users=5_000, items=750, seed=3)
    np.testing.assert_array_equal(np.stack([user, item]), np.stack(again))
    with pytest.raises(ValueError, match="too few or too many"):
        power_law_pairs(900, users=500, items=500)


def test_degrees_fall_as_a_power_of_the_rank() -> None:
    user, _ = power_law_pairs(400_000, users=40_000, items=6_000)
    degree = np.sort(np.bincount(user))[::-1]
    # Density x^(1/2.2 − 1), from the 20th user, where draws repeat pairs no longer, to the 2,000th.
    ranks = np.geomspace(20, 2_000, 30).astype(int)
    assert exponent(ranks.tolist(), degree[ranks].tolist()) == pytest.approx(1 / 2.2 - 1, abs=0.06)
    # A fifth of the users has 0.2^(1/2.2) of the 354,000 drawn by the law, and a fifth of the rest, drawn evenly.
    assert degree[:8_000].sum() == pytest.approx(354_000 * 0.2 ** (1 / 2.2) + 46_000 * 0.2, rel=0.05)


def hungry(megabytes: int) -> float:
    before = resident_mb()
    held = np.ones(megabytes * 2**17)
    assert held.all()
    del held
    return resident_mb("VmHWM") - before


@pytest.mark.process
def test_the_peak_of_a_process_is_its_own() -> None:
    held = np.ones(300 * 2**17)  # a child does not begin with what its parent holds
    assert in_own_process(hungry, 50) == pytest.approx(50, abs=25)
    assert held.all()


def make_nothing(size: int, folder: object) -> None:
    del size, folder


def measure_nothing(folder: object) -> np.ndarray:
    held = np.ones(2**20)
    assert held.all() and folder
    return np.array([2.0, 1.0])


@pytest.mark.process
def test_a_stage_of_constant_cost_does_not_grow(capsys: pytest.CaptureFixture[str]) -> None:
    found = grown(Stage("idle", "things", 10, make_nothing, measure_nothing, lambda size: size**2), (1, 4), 1)
    assert (found["sizes"], found["seconds"], found["cpu_seconds"]) == ([10, 40], [2.0, 2.0], [1.0, 1.0])
    assert found["exponent_time"] == pytest.approx(0)
    assert found["cpu_seconds_a_million_scores"] == 625  # 1 s for the 1,600 scores of the larger size
    assert "idle" in capsys.readouterr().out


def test_steps_are_those_of_the_trainer() -> None:
    user, item = power_law_pairs(20_000, users=2_000, items=300)
    data = TrainSet(user, item, 2_000, 300, normalised_adjacency(user, item, 2_000, 300))
    assert (seconds_of_steps(*lightgcn(1), data, 3) > 0).all()
    assert seconds_of_steps(*lightgcn(1), data, 3).shape == (3, 2)
