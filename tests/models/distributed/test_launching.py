"""A group is begun by one process, and ends for all when it ends for one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import multiprocessing

from models.distributed.launching import start_processes
from models.distributed.process_group import ProcessGroup
from models.errors import ModelError
from models.training.single_process import SingleProcess
from tests.models.teams import CASES, Case, begun, run


def endless(group: ProcessGroup, folder: Path) -> tuple[str, float]:
    """Train until it fails; what it said, and when that was after rank 1 was gone."""
    (folder / str(group.rank)).write_text(str(os.getpid()))
    with pytest.raises(ModelError) as error:
        run(CASES["lightgcn, BPR"], group, max_epochs=10**6, evaluate_every=10**6, dim=24)
    return str(error.value), time.time()


pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        (signal.SIGKILL, 2),
        pytest.param(signal.SIGKILL, 4, marks=pytest.mark.long),
        pytest.param(signal.SIGSTOP, 3, marks=pytest.mark.long),
    ],
)
def test_a_process_that_dies_or_hangs_ends_the_others_with_one_sentence(
    fault: signal.Signals, size: int, tmp_path: Path
) -> None:
    patience_s = 5.0
    members, queue = begun(tmp_path, size, endless, tmp_path, timeout_s=patience_s)
    try:
        while not all((tmp_path / str(rank_)).exists() for rank_ in range(size)):
            time.sleep(0.1)
        time.sleep(1)
        os.kill(int((tmp_path / "1").read_text()), fault)
        struck = time.time()
        for _ in range(size - 1):
            rank_, (message, when) = queue.get(timeout=60)
            assert (
                message == f"process {rank_} of the {size} that share a training lost another: it ended or fell silent"
            )
            assert 0 < when - struck < 4 * patience_s
    finally:
        for member in members:
            member.kill()
            member.join()


def test_a_process_begins_the_others_by_itself_and_they_end_with_it() -> None:
    case = CASES["gate, softmax, both"]
    with start_processes(2, helping, case) as group:
        found = run(case, group)
        names = {process.name for process in multiprocessing.active_children()}
        assert len(names) == 1
    assert not multiprocessing.active_children()
    for name, weight in run(case)["weights"].items():
        np.testing.assert_allclose(found["weights"][name], weight, rtol=0, atol=1e-5, err_msg=name)


def helping(group: SingleProcess, case: Case) -> None:
    run(case, group)


class Deadly:
    """Ends the process that unpacks it."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


def test_a_process_that_cannot_begin_is_told_at_once() -> None:
    with (
        pytest.raises(ModelError, match=r"^process 1 of the 2 that were to share a training ended at once$"),
        start_processes(2, helping, Deadly()),
    ):
        pytest.fail("nothing is trained by half a group")


def test_processes_that_do_not_meet_are_told(tmp_path: Path) -> None:
    # By itself: of a group that came to nothing torch keeps the count, and the next one would have another name.
    store = (tmp_path / "store").as_uri()
    script = (
        "from models.distributed.launching import join_processes\n"
        f"with join_processes({store!r}, 0, 2, timeout_s=1): pass"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    told = "models.errors.LostProcessError: the processes that were to share a training did not all meet within 1 s"
    assert done.stderr.splitlines()[-1] == told


def failing(group: SingleProcess) -> None:
    raise ModelError("the helper has had enough")


def test_a_helper_that_fails_fails_the_team(capfd: pytest.CaptureFixture[str]) -> None:
    # While they train, or while they still meet: the helper fails as soon as it has met all itself.
    with pytest.raises(ModelError, match="lost another"), start_processes(2, failing) as group:
        run(CASES["lightgcn, BPR"], group)
    assert "the helper has had enough" in capfd.readouterr().err
