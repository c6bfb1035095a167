"""`make ui`: Dagster's UI, and beside it the reports on a port of this machine alone; both end together.

Arguments are those of `dagster dev`.
"""

import html
import math
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import FrameType
from urllib.parse import quote, unquote, urlsplit

from assets.evaluation.report_address import HOST, report_port
from storage.artifacts.data_root import DataRoot
from storage.errors import InputError

UI_PORT = 3000  # the default of `dagster dev`
FOLLOW_S = 5.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ReportServer(ThreadingHTTPServer):
    """Serves the reports of a data root, and a list of them; nothing else."""

    daemon_threads = True

    def __init__(self, root: DataRoot, port: int):
        self.folder, self.mirror = root.root / "report", root.mirror
        self._looked = -math.inf
        self._follower = ThreadPoolExecutor(1, "follower")  # one for all requests: each thread has clients of its own
        super().__init__((HOST, port), ReportHandler)

    def pages(self) -> dict[str, Path]:
        """The pages by name; a request can only choose among them."""
        self._follow()
        found = (path for path in self.folder.glob("[!.]*.html") if path.is_file() and not path.is_symlink())
        return {path.name: path for path in sorted(found)}

    def _follow(self) -> None:
        """Bring here what a remote has, at most every FOLLOW_S; where it is unavailable, what is here is served."""
        now = time.monotonic()
        if self.mirror is None or now - self._looked < FOLLOW_S:
            return
        self._looked = now
        try:
            self._follower.submit(self.mirror.pull, _is_page, wait=False).result()
        except InputError as error:
            print(f"The reports may be old: {error}.", file=sys.stderr)


class ReportHandler(BaseHTTPRequestHandler):
    """Answers for one page."""

    server: ReportServer

    def do_GET(self) -> None:
        port = self.server.server_port
        names = {f"{host}:{port}" for host in (HOST, "localhost")} | ({HOST, "localhost"} if port == 80 else set())
        if self.headers.get("Host") not in names:  # a page elsewhere whose name was made to point here
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        name, pages = unquote(urlsplit(self.path).path).removeprefix("/"), self.server.pages()
        if name and name not in pages:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            content = pages[name].read_bytes() if name else contents(list(pages))
        except FileNotFoundError:  # made again at this moment
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal is Dagster's."""


def _is_page(key: str) -> bool:
    return key.startswith("report/") and key.endswith(".html")


def contents(names: list[str]) -> bytes:
    """A page of links to the reports."""
    links = [f'<li><a href="{quote(name)}">{html.escape(name.removesuffix(".html"))}</a></li>' for name in names]
    listed = f"<ul>{''.join(links)}</ul>" if names else "<p>There is none yet.</p>"
    return f"<!doctype html><meta charset='utf-8'><title>Reports</title><h1>Reports</h1>{listed}".encode()


def serve_reports(root: DataRoot) -> ReportServer | None:
    """Serve the reports from a thread; where the port is unavailable, say so and do without."""
    try:
        server = ReportServer(root, report_port())
    except OSError as error:
        reason = f"port {report_port()} is unavailable ({error.strerror})"
        print(f"The reports are not served: {reason}; REC_REPORT_PORT names another.", file=sys.stderr)
        return None
    except InputError as error:
        print(f"The reports are not served: {error}.", file=sys.stderr)
        return None
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"The reports are on http://{HOST}:{server.server_port}")
    return server


def announce_ui(arguments: list[str]) -> None:
    """Say where the UI will be, or that its port is taken; `dagster dev` then chooses another, if none was named."""
    if any(word.startswith(("-p", "--port")) for word in arguments):
        return  # who named a port knows it
    try:
        socket.create_server((HOST, UI_PORT)).close()
    except OSError:
        print(f"Port {UI_PORT} is taken; Dagster chooses another one for its UI, and names it below.")
    else:
        print(f"The Dagster UI will be on http://{HOST}:{UI_PORT}")


def run_dagster(arguments: list[str]) -> int:
    """Run `dagster dev` in a process group of its own, to which Ctrl-C and its like are passed on once, until it ends.

    What it leaves behind of its group ends with it.
    """
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        if child:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)

    for number in STOPPING:  # before the start: a process begins without the handlers of its parent, nor ignores
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # started by `nohup`, to outlive its terminal
        signal.signal(number, pass_on)
    child = subprocess.Popen([sys.executable, "-m", "dagster", "dev", *arguments], start_new_session=True)
    try:
        return child.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)


def main() -> int:
    try:
        root = DataRoot.from_environment()
    except InputError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    announce_ui(sys.argv[1:])
    serve_reports(root)
    return run_dagster(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
