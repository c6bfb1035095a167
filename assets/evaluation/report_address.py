"""Where `make ui` serves the reports: on this machine alone."""

import os
from urllib.parse import quote

from storage.errors import InputError

HOST = "127.0.0.1"
PORT = 3001


def report_port() -> int:
    """`REC_REPORT_PORT`, or 3001.

    Raises:
        InputError: it is no port.
    """
    given = os.environ.get("REC_REPORT_PORT") or str(PORT)
    if not given.isdecimal() or not 0 < int(given) < 2**16:
        raise InputError(f"REC_REPORT_PORT is {given!r}, which is no port")
    return int(given)


def report_url(dataset: str) -> str:
    """The address of a dataset's report while `make ui` runs."""
    return f"http://{HOST}:{report_port()}/{quote(dataset)}.html"
