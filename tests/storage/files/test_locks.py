"""One run at a time works on a dataset, and a run that died is in nobody's way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.files.locks import InUseError, dataset_lock, works_on

HOLD = """
import sys, time
from pathlib import Path
from storage.files.locks import dataset_lock
with dataset_lock(Path(sys.argv[1]), "toys", "run-1"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that works on `toys` in `run-1`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_ends_at_once_and_names_the_first(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    named = rf"run run-1 works on it \(process {holder.pid} on "
    with pytest.raises(InUseError, match=named), dataset_lock(tmp_path, "toys", "run-2"):
        pass


def test_the_name_of_the_first_stays_when_a_second_was_refused(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    for _ in range(2):
        with pytest.raises(InUseError, match="run run-1"), dataset_lock(tmp_path, "toys", "run-2"):
            pass


def test_another_dataset_is_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with dataset_lock(tmp_path, "books", "run-2") as mine:
        assert mine.pid == os.getpid()


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert works_on(tmp_path, "toys", "run-1")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not works_on(tmp_path, "toys", "run-1")
    with dataset_lock(tmp_path, "toys", "run-2"):
        assert not works_on(tmp_path, "toys", "run-1")


def test_a_run_that_never_began_works_on_nothing(tmp_path: Path) -> None:
    assert not works_on(tmp_path, "toys", "run-1")


def test_a_record_of_rubbish_keeps_nobody_off(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "toys.lock").write_bytes(b"\x7b}{ not json")
    with dataset_lock(tmp_path, "toys", "run-2"):
        assert works_on(tmp_path, "toys", "run-2")
