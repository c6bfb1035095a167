"""Locks of the operating system, which end with their process: above all, one run at a time works on a dataset."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pydantic

from storage.errors import InputError
from storage.files.disk_errors import explain_disk_errors

GLANCE_S = 0.1  # `works_on` holds a lock for less than this


class Holder(pydantic.BaseModel):
    """The run that works on a dataset, and the process that it is."""

    run: str
    host: str
    pid: int

    @classmethod
    def here(cls, run: str) -> "Holder":
        """A run in this process."""
        return cls(run=run, host=socket.gethostname(), pid=os.getpid())


class InUseError(InputError):
    """Another run works on the dataset."""


@contextmanager
def dataset_lock(work: Path, dataset: str, run: str) -> Iterator[Holder]:
    """Keep other runs off a dataset for as long as this lasts, or this process lives.

    Raises:
        InUseError: another run works on it, on this machine or on one that shares its work folder. It is not waited
            for.
        InputError: the disk refuses the file of the lock.
    """
    with lock_file(_path(work, dataset)) as file:
        if not _taken_soon(file):
            raise InUseError(_in_use(_holder(file)))
        holder = Holder.here(run)
        with explain_disk_errors(Path(file.name)):
            file.seek(0)
            file.truncate()
            file.write(holder.model_dump_json())
            file.flush()
        yield holder


def works_on(work: Path, dataset: str, run: str) -> bool:
    """Whether a process lives that works on a dataset in this run."""
    with lock_file(_path(work, dataset)) as file:
        holder = _holder(file)
        return holder is not None and holder.run == run and not _taken(file)


@contextmanager
def lock_file(path: Path) -> Iterator[IO[str]]:
    """The open file of a lock, which ends with it.

    The file stays when the lock goes: to delete it would let two processes lock two files of one name.

    Raises:
        InputError: the disk refuses it.
    """
    with explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        yield file


def _path(work: Path, dataset: str) -> Path:
    return work / "runs" / f"{dataset}.lock"


def _taken(file: IO[str]) -> bool:
    """Take the lock, or say that another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken_soon(file: IO[str]) -> bool:
    """Take the lock, even if somebody only looks whether it is held."""
    for _ in range(5):
        if _taken(file):
            return True
        time.sleep(GLANCE_S)
    return False


def _holder(file: IO[str]) -> Holder | None:
    file.seek(0)
    try:
        return Holder.model_validate_json(file.read())
    except pydantic.ValidationError:  # nobody yet, or it is being written at this moment
        return None


def _in_use(holder: Holder | None) -> str:
    if holder is None:
        return "another run began to work on it at this moment; wait for it"
    return (
        f"run {holder.run} works on it (process {holder.pid} on {holder.host}); wait for it, or end it, in the UI or "
        "with its process"
    )
