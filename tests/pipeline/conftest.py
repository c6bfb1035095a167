"""What the tests of the pipeline share."""

from collections.abc import Iterator

import pytest

from tests.pipeline.in_process import Pipeline
from tests.pipeline.shared_sample import make_once


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Pipeline]:
    """The sample, from raw data to report. All workers share it, so no test runs on it: that takes `sample.copy()`."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "sample"
    pipeline = make_once(folder)
    before = pipeline.files()
    yield pipeline
    assert pipeline.files() == before, "a test has changed the sample that all tests share"
