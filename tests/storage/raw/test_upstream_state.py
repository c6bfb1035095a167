"""What is seen of a source without fetching it: from a real server, and from real files."""

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from storage.errors import InputError, OutOfReachError
from storage.raw.upstream_state import ask_states


class Handler(BaseHTTPRequestHandler):
    """Each path behaves in a way of its own."""

    facts: ClassVar[dict[str, str]] = {"ETag": '"one"', "Content-Length": "1000"}
    quick_one_answered: ClassVar[threading.Event]

    def do_HEAD(self) -> None:
        quick_one_answered = self.quick_one_answered  # of the test that asks, even when this outlives it
        match self.path:
            case "/dump":
                self.answer(200, **self.facts)
            case "/moved":
                self.answer(302, Location="/dump")
            case "/no-head":
                self.answer(405)
            case "/bare":
                self.answer(200)
            case "/slow":
                quick_one_answered.wait(60)
            case "/drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Never-Ending: ")
                while not quick_one_answered.wait(0.1):
                    self.wfile.write(b"x")
            case "/quick":
                self.answer(200, **self.facts)
                quick_one_answered.set()
            case "/rubbish":
                self.wfile.write(b"\x00\xff rubbish\r\n\r\n")
            case _:
                self.answer(404)

    def do_GET(self) -> None:
        assert self.path == "/no-head" and self.headers["Range"] == "bytes=0-0"
        self.answer(206, **{"Content-Range": "bytes 0-0/777", "Content-Length": "1"})
        self.wfile.write(b"x")

    def answer(self, status: int, **headers: str) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Handler, "facts", dict(Handler.facts))
    answered = threading.Event()
    monkeypatch.setattr(Handler, "quick_one_answered", answered, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        answered.set()
        server.shutdown()


def state(source: str, timeout_s: float = 5.0) -> str | InputError:
    return ask_states([source], timeout_s)[source]


def test_the_mark_of_a_url_changes_with_what_its_server_tells(site: str) -> None:
    first = state(f"{site}/dump")
    assert first == state(f"{site}/dump")
    assert first == '{"etag":"\\"one\\"","last_modified":null,"bytes":1000}'
    seen = {first}
    for name, value in (("ETag", '"two"'), ("Content-Length", "1001"), ("Last-Modified", "Mon, 23 Nov 2026 GMT")):
        Handler.facts[name] = value
        seen.add(state(f"{site}/dump"))
    assert len(seen) == 4


def test_a_redirect_is_followed_and_a_server_without_head_is_asked_for_a_byte(site: str) -> None:
    assert state(f"{site}/moved") == state(f"{site}/dump")
    assert state(f"{site}/no-head") == '{"etag":null,"last_modified":null,"bytes":777}'


@pytest.mark.parametrize("path", ["/none", "/rubbish"])
def test_what_does_not_answer_as_it_should_is_said_to_be_out_of_reach(site: str, path: str) -> None:
    found = state(site + path)
    assert isinstance(found, OutOfReachError)
    assert str(found).startswith(f"{site}{path} ")


def test_no_secret_of_a_url_is_told(site: str) -> None:
    found = state(site.replace("//", "//me:hush@") + "/none?key=hush")
    assert isinstance(found, OutOfReachError) and "hush" not in str(found)


def test_a_server_that_tells_nothing_cannot_be_followed(site: str) -> None:
    found = state(f"{site}/bare")
    assert isinstance(found, InputError) and "so that a change cannot be seen" in str(found)


def test_slow_ones_hold_nobody(site: str) -> None:
    """They say nothing whole before the last one has its answer, so that one after the other all would wait."""
    slow = [f"{site}/slow", f"{site}/drip"]
    found = ask_states([*slow, f"{site}/quick"], timeout_s=60)
    assert all(isinstance(found[source], OutOfReachError) for source in slow)
    assert isinstance(found[f"{site}/quick"], str)


def test_who_says_nothing_or_never_comes_to_an_end_is_given_up(site: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for url in (f"http://127.0.0.1:{silent.getsockname()[1]}/", f"{site}/drip"):
            assert str(state(url, timeout_s=0.3)) == f"{url} does not answer (TimeoutError)"


def test_the_mark_of_a_file_is_its_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "reviews.jsonl"
    file.write_text("one")
    os.utime(file, ns=(5, 7))
    assert state(str(file)) == "3 bytes of 7"
    os.utime(file, ns=(5, 8))
    assert state(str(file)) == "3 bytes of 8"
    assert isinstance(state(str(tmp_path / "none")), OutOfReachError)


def test_the_sample_never_changes_and_other_schemes_are_not_followed() -> None:
    assert state("sample:") == "sample:"
    assert "neither a path nor a URL" in str(state("ftp://example.org/dump"))
