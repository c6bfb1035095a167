"""What all tests share: no network, a data root and a catalogue of their own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.storage.s3_server import S3Server

# Before the first import of the project: assets read the catalogue and the data root when they are defined, and torch
# and numpy how many threads they may have. Every worker comes here, and so has a folder of its own.
_WORK = Path(tempfile.mkdtemp(prefix="rec-tests-"))
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "REC_DATA": str(_WORK / "data"),
    "REC_DATASETS": str(Path(__file__).parent / "datasets.yaml"),
    "DAGSTER_HOME": str(_WORK / "home"),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

settings.register_profile("project", deadline=None)  # no test asserts how long something took
settings.load_profile("project")

PROJECT = Path(__file__).parent.parent
SHARED_DATA = Path(os.environ.get("REC_SHARED_DATA") or PROJECT.parent / "shared" / "data")


KINDS = ("automation", "browser", "data", "disk", "docs", "postgres", "process", "ray", "s3", "training")
FIXTURES = {
    "disk": "disk",
    "s3": "s3",
    "shared_data": "data",
    "teams": "process",
}  # who asks for one of these needs what the mark says


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Whatever needs more than this process is an integration test, and those that read the sample come first.

    So one worker makes the sample while the other runs what does without it.
    """
    for item in items:
        for fixture in FIXTURES.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(FIXTURES[fixture])
        if any(item.get_closest_marker(kind) for kind in KINDS):
            item.add_marker("integration")
    yield  # the order is drawn, and what was not asked for is left out
    items.sort(key=lambda item: "sample" not in getattr(item, "fixturenames", ()))


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
