"""The settings of the Dagster instance: those that every deployment shares, and where what it knows is kept.

That is SQLite in DAGSTER_HOME, or PostgreSQL where `DAGSTER_POSTGRES_HOST` is set.
"""

import os

from storage.environment import PROJECT_ROOT
from storage.errors import InputError

POSTGRES = tuple(f"DAGSTER_POSTGRES_{part}" for part in ("HOST", "PORT", "USER", "PASSWORD", "DB"))
PATIENCE_S = 10


def is_in_postgres() -> bool:
    """Whether the environment names a PostgreSQL server for the instance."""
    return bool(os.environ.get(POSTGRES[0]))


def instance_settings() -> str:
    """The content of `dagster.yaml`; secrets are named in it, by their variables, and never there themselves.

    Raises:
        InputError: a server is named, and not everything that a connection to it needs.
    """
    names = ("dagster.yaml", "postgres.yaml") if is_in_postgres() else ("dagster.yaml",)
    if is_in_postgres() and (missing := [name for name in POSTGRES if not os.environ.get(name)]):
        raise InputError(f"DAGSTER_POSTGRES_HOST is set, so {', '.join(missing)} must be set as well.")
    return "\n".join((PROJECT_ROOT / "deploy" / name).read_text() for name in names)


def initialise() -> None:
    """Make the tables of the instance where they are not there yet.

    Raises:
        InputError: its PostgreSQL server lets nobody in.
    """
    from dagster import DagsterInstance

    if is_in_postgres():
        _knock()
    DagsterInstance.get().dispose()


def _knock() -> None:
    """Try the server once: Dagster would ask again and again, and end in a traceback."""
    try:
        import psycopg2
    except ModuleNotFoundError:
        raise InputError("DAGSTER_POSTGRES_HOST is set, and the extra 'postgres' is not installed.") from None
    host, port, user, password, database = (os.environ[name] for name in POSTGRES)
    try:
        psycopg2.connect(
            host=host, port=port, user=user, password=password, dbname=database, connect_timeout=PATIENCE_S
        ).close()
    except psycopg2.OperationalError as error:
        said = (str(error).splitlines() or ["no answer"])[0]
        raise InputError(f"The server that DAGSTER_POSTGRES_HOST names cannot be used: {said}.") from None
