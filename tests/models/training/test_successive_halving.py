"""The search for hyper-parameters, with training played by functions, and what is searched for each model."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from models.config import LOSSES, Loss, RecommenderConfig, TrainerConfig
from models.errors import ModelError
from models.model_spec import BEST_MODEL, LEARNED
from models.training.search_spaces import STARTS, Between, OneOf, Space, space_of
from models.training.successive_halving import Budget, Seen, Trial, best_of, search

Values = dict[str, Any]
Train = Callable[[Values, int], Seen]
SPACE: Space = {"rate": Between(1e-3, 1e-1), "kind": OneOf(("a", "b", "c")), "number": OneOf(tuple(range(9)))}
NUMBERED = tuple({"number": number} for number in range(9))


def searched(
    train: Train,
    trials: int,
    starts: Sequence[Values] = NUMBERED,
    epochs: tuple[int, int] = (5, 100),
    seed: int = 0,
    space: Space = SPACE,
) -> list[Trial]:
    """What a search finds whose trainings are played by a function of values and epochs."""
    rungs = search(space, starts, Budget(trials, *epochs), seed)
    asked = next(rungs)
    while True:
        try:
            asked = rungs.send([train(trial.values, wanted) for trial, wanted in asked])
        except StopIteration as end:
            return end.value


def constant(values: Values, epochs: int) -> Seen:
    return Seen(0.5, epochs, 1.0)


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
    assert [trial.number for trial in found] == list(range(trials))


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
    assert list(Budget(trials, *epochs).rungs()) == rungs


def test_the_worse_at_a_rung_end_there_with_what_they_showed() -> None:
    shown: dict[int, dict[int, float]] = {
        5: {0: 0.1, 1: 0.5, 2: 0.2, 3: 0.6, 4: 0.3, 5: 0.05, 6: 0.4},
        15: {3: 0.6, 1: 0.9, 6: 0.7},
        45: {1: 0.95},
    }
    calls = []

    def train(values: Values, epochs: int) -> Seen:
        calls.append((values["number"], epochs))
        return Seen(shown[epochs][values["number"]], epochs - 1, epochs / 10)

    trials = searched(train, 7, epochs=(5, 45))
    assert calls == [*((number, 5) for number in range(7)), (3, 15), (1, 15), (6, 15), (1, 45)]
    assert [(trial.values["number"], trial.value, trial.epochs, trial.seconds, trial.ended) for trial in trials] == [
        (0, 0.1, 4, 0.5, "worse"),
        (1, 0.95, 44, 4.5, "complete"),
        (2, 0.2, 4, 0.5, "worse"),
        (3, 0.6, 14, 1.5, "worse"),
        (4, 0.3, 4, 0.5, "worse"),
        (5, 0.05, 4, 0.5, "worse"),
        (6, 0.7, 14, 1.5, "worse"),
    ]
    assert best_of(trials) is trials[1]


def test_a_trial_that_breaks_down_has_failed_and_the_search_goes_on() -> None:
    calls = []

    def train(values: Values, epochs: int) -> Seen:
        calls.append((values["number"], epochs))
        if values["number"] in (0, 3):
            return Seen(error="a score is not finite")
        return Seen(values["number"] / 10, epochs, 1.0)

    trials = searched(train, 5, epochs=(5, 15))
    assert calls == [(0, 5), (1, 5), (2, 5), (3, 5), (4, 5), (4, 15), (2, 15)]
    assert [(trial.value, trial.ended, trial.error) for trial in trials] == [
        (0.0, "failed", "a score is not finite"),
        (0.1, "worse", ""),
        (0.2, "complete", ""),
        (0.0, "failed", "a score is not finite"),
        (0.4, "complete", ""),
    ]


def test_where_the_last_ones_break_down_the_best_of_the_others_is_chosen() -> None:
    def train(values: Values, epochs: int) -> Seen:
        return Seen(values["number"] / 10, epochs) if epochs == 5 else Seen(error="a score is not finite")

    trials = searched(train, 5, epochs=(5, 15))
    assert [trial.ended for trial in trials] == ["worse", "worse", "worse", "failed", "failed"]
    assert best_of(trials) is trials[2]


def test_a_search_in_which_all_have_failed_finds_nothing() -> None:
    with pytest.raises(ModelError, match="came to a look at validation: a score is not finite"):
        searched(lambda values, epochs: Seen(error="a score is not finite"), 3)


def test_where_all_show_nothing_the_first_is_chosen() -> None:
    trials = searched(lambda values, epochs: Seen(0.0, epochs), 3)
    assert best_of(trials) is trials[0]


def test_where_nothing_is_free_one_trial_is_enough() -> None:
    trials = searched(constant, 5, epochs=(5, 100), space={})
    assert [(trial.values, trial.epochs, trial.ended) for trial in trials] == [({}, 100, "complete")]


def test_the_best_is_the_earliest_of_equals() -> None:
    trials = [Trial(n, {}, value) for n, value in enumerate((0.1, 0.3, 0.3, 0.2))]
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
