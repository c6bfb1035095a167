"""Trainings side by side: what comes of them does not depend on how many run at a time, in real worker processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.core.settings import ModelSettings
from assets.interactions.splits import TRAIN, VALIDATION, Parts, random_split
from assets.training.held_out import HeldOut
from assets.training.jobs import Job, Outcome, Shared, run_job
from assets.training.search import Study, plan_search
from assets.training.shared_arrays import place_arrays, read_placed
from assets.training.side_by_side import COPIES, PAIR_BYTES, Plan, run_here, run_plans, trainings_at_once
from models.config import RecommenderConfig, TrainerConfig
from models.errors import ModelError
from models.recommenders.fusion import Modality
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import Content, TrainSet
from models.training.successive_halving import Seen
from storage.environment import PROJECT_ROOT
from storage.errors import InputError

USERS, ITEMS = 60, 40
RECOMMENDER = RecommenderConfig(dim=8, item_encoder="gated", layers=2)
TRAINING = TrainerConfig(max_epochs=12, evaluate_every=2, batch_size=128, learning_rate=0.01)


def shared(users: int = USERS) -> Shared:
    """Half of all pairs of users and items of the same parity, with content that says the parity."""
    rng = np.random.default_rng(0)
    user, item = (side[np.random.default_rng(1).random(users * ITEMS // 2) < 0.5] for side in np.nonzero(
        (np.arange(users)[:, None] + np.arange(ITEMS)) % 2 == 0
    ))  # fmt: skip
    parts = Parts(user, item, random_split(user, 0), users, ITEMS)
    views = [
        Modality.of(
            rng.normal(size=(ITEMS, 5)).astype(np.float32) + np.arange(ITEMS)[:, None] % 2, np.ones(ITEMS, bool)
        )
        for _ in range(2)
    ]
    pairs = parts.pairs(TRAIN)
    data = TrainSet(*pairs, users, ITEMS, normalised_adjacency(*pairs, users, ITEMS), Content(*views))
    return Shared("gated_lightgcn", data, HeldOut.of(parts, VALIDATION))


def job(folder: Path, number: int, **training: object) -> Job:
    return Job(RECOMMENDER, TRAINING.model_copy(update={"seed": number, **training}), folder / f"{number}.safetensors")


def bits(outcome: Outcome) -> dict[str, bytes]:
    assert outcome.model is not None
    return {name: array.tobytes() for name, array in outcome.model.tensors.items()}


class TestPlans:
    def plan(self, folder: Path, name: str, said: list[tuple[str, list[float]]]) -> Plan[str]:
        """Two rounds of jobs; it writes down what it is sent."""
        for round_, seeds in enumerate(([0, 1, 2], [3])):
            outcomes = yield [job(folder, 10 * round_ + seed) for seed in seeds]
            said.append((name, [outcome.seen.value for outcome in outcomes]))
        return f"{name} has ended"

    def test_what_is_sent_stands_in_the_order_of_the_jobs_whichever_ends_first(self, tmp_path: Path) -> None:
        said: list[tuple[str, list[float]]] = []
        waiting: list[tuple[Job, Future[Outcome]]] = []

        def submit(job: Job) -> "Future[Outcome]":
            waiting.append((job, Future()))
            return waiting[-1][1]

        def end_the_last_first() -> None:
            while len(results) < 2:
                while waiting:
                    job, future = waiting.pop()
                    future.set_result(Outcome(Seen(job.training.seed / 10)))
                time.sleep(0.01)

        results: dict[str, str] = {}
        ending = threading.Thread(target=end_the_last_first, daemon=True)
        plans = {name: self.plan(tmp_path, name, said) for name in ("a", "b")}

        def run() -> Generator[None, None, None]:
            results.update((yield from run_plans(plans, submit)))

        going = run()
        ending.start()
        assert len(list(going)) == 8
        assert sorted(said) == [("a", [0.0, 0.1, 0.2]), ("a", [1.3]), ("b", [0.0, 0.1, 0.2]), ("b", [1.3])]
        assert results == {"a": "a has ended", "b": "b has ended"}
        assert list(results) == ["a", "b"]

    def test_a_plan_without_jobs_ends_at_once(self) -> None:
        def nothing() -> Plan[int]:
            return 7
            yield

        going = run_plans({"a": nothing()}, lambda job: pytest.fail("nothing was asked for"))
        with pytest.raises(StopIteration) as end:
            next(going)
        assert end.value.value == {"a": 7}


def search_with(folder: Path, at_once: int, given: Shared) -> Study:
    config = ModelSettings.model_validate(
        {"tuning_trials": 5, "max_epochs": 12, "evaluate_every": 2, "batch_size": 128, "dim": 8}
    )
    *_, found = run_here(
        lambda: {"bpr": plan_search(config, given.model, "bpr", folder)}, given, at_once, folder / "arrays"
    )
    assert found is not None
    study, best = found["bpr"]
    last = [trial.number for trial in study.trials if trial.ended == "complete"]
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [f"bpr-trial-{n}.safetensors" for n in last]
    assert best.name == f"bpr-trial-{study.best.number}.safetensors"
    return study


@pytest.mark.process
def test_a_search_finds_the_same_however_many_of_its_trainings_run_at_a_time(tmp_path: Path) -> None:
    given = shared()
    alone, together = (search_with(tmp_path / str(at_once), at_once, given) for at_once in (1, 2))
    assert list(alone.rows()) == list(together.rows())
    assert {trial.ended for trial in alone.trials} == {"complete", "worse"}
    assert len({trial.value for trial in alone.trials}) > 2


@pytest.mark.process
def test_workers_give_the_bits_that_this_process_gives(tmp_path: Path) -> None:
    given = shared()

    def both(folder: Path) -> Plan[list[Outcome]]:
        return (yield [job(folder, number) for number in range(3)])

    *_, found = run_here(lambda: {"all": both(tmp_path / "two")}, given, 2, tmp_path / "arrays")
    assert found is not None
    for number, outcome in enumerate(found["all"]):
        assert bits(outcome) == bits(run_job(given, job(tmp_path / "one", number)))
    assert not list((tmp_path / "arrays").iterdir())


def test_a_training_that_goes_on_at_each_rung_is_one_that_was_never_interrupted(tmp_path: Path) -> None:
    given = shared()
    for epochs in (4, 8):
        seen = run_job(given, replace(job(tmp_path, 0, max_epochs=epochs), is_trial=True)).seen
        assert seen.epochs == epochs
    in_steps = run_job(given, job(tmp_path, 0))
    whole = run_job(given, job(tmp_path / "whole", 0))
    assert bits(in_steps) == bits(whole)
    assert in_steps.model is not None
    assert whole.model is not None
    assert in_steps.model.config["validation_curve"] == whole.model.config["validation_curve"]
    assert in_steps.seen.epochs == whole.seen.epochs


def test_a_training_that_is_done_is_not_trained_again(tmp_path: Path) -> None:
    given, epochs = shared(), []
    run_job(given, job(tmp_path, 0), lambda: epochs.append(1))
    trained = len(epochs)
    run_job(given, job(tmp_path, 0), lambda: epochs.append(1))
    assert len(epochs) == trained > 0


def test_arrays_are_read_only_and_of_one_copy(tmp_path: Path) -> None:
    given = shared()
    with place_arrays(given, tmp_path) as placed:
        found = read_placed(placed)
        assert read_placed(placed) is found
        arrays = [found.data.user, found.data.adjacency.data, found.validation.train.indices]
        for array, before in zip(
            arrays, (given.data.user, given.data.adjacency.data, given.validation.train.indices), strict=True
        ):
            np.testing.assert_array_equal(array, before)
            assert not array.flags.writeable
        np.testing.assert_array_equal(
            found.data.content.visual.features.numpy(), given.data.content.visual.features.numpy()
        )
        assert len(placed.head) < 6000  # all that is large lies in the file
    assert not list(tmp_path.iterdir())


GIBI = 2**30


@pytest.mark.parametrize(
    ("asked", "threads", "free", "expected"),
    [
        (None, 1, 100 * GIBI, 8),
        (None, 2, 100 * GIBI, 4),
        (None, 16, 100 * GIBI, 1),
        (3, 1, 100 * GIBI, 3),
        # 12 copies of 100 vectors of 64 numbers, and 56 bytes a pair: so many bytes a training.
        (None, 1, 3 * (COPIES * 100 * 64 * 4 + PAIR_BYTES * 1200) + 5, 3),
        (None, 1, 1, 1),
    ],
)
def test_as_many_run_at_a_time_as_there_are_processors_and_memory_for(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, threads: int, free: int, expected: int
) -> None:
    monkeypatch.setattr("assets.training.side_by_side.cores", lambda: 8)
    monkeypatch.setattr("assets.training.side_by_side.available_bytes", lambda: free)
    pairs = np.zeros(1200, np.int64)
    assert trainings_at_once(asked, "cpu", threads, 64, TrainSet(pairs, pairs, 60, 40)) == expected


# Trains for long in two workers, and says by a file that they have begun.
ENDLESS = """
import sys
from pathlib import Path
from tests.assets.training.test_side_by_side import endless
endless(Path(sys.argv[1]))
"""


def plan_endless(folder: Path) -> Plan[list[Outcome]]:
    jobs = [job(folder, number, max_epochs=10**6, patience=10**6, evaluate_every=1) for number in range(2)]
    return (yield jobs)


def endless(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs beside itself
    list(run_here(lambda: {"all": plan_endless(folder)}, shared(), 2, folder / "arrays"))


def workers_of(folder: Path) -> list[int]:
    """The processes that map the arrays below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (process / "maps").read_text():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, "it did not come in time"
        time.sleep(0.1)


@pytest.mark.process
@pytest.mark.parametrize("signal_sent", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_process_that_has_begun_them(tmp_path: Path, signal_sent: signal.Signals) -> None:
    command = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(list(tmp_path.glob("*.safetensors"))) == 2, 300)
        assert len(workers_of(tmp_path / "arrays")) == 2
        process.send_signal(signal_sent)
        assert process.wait(120) != 0
        wait_until(lambda: not workers_of(tmp_path / "arrays"))
    finally:
        process.kill()


@pytest.mark.process
def test_a_worker_that_is_killed_is_one_sentence_and_the_next_ones_are_new(tmp_path: Path) -> None:
    given = shared()

    def kill_one() -> None:
        wait_until(lambda: len(list(tmp_path.glob("*.safetensors"))) == 2, 300)
        os.kill(next(pid for pid in workers_of(tmp_path / "arrays") if pid != os.getpid()), signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with pytest.raises(ModelError, match=r"a process that trained was killed.* trainings_at_once below 2 takes less"):
        list(run_here(lambda: {"all": plan_endless(tmp_path)}, given, 2, tmp_path / "arrays"))
    killer.join()
    wait_until(lambda: not workers_of(tmp_path / "arrays"))
    study = search_with(tmp_path / "after", 2, given)
    assert len(study.trials) == 5


@pytest.mark.process
def test_what_cannot_be_written_is_said_by_the_worker_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    def plan() -> Plan[list[Outcome]]:
        return (yield [job(tmp_path / "file" / "in", 0)])

    with pytest.raises((InputError, OSError), match="file"):
        list(run_here(lambda: {"all": plan()}, shared(), 2, tmp_path / "arrays"))
