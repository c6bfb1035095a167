"""What all tests share: no network, a data root and a catalogue of their own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.storage.s3_server import S3Server

# Before the first import of the project: assets read the catalogue and the data root when they are defined.
_WORK = Path(tempfile.mkdtemp(prefix="rec-tests-"))
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "REC_DATA": str(_WORK / "data"),
    "REC_DATASETS": str(Path(__file__).parent / "datasets.yaml"),
    "DAGSTER_HOME": str(_WORK / "home"),
}

PROJECT = Path(__file__).parent.parent
SHARED_DATA = Path(os.environ.get("REC_SHARED_DATA") or PROJECT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data that is not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data are not here (REC_SHARED_DATA)")
    return SHARED_DATA


@pytest.fixture(scope="module")
def s3() -> Iterator["S3Server"]:
    """An S3-compatible server of the module's own, over HTTP on loopback."""
    from tests.storage.s3_server import s3_server

    with s3_server() as server:
        yield server


def pytest_sessionfinish() -> None:
    import shutil

    shutil.rmtree(_WORK, ignore_errors=True)
