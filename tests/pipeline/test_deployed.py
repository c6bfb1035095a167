"""deploy/compose.yaml without its containers: what its services run is run here, on a real PostgreSQL server."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from storage.environment import PROJECT_ROOT
from tests.pipeline.compose import command_of, environment_of, health_of, services
from tests.pipeline.ports import free_ports
from tests.pipeline.postgres import Postgres, find_programs, postgres

PASSWORD = "s3cret@of/the:%r server?"  # with everything that a URL would have to quote
PROGRAMS = find_programs()
STARTED = ("code", "webserver", "daemon")
LAUNCH = """
mutation ($given: ExecutionParams!) {
  launchRun(executionParams: $given) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.postgres,
    pytest.mark.skipif(not PROGRAMS, reason="there is no PostgreSQL server here (apt-get install postgresql)"),
]


@dataclass(frozen=True)
class Deployed:
    """The services, started, on this machine."""

    folder: Path
    server: Postgres
    environment: dict[str, str]
    url: str
    processes: dict[str, subprocess.Popen[bytes]]

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """What the webserver's GraphQL answers."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def start(self, name: str) -> None:
        """Start a service by its command; its log goes on where it was."""
        command = command_of(services({"DAGSTER_POSTGRES_PASSWORD": PASSWORD})[name])
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=PROJECT_ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


def run_to_end(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=120)


def wait_until_healthy(name: str, deployed: Deployed, service: dict[str, Any]) -> None:
    """Ask as compose.yaml asks, until the service says that it is well."""
    end = time.monotonic() + 120
    while run_to_end(health_of(service), deployed.environment).returncode != 0:
        assert deployed.processes[name].poll() is None, deployed.log(name)
        assert time.monotonic() < end, deployed.log(name)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    with postgres(PROGRAMS, PASSWORD) as server:
        described = services({"DAGSTER_POSTGRES_PASSWORD": PASSWORD})
        code, webserver = free_ports(2)
        here = server.environment | {
            "DAGSTER_CODE_SERVER_HOST": "127.0.0.1",
            "DAGSTER_CODE_SERVER_PORT": str(code),
            "DAGSTER_WEBSERVER_PORT": str(webserver),
            "DAGSTER_HOME": str(folder / "dagster"),
            "REC_DATA": str(folder / "data"),
            "REC_WORK": str(folder / "work"),
            "REC_DATASETS": os.environ["REC_DATASETS"],
        }
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}
        environment = environment_of(described["code"], here) | path
        started = Deployed(folder, server, environment, f"http://127.0.0.1:{webserver}", {})
        try:
            made = run_to_end(command_of(described["home"]), environment)
            assert made.returncode == 0, made.stderr
            for name in STARTED:
                started.start(name)
                if name == "code":  # the others wait for it, as in compose.yaml
                    wait_until_healthy(name, started, described[name])
            for name in ("webserver", "daemon"):
                wait_until_healthy(name, started, described[name])
            yield started
        finally:
            stop(started.processes)


def stop(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """End the services, and what they leave behind of their groups."""
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
    for process in processes.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def launch(deployed: Deployed) -> str:
    """Launch a run of cheap assets in the webserver."""
    location = {"repositoryName": "__repository__", "repositoryLocationName": "pipeline.definitions"}
    assets = ["raw_reviews", "raw_metadata", "reviews", "items", "interactions", "item_index", "splits"]
    selector = location | {"pipelineName": "__ASSET_JOB", "assetSelection": [{"path": [name]} for name in assets]}
    tags = [{"key": "dagster/partition", "value": "quick"}]
    given = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}, "runConfigData": {}}
    launched = deployed.ask(LAUNCH, given=given)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def wait_for(deployed: Deployed, run_id: str, *statuses: str) -> None:
    """Wait until a run has one of these statuses."""
    end = time.monotonic() + 300
    while status_of(deployed, run_id) not in statuses:
        assert time.monotonic() < end, deployed.log("daemon")
        time.sleep(0.5)


@pytest.fixture(scope="module")
def run_id(deployed: Deployed) -> str:
    """A run that was launched in the webserver and has ended."""
    found = launch(deployed)
    wait_for(deployed, found, "SUCCESS", "FAILURE", "CANCELED")
    return found


def status_of(deployed: Deployed, run_id: str) -> str:
    query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    return deployed.ask(query, id=run_id)["runOrError"]["status"]


def test_a_run_launched_in_the_webserver_runs_in_the_code_server(deployed: Deployed, run_id: str) -> None:
    assert status_of(deployed, run_id) == "SUCCESS", deployed.log("code")[-3000:]
    assert (deployed.folder / "data" / "splits" / "quick.parquet").is_file()
    assert "splits quick: " in deployed.log("code")


def test_a_run_goes_on_when_the_webserver_is_killed(deployed: Deployed, run_id: str) -> None:
    under_way = launch(deployed)
    wait_for(deployed, under_way, "STARTED")
    os.killpg(deployed.processes["webserver"].pid, signal.SIGKILL)
    deployed.processes["webserver"].wait()
    deployed.start("webserver")
    wait_until_healthy("webserver", deployed, services({"DAGSTER_POSTGRES_PASSWORD": PASSWORD})["webserver"])
    wait_for(deployed, under_way, "SUCCESS")


def test_what_dagster_knows_is_in_postgres_alone(deployed: Deployed, run_id: str) -> None:
    assert run_id in deployed.server.dump()
    home = deployed.folder / "dagster"
    assert not list(home.rglob("*.db"))
    settings = (home / "dagster.yaml").read_text()
    assert settings.startswith((PROJECT_ROOT / "deploy" / "dagster.yaml").read_text())
    assert settings.endswith((PROJECT_ROOT / "deploy" / "postgres.yaml").read_text())


def test_the_daemon_is_well(deployed: Deployed) -> None:
    query = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
    statuses = deployed.ask(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert {"SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR"} <= {status["daemonType"] for status in statuses}
    assert [status for status in statuses if status["required"] and not status["healthy"]] == []


def test_the_password_is_written_nowhere(deployed: Deployed, run_id: str) -> None:
    """Neither in a log, nor in the database, nor in a file of home or data, nor in what the UI tells."""
    spellings = {PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), json.dumps(PASSWORD)[1:-1], "s3cret"}
    told = {"database": deployed.server.dump(), "UI": json.dumps(deployed.ask("{ instance { info } }"))}
    files = {str(path): path.read_bytes().decode("latin-1") for path in deployed.folder.rglob("*") if path.is_file()}
    assert any(path.endswith("code.log") for path in files)
    assert any("/compute_logs/" in path for path in files)
    assert "python_logs" in told["UI"]
    found = [place for place, text in (told | files).items() if any(spelling in text for spelling in spellings)]
    assert found == []
