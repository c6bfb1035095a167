"""Where the Dagster instance is kept, and that everything about it is written once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.cli.instance import POSTGRES, initialise, instance_settings
from storage.environment import PROJECT_ROOT
from storage.errors import InputError
from tests.pipeline.postgres import Postgres, find_programs, postgres

DEPLOY = PROJECT_ROOT / "deploy"
PROGRAMS = find_programs()
PASSWORD = "s3cret@of/the:%r server?"  # with everything that a URL would have to quote

no_server = pytest.mark.skipif(not PROGRAMS, reason="there is no PostgreSQL server here (apt-get install postgresql)")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    assert PROGRAMS is not None
    with postgres(PROGRAMS, PASSWORD) as started:
        yield started


def make_home(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    given = os.environ | environment | {"DAGSTER_HOME": str(folder)}
    command = [sys.executable, "-m", "pipeline.cli.commands", "home"]
    return subprocess.run(command, cwd=PROJECT_ROOT, env=given, capture_output=True, text=True)


@pytest.fixture
def in_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in POSTGRES:
        monkeypatch.setenv(name, f"value-of-{name}")


def test_the_embedded_settings_are_those_of_every_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_POSTGRES_HOST", raising=False)
    assert instance_settings() == (DEPLOY / "dagster.yaml").read_text()
    assert "storage" not in yaml.safe_load(instance_settings())


def test_a_shared_instance_has_these_and_its_storage(in_postgres: None) -> None:
    shared, storage = (yaml.safe_load((DEPLOY / name).read_text()) for name in ("dagster.yaml", "postgres.yaml"))
    assert not set(shared) & set(storage)  # one would silently replace the other
    assert yaml.safe_load(instance_settings()) == shared | storage


def test_secrets_are_named_and_not_written(in_postgres: None) -> None:
    connection = yaml.safe_load(instance_settings())["storage"]["postgres"]["postgres_db"]
    assert [place for place in connection.values() if isinstance(place, dict)] == [{"env": name} for name in POSTGRES]
    assert "value-of" not in instance_settings()


def test_half_a_connection_is_one_sentence(in_postgres: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_POSTGRES_PASSWORD")
    with pytest.raises(InputError, match=r"^DAGSTER_POSTGRES_HOST is set, so DAGSTER_POSTGRES_PASSWORD must be"):
        instance_settings()


def test_a_missing_client_is_one_sentence(in_postgres: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)  # as if it were not installed
    with pytest.raises(InputError, match="the extra 'postgres' is not installed"):
        initialise()


@pytest.mark.postgres
@no_server
def test_the_instance_of_a_server_is_made_there(server: Postgres, tmp_path: Path) -> None:
    made = make_home(tmp_path, server.environment)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    held = server.dump()
    for table in ("runs", "event_logs", "instigators"):  # of the run, event and schedule storage
        assert f"CREATE TABLE public.{table} (" in held
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "dagster.yaml"]
    assert "s3cret" not in held + (tmp_path / "dagster.yaml").read_text()


@pytest.mark.postgres
@no_server
def test_a_wrong_password_is_one_sentence(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", "s3cret, but another")
    with pytest.raises(InputError) as said:
        initialise()
    assert str(said.value).startswith("The server that DAGSTER_POSTGRES_HOST names cannot be used: ")
    assert str(said.value).endswith('password authentication failed for user "dagster".')
    assert "s3cret" not in str(said.value)
    assert "\n" not in str(said.value)
