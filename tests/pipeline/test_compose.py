"""deploy/: compose.yaml, the image and what they pass on; that it runs is shown in test_deployed.py."""

import re
from pathlib import Path

import pytest

from storage.environment import PROJECT_ROOT
from tests.pipeline.compose import FILE, command_of, services

SECRET = {"DAGSTER_POSTGRES_PASSWORD": "the secret"}
OURS = ("code", "daemon", "home", "webserver")


def test_each_part_is_a_service_that_waits_for_what_it_needs() -> None:
    found = services(SECRET)
    assert set(found) == {"postgres", *OURS}
    assert found["home"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert found["code"]["depends_on"] == {"home": {"condition": "service_completed_successfully"}}
    for name in ("webserver", "daemon"):
        assert found[name]["depends_on"] == {"code": {"condition": "service_healthy"}}
    assert all("healthcheck" in found[name] for name in found if name != "home")


def test_nothing_starts_without_a_password_and_none_is_in_a_file() -> None:
    with pytest.raises(KeyError, match="a password for PostgreSQL"):
        services({})
    for file in FILE.parent.iterdir():
        for line in file.read_text().splitlines():
            if "PASSWORD:" in line:
                assert re.search(r"(\$\{DAGSTER_POSTGRES_PASSWORD:\?|\*password$)", line), f"{file.name}: {line}"


def test_every_setting_of_the_project_is_passed_on() -> None:
    read = set()
    for package in ("assets", "models", "pipeline", "storage"):
        for path in (PROJECT_ROOT / package).rglob("*.py"):
            read |= set(re.findall(r"""(?:environ(?:\.get\(|\[)|path_named\()["'](REC_\w+)""", path.read_text()))
    assert {"REC_DATA", "REC_WORK", "REC_DATASETS"} <= read
    for name in OURS:
        assert read <= set(services(SECRET)[name]["environment"])
    given = services(SECRET | {"REC_GIT_URL": "https://git.example/rec"})
    assert given["webserver"]["environment"]["REC_GIT_URL"] == "https://git.example/rec"


def test_data_and_work_are_volumes_or_folders_of_the_host() -> None:
    assert services(SECRET)["code"]["volumes"] == ["dagster:/dagster", "data:/data", "work:/work"]
    for name in ("home", "webserver", "daemon"):  # runs run elsewhere
        assert services(SECRET)[name]["volumes"] == ["dagster:/dagster"]
    of_the_host = services(SECRET | {"REC_DATA": "/srv/rec", "REC_WORK": "/scratch"})["code"]
    assert of_the_host["volumes"] == ["dagster:/dagster", "/srv/rec:/data", "/scratch:/work"]
    assert (of_the_host["environment"]["REC_DATA"], of_the_host["environment"]["REC_WORK"]) == ("/data", "/work")


def test_only_this_machine_reaches_the_webserver_and_nobody_the_rest() -> None:
    ports = {name: service.get("ports", []) for name, service in services(SECRET).items()}
    assert ports.pop("webserver") == ["127.0.0.1:3000:3000"]
    assert set(map(tuple, ports.values())) == {()}


def test_the_image_holds_the_project_and_nothing_of_a_checkout() -> None:
    recipe = (FILE.parent / "Dockerfile").read_text()
    assert re.search(r"^USER (?!root)", recipe, re.MULTILINE)
    for extra in re.findall(r"\.\[([\w,]+)\]", recipe)[0].split(","):
        assert f"\n{extra} = [" in (PROJECT_ROOT / "pyproject.toml").read_text()
    left_out = (FILE.parent / "Dockerfile.dockerignore").read_text().split()
    assert {".git", ".env", "data", "datasets.local.yaml", ".dagster", ".venv"} <= set(left_out)
    for name in OURS:
        for argument in command_of(services(SECRET)[name]):
            assert not argument.startswith("deploy/") or Path(PROJECT_ROOT, argument).is_file()
