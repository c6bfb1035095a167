"""The data root on an object store: what one machine has made, another goes on from."""

import http.client
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import serve
from storage.artifacts.data_root import DataRoot
from storage.environment import PROJECT_ROOT
from tests.pipeline.in_process import Pipeline, failures
from tests.pipeline.ports import free_ports
from tests.pipeline.test_lineage import LINEAGE, PAID_FOR
from tests.storage.s3_server import S3Server

EXPORTED = ("raw_reviews", "raw_metadata", "reviews", "items", "interactions", "item_index", "splits", "recbole_export")
SMALL = {asset: {"sample_users": 400, "sample_items": 240} for asset in ("raw_reviews", "raw_metadata")}


@pytest.fixture
def url(s3: S3Server) -> str:
    return f"s3://{s3.bucket()}/team"


def command(url: str, work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"REC_DATA": url, "REC_WORK": str(work), "DAGSTER_HOME": str(work / "home")}
    line = [sys.executable, "-m", "pipeline.cli.commands", *arguments]
    return subprocess.run(line, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True)


def require_all_sent(root: DataRoot) -> None:
    """Whatever lies in the mirror was sent: nobody published past it."""
    assert root.mirror
    files = {path.relative_to(root.root).as_posix() for path in root.root.rglob("*") if path.is_file()}
    assert {key for key in files if "/." not in f"/{key}"} == root.mirror.remote.find().keys()


@pytest.mark.long
def test_another_machine_uses_what_one_has_made(url: str, tmp_path: Path) -> None:
    one = Pipeline(DataRoot.at(url, tmp_path / "one"))
    result = one.run("quick", "*recbole_export", SMALL)
    assert result.success, failures(result)
    require_all_sent(one.root)
    made = {asset: one.root.manifest(asset, "quick") for asset in EXPORTED}
    assert one.metadata("splits", "quick")["dagster/uri"] == f"{url}/splits/quick.parquet"

    other = Pipeline(DataRoot.at(url, tmp_path / "other"))
    result = other.run("quick", "recbole_export")
    assert result.success, failures(result)
    assert other.metadata("recbole_export", "quick")["reused"]
    assert {asset: other.root.manifest(asset, "quick") for asset in EXPORTED} == made
    for manifest in made.values():
        assert other.root.artefact(manifest).exists()
    result = other.run("quick", "splits")  # from tables that it has never made
    assert result.success, failures(result)
    assert other.root.manifest("splits", "quick").data_version == made["splits"].data_version


def test_a_run_without_its_server_ends_with_one_sentence(s3: S3Server, url: str, tmp_path: Path) -> None:
    pipeline = Pipeline(DataRoot.at(url, tmp_path))
    s3.stop()
    try:
        raw = {asset: given for asset, given in SMALL.items() if asset == "raw_reviews"}
        said = failures(pipeline.run("quick", "*reviews", raw))
    finally:
        s3.start()
    assert said == {"raw_reviews": f"Dataset quick: REC_DATA ({url}) cannot be read: EndpointConnectionError."}


def test_a_run_is_refused_before_it_begins(s3: S3Server, tmp_path: Path) -> None:
    nowhere = command("s3://nowhere/team", tmp_path, "check", "quick")
    assert nowhere.stderr == (
        "Dataset quick: REC_DATA (s3://nowhere/team) cannot be read: The specified bucket does not exist.\n"
    )


def test_reports_of_other_machines_are_served(
    s3: S3Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REC_REPORT_PORT", str(free_ports(1)[0]))
    monkeypatch.setattr(serve, "FOLLOW_S", 0.0)
    one, here = DataRoot.at(url, tmp_path / "one"), DataRoot.at(url, tmp_path / "here")
    server = serve.serve_reports(here)
    assert server is not None

    def get(path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    try:
        assert "There is none yet" in get("/")
        for page in ("<p>first", "<p>second"):
            one.publish_bytes(one.path("report", "shop", ".html"), page.encode())
            assert get("/shop.html") == page
        s3.stop()
        assert get("/shop.html") == "<p>second"
        assert f"The reports may be old: REC_DATA ({url}) cannot be read" in capsys.readouterr().err
    finally:
        s3.start()
        server.shutdown()
        server.server_close()


@pytest.mark.long
def test_another_machine_pays_for_nothing_and_shows_the_report(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paid(*_: object, **__: object) -> None:
        raise AssertionError("paid for twice")

    one = Pipeline(DataRoot.at(url, tmp_path / "one"))
    result = one.run("quick")
    assert result.success, failures(result)
    require_all_sent(one.root)
    monkeypatch.setattr("models.encoders.clip.ImageEncoder.encode", paid)
    monkeypatch.setattr("models.encoders.sbert.TextEncoder.encode", paid)
    monkeypatch.setattr("models.training.trainer.train", paid)
    other = Pipeline(DataRoot.at(url, tmp_path / "other"))
    result = other.run("quick")
    assert result.success, failures(result)
    assert {asset for asset in LINEAGE if other.metadata(asset, "quick").get("reused")} == PAID_FOR

    (tmp_path / "third" / "home").mkdir(parents=True)
    shown = command(url, tmp_path / "third", "show", "quick")
    assert shown.returncode == 0, shown.stderr
    assert "Leaderboard of quick" in shown.stdout
    pulled = {path.name for path in DataRoot.at(url, tmp_path / "third").root.iterdir()}
    assert pulled == {"leaderboard", "report", "current", "model_choice"}
