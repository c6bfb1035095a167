"""`make ui`: the reports on a port of this machine alone, beside Dagster's UI and no longer than it."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets.evaluation.report_address import report_port, report_url
from pipeline.cli import serve
from pipeline.cli.serve import ReportServer, announce_ui, serve_reports
from storage.artifacts.data_root import DataRoot
from storage.errors import InputError
from tests.pipeline.ports import free_ports

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReportServer]:
    monkeypatch.setenv("REC_REPORT_PORT", str(free_ports(1)[0]))
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "my shop.html").write_text("<p>mine</p>")
    (folder / "my shop.manifest.json").write_text("{}")
    (folder / ".my shop.html.12.partial").write_text("half")
    (tmp_path / "secret.html").write_text("secret")
    (folder / "link.html").symlink_to(tmp_path / "secret.html")
    started = serve_reports(DataRoot(tmp_path))
    assert started is not None
    yield started
    started.shutdown()
    started.server_close()


def get(server: ReportServer, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_a_report_is_served_under_the_address_that_its_metadata_carry(server: ReportServer) -> None:
    url = report_url("my shop")
    assert url == f"http://127.0.0.1:{server.server_port}/my%20shop.html"
    assert get(server, "/my%20shop.html") == (200, "<p>mine</p>")
    status, listed = get(server, "/")
    assert status == 200
    assert 'href="my%20shop.html"' in listed
    assert "manifest" not in listed
    assert "link" not in listed
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html", "/%2e%2e/secret.html", "/..%2fsecret.html", "/link.html", "/my%20shop.manifest.json",
        "/.my%20shop.html.12.partial", "//etc/passwd", "/etc/passwd", "/./", "/none.html",
    ],
)  # fmt: skip
def test_nothing_else_is_served(server: ReportServer, path: str) -> None:
    status, said = get(server, path)
    assert status == 404
    assert "secret" not in said.replace(path, "")


def test_a_foreign_name_for_this_machine_is_refused(server: ReportServer) -> None:
    assert get(server, "/", Host="evil.example")[0] == 403
    assert get(server, "/", Host=f"localhost:{server.server_port}")[0] == 200


def test_a_port_in_use_is_one_sentence(server: ReportServer, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert serve_reports(DataRoot(server.folder.parent)) is None
    said = capsys.readouterr().err
    assert said.startswith(f"The reports are not served: port {server.server_port} is unavailable (")
    assert said.count("\n") == 1


@pytest.mark.parametrize("given", ["none", "0", "70000"])
def test_a_port_that_is_none_is_one_sentence(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REC_REPORT_PORT", given)
    with pytest.raises(InputError, match="REC_REPORT_PORT"):
        report_port()
    assert serve_reports(DataRoot(tmp_path)) is None
    assert capsys.readouterr().err == f"The reports are not served: REC_REPORT_PORT is '{given}', which is no port.\n"


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_it_ends_everything_that_it_started(number: signal.Signals, tmp_path: Path) -> None:
    """Dagster is played by a process that starts another, as it does, and ends at the signal."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "__init__.py").touch()
    (tmp_path / "dagster" / "__main__.py").write_text(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    script = "import sys; from pipeline.cli.serve import run_dagster; sys.exit(run_dagster([]))"
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}"}
    code = f"import os; os.environ['PYTHONPATH'] = {str(tmp_path)!r}; {script}"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, env=environment)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(30) != 0
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1]:
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is left")


def test_the_port_of_the_ui_is_said_and_whether_it_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setattr(serve, "UI_PORT", port)
    announce_ui([])
    assert capsys.readouterr().out == f"The Dagster UI will be on http://127.0.0.1:{port}\n"
    with socket.create_server(("127.0.0.1", port)):
        announce_ui([])
        assert capsys.readouterr().out == (
            f"Port {port} is taken; Dagster chooses another one for its UI, and names it below.\n"
        )
    announce_ui(["--port", "3005"])
    assert capsys.readouterr().out == ""
