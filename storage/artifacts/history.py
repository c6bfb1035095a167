"""One dataset over time: every run that comes to its report leaves a row in `data/history/DATASET.parquet`.

A run has one row, and runs at the same time lose none. A file that cannot be read is set aside with a warning.
"""

import fcntl
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.artifacts.tables import read_table, write_table
from storage.files.locks import lock_file
from storage.schemas import SCHEMAS

logger = logging.getLogger(__name__)

TABLE = "history"


@dataclass(frozen=True)
class Run:
    """One row of the table `history`; its columns say what each field is."""

    run: str
    time: int
    rows: int
    bytes: int
    seconds: float
    recall_at_20: float | None
    settings_hash: str

    @classmethod
    def of(cls, run: str, lineage: Iterable[Manifest], recall_at_20: float | None) -> "Run":
        """What a run came to that ends now, from the manifests of everything behind its report."""
        made = list(lineage)
        settings = {one.asset: one.recipe.settings for one in made}
        return cls(
            run=run,
            time=time.time_ns() // 1_000_000,
            rows=next(one.rows or 0 for one in made if one.asset == "interactions"),
            bytes=sum(one.bytes for one in made),
            seconds=sum(one.seconds for one in made if one.run == run),
            recall_at_20=recall_at_20,
            settings_hash=hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12],
        )


def read_history(root: DataRoot, dataset: str) -> pa.Table:
    """The runs so far, the oldest first."""
    with _locked(root, dataset):
        return _read(root, root.path(TABLE, dataset, ".parquet"))


def append_run(root: DataRoot, dataset: str, run: Run) -> None:
    """Add the row of a run, in place of the one that it may have already."""
    path = root.path(TABLE, dataset, ".parquet")
    with _locked(root, dataset):
        write_table(path, TABLE, with_run(_read(root, path), run), mirror=root.mirror)


def with_run(history: pa.Table, run: Run) -> pa.Table:
    """The history with the row of this run as its last."""
    rows = [row for row in history.to_pylist() if row["run"] != run.run]
    return pa.Table.from_pylist([*rows, asdict(run)], schema=SCHEMAS[TABLE])


def _read(root: DataRoot, path: Path) -> pa.Table:
    if not path.exists():
        return SCHEMAS[TABLE].empty_table()
    try:
        found = read_table(path)
        if not found.schema.equals(SCHEMAS[TABLE]):
            raise pa.ArrowInvalid("it has other columns")
    except (pa.ArrowException, OSError) as error:
        aside = path.with_name(f"{path.stem}.damaged-{time.time_ns()}{path.suffix}")
        with root.publishing(aside) as partial:
            shutil.copytree(path, partial) if path.is_dir() else shutil.copyfile(path, partial)
        root.remove(path)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        logger.warning(f"{path} cannot be read ({reason}); it is kept as {aside.name}, and a new history begins")
        return SCHEMAS[TABLE].empty_table()
    return found


@contextmanager
def _locked(root: DataRoot, dataset: str) -> Iterator[None]:
    with lock_file(root.work / TABLE / f"{dataset}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
