"""What deploy/compose.yaml says of its services, as `docker compose` would read it."""

import os
import re
from typing import Any

import yaml

from storage.environment import PROJECT_ROOT

FILE = PROJECT_ROOT / "deploy" / "compose.yaml"
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def services(given: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The services by name, with the variables of the file taken from `given`.

    Raises:
        KeyError: one is needed (`:?`) and not given.
    """
    return filled_in(yaml.safe_load(FILE.read_text()), given)["services"]


def filled_in(value: Any, given: dict[str, str]) -> Any:
    """Every text in `value`, its variables replaced: `${NAME:-default}`, `${NAME:?message}`, and `$$` for a dollar."""
    if isinstance(value, dict):
        return {key: filled_in(item, given) for key, item in value.items()}
    if isinstance(value, list):
        return [filled_in(item, given) for item in value]
    return VARIABLE.sub(lambda found: _replaced(found, given), value) if isinstance(value, str) else value


def _replaced(found: re.Match[str], given: dict[str, str]) -> str:
    name, kind, rest = found.groups()
    if name is None:
        return "$"
    if kind == "?" and not given.get(name):
        raise KeyError(rest)
    return given.get(name) or (rest if kind == "-" else "")


def command_of(service: dict[str, Any]) -> list[str]:
    """What a service runs."""
    return service["command"]


def health_of(service: dict[str, Any]) -> list[str]:
    """The command that tells whether a service is well."""
    kind, *command = service["healthcheck"]["test"]
    return ["sh", "-c", *command] if kind == "CMD-SHELL" else command


def environment_of(service: dict[str, Any], here: dict[str, str]) -> dict[str, str]:
    """The environment of a service; `here` moves it to another place, and may only set what compose.yaml sets."""
    assert set(here) <= set(service["environment"])
    return {**os.environ, **service["environment"], **here}
