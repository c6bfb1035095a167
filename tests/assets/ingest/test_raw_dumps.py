"""The raw dumps in Dagster: what a person sees of where they came from."""

import functools
import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest

from assets.core.compute import Compute
from assets.core.io_managers import FilesIOManager
from assets.ingest.assets import raw_reviews
from storage.artifacts.data_root import DataRoot
from storage.catalogue import Catalogue
from storage.errors import InputError, OutOfReachError

DUMP = gzip.compress(b'{"reviewerID": "U", "asin": "B", "overall": 5, "unixReviewTime": 1}\n', mtime=0)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server with one dump."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REC_WORK", raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "dump.json.gz").write_bytes(DUMP)
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(tmp_path: Path, url: str, *, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    """Make raw_reviews of `url`."""
    root = DataRoot(tmp_path / "data")
    entry = {"format": "amazon2018", "reviews": url, "metadata": url}
    catalogue = Catalogue({"sample": (tmp_path / "datasets.yaml", entry)})
    resources = {"catalogue": catalogue, "data_root": root, "files": FilesIOManager(root), "run_lock": None}
    resources["compute"] = Compute()
    return dg.materialize([raw_reviews], partition_key="sample", resources=resources, raise_on_error=raise_on_error)


def materialize(tmp_path: Path, url: str) -> dict[str, object]:
    """Make raw_reviews of `url` and give its metadata."""
    result = run(tmp_path, url)
    (made,) = result.asset_materializations_for_node("raw_reviews")
    return {key: value.value for key, value in made.metadata.items()}


def test_a_download_shows_its_origin_and_is_not_repeated(tmp_path: Path, site: str) -> None:
    first = materialize(tmp_path, f"{site}/dump.json.gz")
    assert first["source"] == f"{site}/dump.json.gz"
    assert first["bytes"] == len(DUMP)
    assert first["sha256"] == hashlib.sha256(DUMP).hexdigest()
    assert str(first["last_modified"]).endswith("GMT")
    assert first["etag"] is None
    assert first["downloaded"] is True
    second = materialize(tmp_path, f"{site}/dump.json.gz")
    assert second["downloaded"] is False
    assert second["sha256"] == first["sha256"]
    assert (tmp_path / "data" / "raw_reviews" / "sample" / "dump.json.gz").read_bytes() == DUMP


def test_a_refused_download_fails_in_one_sentence_that_names_dataset_and_setting(tmp_path: Path, site: str) -> None:
    url = f"{site}/none.gz"
    message = (
        f"Dataset sample: 'reviews' is unavailable: {url} answers 404 File not found; "
        "name another URL or a local path in its place."
    )
    with pytest.raises(dg.Failure) as caught:
        materialize(tmp_path, url)
    assert caught.value.description == message
    assert caught.value.allow_retries is False


@pytest.mark.parametrize(("error", "tries"), [(OutOfReachError, 3), (InputError, 1), (OSError, 1)])
def test_only_what_a_while_can_mend_is_tried_again(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch, error: type[Exception], tries: int
) -> None:
    asked = []

    def broken(url: str, *_: object, **__: object) -> None:
        asked.append(url)
        raise error("the server sleeps")

    monkeypatch.setattr("storage.raw.sources.download", broken)
    monkeypatch.setattr("assets.core.retry.RETRY_AFTER_S", (0, 0))
    result = run(tmp_path, f"{site}/dump.json.gz", raise_on_error=False)
    assert not result.success
    assert len(asked) == tries
    assert sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events) == tries - 1
