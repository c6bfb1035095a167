"""The search for hyper-parameters, with training played by functions, and what is searched for each model."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from models.config import LOSSES, Loss, RecommenderConfig, TrainerConfig
from models.errors import ModelError
from models.model_spec import BEST_MODEL, LEARNED
from models.training.search_spaces import STARTS, Between, OneOf, Space, space_of
from models.training.successive_halving import Budget, Trial, best_of, search

Values = dict[str, Any]
Look = Callable[[int, float], None]
Run = Callable[[Values, int, Look], None]
SPACE: Space = {"rate": Between(1e-3, 1e-1), "kind": OneOf(("a", "b", "c")), "number": OneOf(tuple(range(9)))}
NUMBERED = tuple({"number": number} for number in range(9))
HOUR = 3600.0


def searched(
    run: Run,
    trials: int,
    starts: Sequence[Values] = NUMBERED,
    epochs: tuple[int, int] = (5, 100),
    seconds: float = HOUR,
    seed: int = 0,
) -> list[Trial]:
    return search(SPACE, starts, Budget(trials, seconds, *epochs), seed, run)


def constant(values: Values, epochs: int, look: Look) -> None:
    """A training that shows the same at its only look."""
    look(epochs, 0.5)


def inside(value: Any, options: Between | OneOf) -> bool:
    match options:
        case Between(low, high):
            return isinstance(value, float) and low <= value <= high
        case OneOf(values):
            return value in values


def test_starts_come_first_and_lose_what_is_not_searched() -> None:
    starts: list[Values] = [
        {"rate": 0.02, "kind": "c", "number": 2},
        {"rate": 0.005, "temperature": 0.2},
        {"kind": "b"},
    ]
    trials = searched(constant, 6, starts)
    assert trials[0].values == starts[0]
    assert trials[1].values["rate"] == 0.005
    assert trials[2].values["kind"] == "b"
    for trial in trials:
        assert trial.values.keys() == SPACE.keys()
        assert all(inside(trial.values[name], options) for name, options in SPACE.items())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_drawn_covers_every_range_evenly(seed: int) -> None:
    trials = searched(constant, 17, [{"rate": 0.01, "kind": "a", "number": 0}], seed=seed)
    drawn = [trial.values for trial in trials[1:]]
    # 16 points of a Sobol sequence: one in each 16th of a range, which is divided by the logarithm, and so 5 or 6 in
    # each third of it.
    assert sorted(math.floor(16 * math.log(values["rate"] / 1e-3, 100)) for values in drawn) == list(range(16))
    assert sorted(sum(values["kind"] == kind for values in drawn) for kind in "abc") == [5, 5, 6]
    assert all(inside(values[name], options) for values in drawn for name, options in SPACE.items())


@pytest.mark.parametrize("trials", [1, 2, 5])
def test_there_are_as_many_trials_as_the_budget_says_and_a_start_is_one_of_them(trials: int) -> None:
    found = searched(constant, trials, [{"rate": 0.01}, {"rate": 0.02}, {"rate": 0.03}])
    assert len(found) == trials
    assert [trial.values["rate"] for trial in found[:3]] == [0.01, 0.02, 0.03][:trials]


def test_the_same_seed_proposes_the_same_trials() -> None:
    first, second, other = ([trial.values for trial in searched(constant, 12, [], seed=seed)] for seed in (4, 4, 5))
    assert first == second
    assert not any(values in other for values in first)


@pytest.mark.parametrize(
    ("trials", "epochs", "rungs"),
    [
        (20, (5, 300), [(20, 5), (7, 15), (3, 45), (1, 300)]),
        (9, (5, 12), [(9, 5), (3, 12)]),
        (2, (5, 300), [(2, 300)]),
        (30, (50, 20), [(30, 20)]),
    ],
)
def test_a_third_of_the_configurations_is_trained_three_times_as_long(
    trials: int, epochs: tuple[int, int], rungs: list[tuple[int, int]]
) -> None:
    assert list(Budget(trials, HOUR, *epochs).rungs()) == rungs


def test_the_worse_at_a_rung_end_there_with_the_best_that_they_showed() -> None:
    shown: dict[int, dict[int, float]] = {
        5: {0: 0.1, 1: 0.5, 2: 0.2, 3: 0.6, 4: 0.3, 5: 0.05, 6: 0.4},
        15: {3: 0.3, 1: 0.9, 6: 0.7},  # what was the best gets worse
        45: {1: 0.8},
    }
    calls = []

    def run(values: Values, epochs: int, look: Look) -> None:
        calls.append((values["number"], epochs))
        look(epochs - 2, 0.01)
        look(epochs - 1, shown[epochs][values["number"]])
        look(epochs, 0.02)

    trials = searched(run, 7, epochs=(5, 45))
    assert calls == [*((number, 5) for number in range(7)), (3, 15), (1, 15), (6, 15), (1, 45)]
    assert [(trial.values["number"], trial.value, trial.epochs, trial.ended) for trial in trials] == [
        (0, 0.1, 5, "worse"),
        (1, 0.9, 45, "complete"),
        (2, 0.2, 5, "worse"),
        (3, 0.6, 15, "worse"),
        (4, 0.3, 5, "worse"),
        (5, 0.05, 5, "worse"),
        (6, 0.7, 15, "worse"),
    ]
    assert best_of(trials) is trials[1]


class Clock:
    """A clock that stands still until it is moved, in place of `time` as the search sees it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def by_the_clock(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Trainings that take 10 seconds for 5 epochs, and then look; they show 1000 · number + epoch."""
    clock = Clock()
    monkeypatch.setattr("models.training.successive_halving.time", clock)

    def run(values: Values, epochs: int, look: Look) -> None:
        for epoch in range(5, epochs + 1, 5):
            clock.now += 10
            look(epoch, 1000 * values["number"] + epoch)

    return run


def facts(trials: Sequence[Trial]) -> list[tuple[float, float, str]]:
    return [(trial.value, trial.seconds, trial.ended) for trial in trials]


def test_seconds_are_those_of_all_rungs(by_the_clock: Run) -> None:
    expected = [(5, 10, "worse"), (1005, 10, "worse"), (2015, 40, "complete"), (3015, 40, "complete")]
    assert facts(searched(by_the_clock, 4, epochs=(5, 15), seconds=100)) == expected


def test_each_rung_has_its_part_of_the_seconds(by_the_clock: Run) -> None:
    # Until 60 s seven are begun, the last one at 60 s; until 120 s two of the best three, the second one at 100 s; from
    # 130 s on the best is trained until its first look after 180 s, that at 30 epochs.
    trials = searched(by_the_clock, 9, epochs=(5, 45), seconds=180)
    assert facts(trials) == [
        *((1000 * number + 5, 10, "worse") for number in range(4)),
        (4005, 10, "time"),
        (5015, 40, "worse"),
        (6030, 100, "time"),
    ]


def test_the_clock_ends_a_training_at_its_next_look(by_the_clock: Run) -> None:
    trials = searched(by_the_clock, 4, epochs=(5, 15), seconds=45)
    assert facts(trials) == [(5, 10, "worse"), (1005, 10, "time"), (2010, 30, "time")]
    assert [trial.epochs for trial in trials] == [5, 5, 10]


def test_a_training_that_ends_when_the_clock_does_is_complete(by_the_clock: Run) -> None:
    expected = [(5, 10, "worse"), (1005, 10, "time"), (2015, 40, "complete")]
    assert facts(searched(by_the_clock, 4, epochs=(5, 15), seconds=55)) == expected


def test_no_training_is_begun_when_the_time_ran_out_between_two(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = Clock(), []
    monkeypatch.setattr("models.training.successive_halving.time", clock)

    def run(values: Values, epochs: int, look: Look) -> None:
        calls.append((values["number"], epochs))
        look(epochs, 0.5)
        clock.now += 10

    assert facts(searched(run, 4, seconds=15)) == [(0.5, 20, "complete")]
    assert calls == [(0, 5), (0, 100)]


def test_a_trial_that_was_not_begun_is_none(by_the_clock: Run) -> None:
    assert facts(searched(by_the_clock, 4, seconds=35)) == [(5, 10, "time"), (1010, 30, "time")]


def test_where_no_time_is_left_for_a_rung_the_best_before_it_is_the_best(by_the_clock: Run) -> None:
    trials = searched(by_the_clock, 9, epochs=(5, 45), seconds=5)
    assert facts(trials) == [(5, 10, "time")]
    assert best_of(trials) is trials[0]


def test_a_trial_that_breaks_down_has_failed_and_the_search_goes_on() -> None:
    calls = []

    def run(values: Values, epochs: int, look: Look) -> None:
        calls.append((values["number"], epochs))
        if values["number"] in (0, 3):
            raise ModelError("a score is not finite")
        look(epochs, values["number"] / 10)

    trials = searched(run, 5, epochs=(5, 15))
    assert calls == [(0, 5), (1, 5), (2, 5), (3, 5), (4, 5), (4, 15), (2, 15)]
    assert [(trial.value, trial.ended) for trial in trials] == [
        (0.0, "failed"),
        (0.1, "worse"),
        (0.2, "complete"),
        (0.0, "failed"),
        (0.4, "complete"),
    ]


def test_a_search_in_which_all_have_failed_finds_nothing() -> None:
    def run(values: Values, epochs: int, look: Look) -> None:
        raise ModelError("a score is not finite")

    with pytest.raises(ModelError, match="no look at validation: a score is not finite"):
        searched(run, 3)
    with pytest.raises(ModelError, match="raise 'tuning_seconds'"):
        searched(lambda values, epochs, look: None, 3)


def test_where_all_show_nothing_the_first_is_chosen() -> None:
    trials = searched(lambda values, epochs, look: look(epochs, 0.0), 3)
    assert best_of(trials) is trials[0]


def test_where_nothing_is_free_one_trial_is_enough() -> None:
    trials = search({}, NUMBERED, Budget(5, HOUR, 5, 100), 0, constant)
    assert [(trial.values, trial.epochs, trial.ended) for trial in trials] == [({}, 100, "complete")]


def test_a_trial_that_showed_much_before_it_broke_down_is_not_chosen() -> None:
    def run(values: Values, epochs: int, look: Look) -> None:
        look(epochs, 0.9 if values["number"] == 1 else 0.2)
        if values["number"] == 1:
            raise ModelError("a score is not finite")

    trials = searched(run, 3)
    assert (trials[1].value, trials[1].ended, trials[1].error) == (0.9, "failed", "a score is not finite")
    assert best_of(trials) is trials[0]


def test_an_error_in_the_code_is_not_a_trial_that_failed() -> None:
    def run(values: Values, epochs: int, look: Look) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        searched(run, 3)


def test_the_best_is_the_earliest_of_equals() -> None:
    trials = [Trial({}, value) for value in (0.1, 0.3, 0.3, 0.2)]
    assert best_of(trials) is trials[1]


EVERYWHERE = {"learning_rate", "l2", "initial_std", "score"}
OF_SOFTMAX = {"temperature", "softmax_negatives", "logq_weight"}
OF_ITEM_GRAPH = {"item_graph_layers", "knn_k", "visual_weight"}


@pytest.mark.parametrize("model", LEARNED)
def test_a_space_holds_what_the_name_and_the_loss_leave_open(model: str) -> None:
    expected = {
        "lightgcn": EVERYWHERE | {"layers"},
        "gated_lightgcn_plus": EVERYWHERE | {"layers"} | OF_ITEM_GRAPH,
    }.get(model, EVERYWHERE)
    assert space_of(model, "bpr").keys() == expected
    assert space_of(model, "softmax").keys() == expected | OF_SOFTMAX
    assert not expected & LEARNED[model].fixed.keys()


@pytest.mark.parametrize("loss", LOSSES)
def test_asking_for_one_space_leaves_the_next_as_it_was(loss: Loss) -> None:
    before = space_of("bpr_mf", loss)
    space_of("gated_lightgcn_plus", "softmax")["dim"] = OneOf((8,))
    assert space_of("bpr_mf", loss) == before


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", LEARNED)
def test_all_that_may_be_tried_is_a_valid_setting(model: str, loss: Loss) -> None:
    for name, options in space_of(model, loss).items():
        (config,) = (kind for kind in (RecommenderConfig, TrainerConfig) if name in kind.model_fields)
        for value in options.values if isinstance(options, OneOf) else (options.low, options.high):
            assert getattr(config(**{name: value}), name) == value


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", LEARNED)
def test_every_start_lies_in_every_space(model: str, loss: Loss) -> None:
    space = space_of(model, loss)
    assert STARTS[loss]
    for start in STARTS[loss]:
        assert start.keys() <= space_of(BEST_MODEL, loss).keys()  # others ignore what they do not have
        for name in start.keys() & space.keys():
            assert inside(start[name], space[name]), name
