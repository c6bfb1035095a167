"""A real HTTP server for the tests of the picture fetcher, and what they share."""

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from storage.images.attempts import Attempts
from storage.images.client import FetchLimits
from storage.images.fetch import Fetched, Source, Wanted, fetch_pictures
from storage.images.store import PictureStore
from storage.progress import Progress

LIMITS = FetchLimits(
    timeout_s=2,
    max_bytes=100_000,
    max_pixels=10_000,
    concurrency=8,
    host_concurrency=4,
    retries=2,
    first_wait_s=0.01,
)


def jpeg(name: str = "", width: int = 20, height: int = 10) -> bytes:
    """A small picture; another name gives another one."""
    content = BytesIO()
    Image.new("RGB", (width, height), tuple(hashlib.sha256(name.encode()).digest()[:3])).save(content, "JPEG")
    return content.getvalue()


@dataclass(frozen=True)
class Answer:
    """What the server says to one request; `send` takes the place of the body."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    send: Callable[["Handler"], None] | None = None


class Server(ThreadingHTTPServer):
    """Answers by path with what `script` says, the last answer again and again; else with a picture of the path."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("", 0), Handler)  # on all addresses, so that each of 127.0.0.0/8 is one
        self.script: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.at: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.delay_s = 0.0
        self.gate = threading.Event()  # while it is closed, requests wait: those at the host that is held, or all
        self.gate.set()
        self.held = ""
        self.passing = 0  # how many are let through nevertheless
        self.gives_every = 1  # of so many requests one, and says 429 to the others
        self.at_once: Counter[str] = Counter()  # requests in progress, by the host that they name and in all ("")
        self.most_at_once: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def at_host(self, host: str) -> str:
        return f"http://{host}:{self.server_port}"

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up on purpose."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        host = self.headers["Host"].rsplit(":", 1)[0]
        with self.server.lock:
            self.server.asked.append(self.path)
            self.server.at.append(time.monotonic())
            self.server.headers.append(dict(self.headers))
            for name in (host, ""):
                self.server.at_once[name] += 1
                self.server.most_at_once[name] = max(self.server.most_at_once[name], self.server.at_once[name])
            self.server.passing -= 1
            refuses = len(self.server.asked) % self.server.gives_every
            answers = [Answer(status=429)] if refuses else self.server.script.get(self.path, [Answer(jpeg(self.path))])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            waits = self.server.passing < 0 and self.server.held in ("", host)
        if waits:
            self.server.gate.wait()
        time.sleep(self.server.delay_s)
        with self.server.lock:
            self.server.at_once.subtract((host, ""))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.send is None:
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
        else:
            self.close_connection = True
            answer.send(self)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.gate.set()
            server.shutdown()
            thread.join()


@contextmanager
def speaking(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]) -> Iterator[int]:
    """A server that says what `talk` says; its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(talk, "127.0.0.1", 0), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join()


def drip(handler: Handler) -> None:
    """A byte now and then, for ever."""
    handler.end_headers()
    with suppress(OSError):
        for _ in range(400):
            handler.wfile.write(b"x")
            time.sleep(0.05)


def endless(handler: Handler) -> None:
    """As much as the client takes."""
    handler.end_headers()
    with suppress(OSError):
        for _ in range(10_000):
            handler.wfile.write(b"x" * 65_536)


def half(handler: Handler) -> None:
    """Half of what was announced."""
    content = jpeg()
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def nothing(handler: Handler) -> None:
    """Not a byte, though the connection stays open until the client closes it."""
    handler.connection.settimeout(30)
    with suppress(OSError):
        handler.connection.recv(1)


def wanted(*places: str) -> list[Wanted]:
    """An item for each place, named by it."""
    return [Wanted(place, [[place]]) for place in places]


def fetch(
    items: Iterable[Wanted],
    folder: Path,
    *,
    base: Path | None = None,
    local: bool = True,
    links: Path | None = None,
    limits: FetchLimits = LIMITS,
    shards: dict[str, Any] | None = None,
    **options: Any,
) -> Fetched:
    """Fetch as another process would: everything that is known of earlier runs comes from the folder."""
    attempts = Attempts(PictureStore(folder), **(shards or {}))
    return fetch_pictures(items, Source(base, local, links), attempts, limits, Progress("test"), **options)


def statuses(fetched: Fetched) -> list[str]:
    return fetched.table["status"].to_pylist()
