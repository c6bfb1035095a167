"""A PostgreSQL server of a test's own, from the programs that are installed here."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.pipeline.ports import free_ports

PACKAGED = Path("/usr/lib/postgresql")  # Debian keeps these off the path, a folder for each version
OTHER_USER = "nobody"  # the server refuses to run as root


def find_programs() -> Path | None:
    """The folder of `initdb`, `pg_ctl` and `pg_dump`: of the newest version that is packaged, or of the path."""
    packaged = sorted(PACKAGED.glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    found = [str(packaged[-1])] if packaged else [shutil.which("initdb")]
    return Path(found[0]).resolve().parent if found[0] else None


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    programs: Path
    environment: dict[str, str]

    def dump(self) -> str:
        """Everything that its database holds, as text."""
        given = {name: self.environment[f"DAGSTER_POSTGRES_{name}"] for name in ("HOST", "PORT", "USER", "DB")}
        command = [
            self.programs / "pg_dump",
            "-h",
            given["HOST"],
            "-p",
            given["PORT"],
            "-U",
            given["USER"],
            given["DB"],
        ]
        password = {"PGPASSWORD": self.environment["DAGSTER_POSTGRES_PASSWORD"]}
        return subprocess.run(command, env=os.environ | password, capture_output=True, text=True, check=True).stdout


@contextmanager
def postgres(programs: Path, password: str) -> Iterator[Postgres]:
    """Run a server on a free port of this machine, that asks everybody for this password, until the block ends."""
    as_other = ["runuser", "-u", OTHER_USER, "--"] if os.getuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="rec-postgres-"))
    secret, data, log = folder / "password", folder / "data", folder / "log"
    secret.write_text(password)

    def run(*command: str | Path) -> None:
        subprocess.run([*as_other, *map(str, command)], cwd=folder, check=True, capture_output=True, timeout=120)

    try:
        if as_other:
            for path in (folder, secret):
                shutil.chown(path, OTHER_USER)
        secrecy = ["--username=dagster", f"--pwfile={secret}", "--auth=scram-sha-256"]
        run(programs / "initdb", f"--pgdata={data}", *secrecy, "--no-sync", "--encoding=UTF8", "--locale=C")
        [port] = free_ports(1)
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        run(programs / "pg_ctl", "start", "--wait", f"--pgdata={data}", f"--log={log}", f"--options={options}")
        parts = {"HOST": "127.0.0.1", "PORT": str(port), "USER": "dagster", "PASSWORD": password, "DB": "postgres"}
        try:
            yield Postgres(programs, {f"DAGSTER_POSTGRES_{name}": value for name, value in parts.items()})
        finally:
            run(programs / "pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={data}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
