"""Downloads, against a real server on this machine that misbehaves in every way that servers do."""

import email.utils
import errno
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts.data_root import DataRoot
from storage.catalogue import Dataset
from storage.environment import PROJECT_ROOT
from storage.errors import InputError
from storage.files.checksums import verify_checksum
from storage.http_policy import Retries
from storage.progress import Progress
from storage.raw import download as module
from storage.raw.download import Download, download
from storage.raw.sample import SampleSize
from storage.raw.sources import obtain

NO_LIMIT = 1 << 40
HALF = 4 * 65536  # what has arrived is kept in pieces of 64 KiB
DUMP = gzip.compress(random.Random(0).randbytes(600_000), mtime=0)
OTHER = gzip.compress(random.Random(1).randbytes(500_000), mtime=0)
MONDAY, TUESDAY = "Mon, 06 Oct 2025 10:00:00 GMT", "Tue, 07 Oct 2025 10:00:00 GMT"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Upstream"

    def do_GET(self) -> None:
        self.server.asked.append({"path": self.path, **{key.lower(): value for key, value in self.headers.items()}})
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0]).answer(self)

    def head(self, status: int, headers: dict[str, Any]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            if value is not None:
                self.send_header(key, str(value))
        self.end_headers()

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


class Upstream(ThreadingHTTPServer):
    """A server that answers each request by the next part of its script, and goes on with the last."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[File | Status | Hang] = []
        self.asked: list[dict[str, str]] = []
        self.sent = 0  # bytes of bodies
        self.released = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that hangs up is part of the game
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/Gift_Cards.json.gz"


@dataclass
class File:
    """A file as a sound server gives it: conditional requests, ranges tied to a state; and ways to be less sound."""

    content: bytes
    etag: str | None = '"one"'
    modified: str | None = MONDAY
    ranges: bool = True
    if_range: bool = True
    conditions: bool = True
    hang_up_after: int | None = None
    length: int | None = None
    chunked: bool = False
    extra: dict[str, str] = field(default_factory=dict)

    def answer(self, handler: Handler) -> None:
        asked, total = handler.headers, len(self.content) if self.length is None else self.length
        validators = {"ETag": self.etag, "Last-Modified": self.modified, **self.extra}
        if self.conditions and self._unchanged(asked):
            return handler.head(304, {**validators, "Content-Length": 0})
        first = 0
        if self.ranges and "Range" in asked:
            current = asked["If-Range"] in (self.etag, self.modified)
            first = int(asked["Range"].removeprefix("bytes=").removesuffix("-")) if current or not self.if_range else 0
        if first and first >= total:
            return handler.head(416, {"Content-Range": f"bytes */{total}", "Content-Length": 0})
        headers: dict[str, Any] = {**validators, "Content-Length": total - first}
        if self.chunked:
            headers = {**validators, "Transfer-Encoding": "chunked"}
        if first:
            headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
        handler.head(206 if first else 200, headers)
        return self._body(handler, self.content[first : self.hang_up_after], total - first)

    def _unchanged(self, asked: Any) -> bool:
        if "If-None-Match" in asked:
            return asked["If-None-Match"] == self.etag
        return self.modified is not None and asked["If-Modified-Since"] == self.modified

    def _body(self, handler: Handler, body: bytes, promised: int) -> None:
        try:
            for start in range(0, len(body), 65536):
                piece = body[start : start + 65536]
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)
                handler.server.sent += len(piece)
            if self.chunked:
                handler.wfile.write(b"0\r\n\r\n")
            elif len(body) != promised:
                handler.hang_up()
        except OSError:
            handler.close_connection = True


@dataclass
class Status:
    """An answer without a file."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)

    def answer(self, handler: Handler) -> None:
        handler.head(self.status, {**self.headers, "Content-Length": 0})


@dataclass
class Hang:
    """Half of a file, and then silence until the test lets go."""

    content: bytes

    def answer(self, handler: Handler) -> None:
        handler.head(200, {"ETag": '"one"', "Content-Length": len(self.content)})
        handler.wfile.write(self.content[:HALF])
        handler.wfile.flush()
        handler.server.released.wait(60)
        handler.hang_up()


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@dataclass
class Place:
    """Where a test downloads to, with waits that are written down and not waited."""

    folder: Path
    waits: list[float] = field(default_factory=list)

    @property
    def target(self) -> Path:
        return self.folder / "data" / "Gift_Cards.json.gz"

    @property
    def receipt(self) -> Path:
        return self.folder / "data" / "Gift_Cards.json.gz.receipt.json"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def left_in_work(self) -> list[int]:
        """Sizes of what is in the work folder, without the empty lock."""
        return sorted(file.stat().st_size for file in self.work.glob("*") if file.suffix != ".lock")

    def get(self, url: str, max_bytes: int = NO_LIMIT, attempts: int = 4, **more: Any) -> Download:
        retries = Retries(attempts=attempts, sleep=self.waits.append, draw=lambda: 1.0)
        return download(url, self.target, self.work, max_bytes, Progress("test"), retries=retries, **more)

    def refused(self, url: str, **more: Any) -> str:
        with pytest.raises(InputError) as caught:
            self.get(url, **more)
        message = str(caught.value)
        assert "\n" not in message
        assert not self.target.exists()
        assert not self.receipt.exists()
        return message


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class TestWhole:
    def test_a_file_arrives_byte_by_byte_with_a_receipt(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP)]
        result = place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert result.fetched
        assert verify_checksum(place.receipt.read_bytes()) == {
            "etag": '"one"',
            "last_modified": MONDAY,
            "bytes": len(DUMP),
            "url": upstream.url,
            "sha256": hashlib.sha256(DUMP).hexdigest(),
        }
        assert len(upstream.asked) == 1
        assert place.waits == []
        assert place.left_in_work() == []
        assert sorted(file.name for file in place.target.parent.iterdir()) == [place.target.name, place.receipt.name]

    def test_the_request_says_who_asks_and_wants_no_coding(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP)]
        place.get(upstream.url)
        asked = upstream.asked[0]
        assert asked["user-agent"] == "gated-rec-pipeline"
        assert asked["accept-encoding"] == "identity"
        assert not {"range", "if-range", "if-none-match", "if-modified-since"} & set(asked)

    @pytest.mark.parametrize(
        "content",
        [b'{"a": 1}\n', b"", DUMP + OTHER, DUMP + bytes(1024), gzip.compress(bytes(50_000_000), mtime=0)],
        ids=["plain", "empty", "two members", "padded with zeros", "inflates a thousandfold"],
    )
    def test_sound_files_of_every_kind_are_taken_as_they_are(
        self, upstream: Upstream, place: Place, content: bytes
    ) -> None:
        upstream.script = [File(content)]
        place.get(upstream.url)
        assert place.target.read_bytes() == content

    def test_a_body_without_length_is_taken(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, chunked=True)]
        assert place.get(upstream.url).receipt.bytes == len(DUMP)
        assert place.target.read_bytes() == DUMP

    def test_a_file_that_is_declared_as_coded_keeps_its_bytes(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, extra={"Content-Encoding": "gzip"})]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP

    def test_redirects_are_followed(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [Status(302, {"Location": "/mirror/file"}), File(DUMP)]
        assert place.get(upstream.url).receipt.url == upstream.url
        assert place.target.read_bytes() == DUMP
        assert [asked["path"] for asked in upstream.asked] == ["/Gift_Cards.json.gz", "/mirror/file"]

    def test_a_copy_is_published_where_the_work_folder_is_on_another_file_system(
        self, upstream: Upstream, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_link(*_: object) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", no_link)
        upstream.script = [File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert place.left_in_work() == []

    def test_two_at_once_take_turns(self, upstream: Upstream, tmp_path: Path) -> None:
        upstream.script = [File(DUMP)]
        targets = [tmp_path / name / "file.gz" for name in ("a", "b", "c")]
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda t: download(upstream.url, t, tmp_path / "w", NO_LIMIT, Progress("t")), targets))
        assert [target.read_bytes() for target in targets] == [DUMP] * 3
        assert upstream.sent == 3 * len(DUMP)


class TestUnchanged:
    @pytest.mark.parametrize(
        ("etag", "modified", "condition"),
        [('"one"', MONDAY, "if-none-match"), ('W/"one"', None, "if-none-match"), (None, MONDAY, "if-modified-since")],
    )
    def test_what_has_not_changed_is_not_sent_again(
        self, upstream: Upstream, place: Place, etag: str | None, modified: str | None, condition: str
    ) -> None:
        upstream.script = [File(DUMP, etag, modified)]
        first = place.get(upstream.url)
        second = place.get(upstream.url)
        assert (second.fetched, second.receipt) == (False, first.receipt)
        assert upstream.sent == len(DUMP)
        assert upstream.asked[1][condition] == (etag or modified)
        assert place.target.read_bytes() == DUMP

    @pytest.mark.parametrize(("etag", "modified"), [('"one"', None), (None, MONDAY), ('"one"', MONDAY)])
    def test_a_server_without_conditions_is_taken_at_its_etag_and_size(
        self, upstream: Upstream, place: Place, etag: str | None, modified: str | None
    ) -> None:
        upstream.script = [File(DUMP, etag, modified, conditions=False)]
        place.get(upstream.url)
        inode = place.target.stat().st_ino
        assert not place.get(upstream.url).fetched
        assert place.target.stat().st_ino == inode
        assert len(upstream.asked) == 2

    def test_without_etag_and_date_it_is_fetched_each_time(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, etag=None, modified=None)]
        assert [place.get(upstream.url).fetched for _ in range(2)] == [True, True]

    def test_what_has_changed_replaces_file_and_receipt(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP), File(OTHER, '"two"', TUESDAY)]
        place.get(upstream.url)
        result = place.get(upstream.url)
        assert result.fetched
        assert place.target.read_bytes() == OTHER
        assert json.loads(place.receipt.read_bytes())["etag"] == '"two"'
        assert upstream.asked[1]["if-none-match"] == '"one"'

    def test_a_file_of_the_same_size_that_was_changed_here_is_fetched_again(
        self, upstream: Upstream, place: Place
    ) -> None:
        upstream.script = [File(DUMP)]
        place.get(upstream.url)
        place.target.write_bytes(bytes(len(DUMP)))
        assert place.get(upstream.url).fetched
        assert place.target.read_bytes() == DUMP
        assert "if-none-match" not in upstream.asked[1]

    @pytest.mark.parametrize("receipt", [b"not JSON", b"{}"])
    def test_an_unreadable_receipt_counts_for_nothing(self, upstream: Upstream, place: Place, receipt: bytes) -> None:
        upstream.script = [File(DUMP)]
        place.get(upstream.url)
        place.receipt.write_bytes(receipt)
        assert place.get(upstream.url).fetched

    def test_the_receipt_of_another_url_counts_for_nothing(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP)]
        place.get(upstream.url + "?version=1")
        assert place.get(upstream.url).fetched
        assert "if-none-match" not in upstream.asked[1]

    def test_force_fetches_it_all_the_same(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP)]
        place.get(upstream.url)
        assert place.get(upstream.url, force=True).fetched
        assert upstream.sent == 2 * len(DUMP)

    def test_force_does_not_build_upon_what_has_arrived(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, hang_up_after=HALF)]
        place.refused(upstream.url, attempts=1)
        upstream.script = [File(DUMP)]
        place.get(upstream.url, force=True)
        assert "range" not in upstream.asked[1]
        assert place.target.read_bytes() == DUMP

    def test_a_successor_that_was_taken_back_leaves_nothing_in_the_work_folder(
        self, upstream: Upstream, place: Place
    ) -> None:
        upstream.script = [File(DUMP), File(OTHER, None, None, hang_up_after=HALF)]
        place.get(upstream.url)
        with pytest.raises(InputError, match="broke off"):
            place.get(upstream.url, attempts=1)
        assert max(place.left_in_work()) == HALF
        upstream.script = [File(DUMP)]
        assert not place.get(upstream.url).fetched
        assert place.left_in_work() == []


class TestBrokenOff:
    def test_it_goes_on_where_it_broke_off(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, hang_up_after=HALF), File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert [asked.get("range") for asked in upstream.asked] == [None, "bytes=262144-"]
        assert upstream.asked[1]["if-range"] == '"one"'
        assert upstream.sent == len(DUMP)
        assert place.waits == [1.0]

    def test_a_body_without_length_goes_on_too(self, upstream: Upstream, place: Place) -> None:
        class Cut(File):
            def _body(self, handler: Handler, body: bytes, promised: int) -> None:
                handler.wfile.write(b"10000\r\n" + body[:65536] + b"\r\n10000\r\n" + body[65536:70000])
                handler.hang_up()

        upstream.script = [Cut(DUMP, chunked=True), File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert upstream.asked[1]["range"] == "bytes=65536-"

    def test_as_long_as_something_new_arrives_it_is_not_given_up(self, upstream: Upstream, place: Place) -> None:
        cuts = [File(DUMP, hang_up_after=65536 * n) for n in range(1, 9)]
        upstream.script = [*cuts, File(DUMP)]
        place.get(upstream.url, attempts=2)
        assert place.target.read_bytes() == DUMP
        assert upstream.sent == len(DUMP)
        assert place.waits == [1.0] * 8

    def test_where_nothing_new_arrives_it_is_given_up_and_the_rest_kept(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, hang_up_after=HALF)]
        message = place.refused(upstream.url)
        assert f"broke off after 262,144 of {len(DUMP):,} bytes, 4 times in a row" in message
        assert len(upstream.asked) == 4
        assert place.waits == [1.0, 2.0, 4.0]
        assert max(place.left_in_work()) == HALF
        upstream.script = [File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert upstream.sent == len(DUMP)

    def test_a_file_that_changed_between_two_ranges_starts_over(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, hang_up_after=HALF), File(OTHER, '"two"', TUESDAY)]
        result = place.get(upstream.url)
        assert place.target.read_bytes() == OTHER
        assert result.receipt.etag == '"two"'
        assert len(upstream.asked) == 2

    @pytest.mark.parametrize(
        "changed",
        [
            File(OTHER, '"two"', MONDAY, if_range=False),
            File(OTHER, None, TUESDAY, if_range=False),
            File(OTHER, None, None, if_range=False),
        ],
        ids=["by its ETag", "by its date", "by its size"],
    )
    def test_a_change_shows_where_the_server_ignores_if_range(
        self, upstream: Upstream, place: Place, changed: File
    ) -> None:
        upstream.script = [File(DUMP, hang_up_after=HALF), changed]
        place.get(upstream.url)
        assert place.target.read_bytes() == OTHER
        assert [asked.get("range") for asked in upstream.asked] == [None, "bytes=262144-", None]

    def test_a_change_to_something_shorter_than_what_has_arrived_starts_over(
        self, upstream: Upstream, place: Place
    ) -> None:
        short = gzip.compress(b"short")
        upstream.script = [File(DUMP, hang_up_after=HALF), File(short, '"two"', if_range=False)]
        place.get(upstream.url)
        assert place.target.read_bytes() == short

    def test_a_server_without_ranges_starts_over(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, hang_up_after=HALF, ranges=False), File(DUMP, ranges=False)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert upstream.sent == HALF + len(DUMP)

    def test_arriving_again_is_not_something_new(self, upstream: Upstream, place: Place) -> None:
        cuts = [File(DUMP, hang_up_after=65536 * n, ranges=False) for n in (5, 1, 2, 3)]
        upstream.script = [*cuts, File(DUMP)]
        assert "broke off after 196,608 of" in place.refused(upstream.url)
        assert len(upstream.asked) == 4

    def test_a_range_that_begins_elsewhere_is_not_taken(self, upstream: Upstream, place: Place) -> None:
        headers = {"Content-Range": f"bytes 9-{len(DUMP) - 1}/{len(DUMP)}", "ETag": '"one"'}
        upstream.script = [File(DUMP, hang_up_after=HALF), Status(206, headers), File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert "range" not in upstream.asked[2]

    def test_without_a_validator_no_range_is_asked_for(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, None, None, hang_up_after=HALF), File(DUMP, None, None)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert "range" not in upstream.asked[1]

    def test_a_weak_etag_does_not_vouch_for_a_range(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, 'W/"one"', hang_up_after=HALF), File(DUMP, 'W/"one"')]
        place.get(upstream.url)
        assert upstream.asked[1]["if-range"] == MONDAY
        assert place.target.read_bytes() == DUMP

    def test_silence_is_a_broken_connection(
        self, upstream: Upstream, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "READ_TIMEOUT_S", 0.2)
        upstream.script = [Hang(DUMP), File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert upstream.asked[1]["range"] == "bytes=262144-"

    @pytest.mark.process
    def test_a_download_whose_process_is_killed_goes_on_in_the_next(self, upstream: Upstream, place: Place) -> None:
        script = (
            "import sys; from pathlib import Path; from storage.raw.download import download\n"
            "from storage.progress import Progress\n"
            "class Told(Progress):\n"
            "    def advance(self, count=1):\n"
            "        super().advance(count); print(self.done, flush=True)\n"
            "download(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), 1 << 40, Told('t'))\n"
        )
        upstream.script = [Hang(DUMP), File(DUMP, modified=None)]
        command = [sys.executable, "-c", script, upstream.url, str(place.target), str(place.work)]
        with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) == HALF:
                    process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not place.target.exists()
        assert max(place.left_in_work()) == HALF
        progress = Progress("test")
        result = download(upstream.url, place.target, place.work, NO_LIMIT, progress)
        assert place.target.read_bytes() == DUMP
        assert result.receipt.sha256 == hashlib.sha256(DUMP).hexdigest()
        assert [asked.get("range") for asked in upstream.asked] == [None, "bytes=262144-"]
        assert upstream.sent == len(DUMP) - HALF
        assert progress.done == progress.total == len(DUMP)
        assert place.left_in_work() == []

    def test_a_kill_between_the_last_byte_and_the_name_costs_no_byte(
        self, upstream: Upstream, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        upstream.script = [File(DUMP)]
        with monkeypatch.context() as patch:
            patch.setattr(module, "is_whole", killed)
            with pytest.raises(KeyboardInterrupt):
                place.get(upstream.url)
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert upstream.asked[1]["range"] == f"bytes={len(DUMP)}-"
        assert upstream.sent == len(DUMP)

    @pytest.mark.parametrize("note", [b"not JSON", None])
    def test_bytes_of_an_unknown_state_are_not_built_upon(
        self, upstream: Upstream, place: Place, note: bytes | None
    ) -> None:
        upstream.script = [File(DUMP, hang_up_after=HALF)]
        place.refused(upstream.url, attempts=1)
        (file,) = place.work.glob("*.json")
        file.unlink() if note is None else file.write_bytes(note)
        upstream.script = [File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert "range" not in upstream.asked[-1]


class TestDamaged:
    def test_a_length_that_promises_too_much_is_told(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, length=len(DUMP) + 1000)]
        message = place.refused(upstream.url)
        assert f" of {len(DUMP) + 1000:,} bytes, 4 times in a row" in message
        assert len(upstream.asked) == 4

    def test_a_length_that_promises_too_little_gives_a_damaged_file(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, length=len(DUMP) - 1000)]
        message = place.refused(upstream.url)
        assert "is damaged where it lies: its gzip does not inflate to the end" in message
        assert len(upstream.asked) == 2

    @pytest.mark.parametrize(
        "content",
        [DUMP[:-1], DUMP[:-8], DUMP[:-8] + b"\1\2\3\4" + DUMP[-4:], DUMP + OTHER[:999], DUMP + b"<html>", DUMP[:2]],
        ids=["a byte short", "no trailer", "wrong checksum", "second member cut", "something behind it", "magic alone"],
    )
    def test_damage_at_the_source_is_told_after_one_fresh_try(
        self, upstream: Upstream, place: Place, content: bytes
    ) -> None:
        upstream.script = [File(content)]
        assert "is damaged where it lies" in place.refused(upstream.url)
        assert len(upstream.asked) == 2
        assert not any("range" in asked for asked in upstream.asked)
        assert place.left_in_work() == []

    def test_damage_on_the_way_is_mended_by_a_fresh_try(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP[:300_000] + b"\0" + DUMP[300_001:]), File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert len(upstream.asked) == 2

    def test_ever_new_damage_is_given_up(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP[:-n]) for n in range(1, 9)]
        assert "arrives damaged, each time in another way" in place.refused(upstream.url)
        assert len(upstream.asked) == 4

    def test_a_damaged_successor_leaves_what_was_there(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP), File(OTHER[:-1], '"two"', TUESDAY)]
        place.get(upstream.url)
        with pytest.raises(InputError, match="damaged where it lies"):
            place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert json.loads(place.receipt.read_bytes())["etag"] == '"one"'


class TestRefused:
    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (410, "Gone"),
            (416, "Requested Range Not Satisfiable"),
        ],
    )
    def test_what_another_try_cannot_mend_is_asked_once(
        self, upstream: Upstream, place: Place, status: int, reason: str
    ) -> None:
        upstream.script = [Status(status)]
        message = place.refused(upstream.url)
        assert message == f"{upstream.url} answers {status} {reason}; name another URL or a local path in its place"
        assert (len(upstream.asked), place.waits) == (1, [])

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_tried_again(self, upstream: Upstream, place: Place, status: int) -> None:
        upstream.script = [Status(status), Status(status), Status(status), File(DUMP)]
        place.get(upstream.url)
        assert place.target.read_bytes() == DUMP
        assert place.waits == [1.0, 2.0, 4.0]

    def test_what_does_not_pass_is_given_up(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [Status(503)]
        assert "answers 503 Service Unavailable, 4 times in a row" in place.refused(upstream.url)
        assert len(upstream.asked) == 4

    def test_a_server_that_asks_for_patience_gets_it(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [Status(429, {"Retry-After": "7"}), File(DUMP)]
        place.get(upstream.url)
        assert place.waits == [7.0]

    def test_patience_may_be_asked_for_until_a_date(self, upstream: Upstream, place: Place) -> None:
        until = email.utils.formatdate(time.time() + 100, usegmt=True)
        upstream.script = [Status(503, {"Retry-After": until}), File(DUMP)]
        place.get(upstream.url)
        assert 90 < place.waits[0] <= 100

    @pytest.mark.parametrize("asked", ["soon", "-5", MONDAY, ""])
    def test_a_retry_after_that_says_nothing_leaves_the_usual_wait(
        self, upstream: Upstream, place: Place, asked: str
    ) -> None:
        upstream.script = [Status(429, {"Retry-After": asked}), File(DUMP)]
        place.get(upstream.url)
        assert place.waits == [1.0]

    def test_more_patience_than_a_run_has_is_told(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [Status(429, {"Retry-After": "86400"})]
        assert "answers 429 Too Many Requests and asks to wait 86,400 s" in place.refused(upstream.url)
        assert (len(upstream.asked), place.waits) == (1, [])

    def test_redirects_in_a_circle_are_told(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [Status(302, {"Location": "/Gift_Cards.json.gz"})]
        assert "cannot be downloaded (TooManyRedirects)" in place.refused(upstream.url)
        assert place.waits == []

    def test_a_redirect_does_not_reach_files_of_this_machine(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [Status(302, {"Location": "file:///etc/passwd"})]
        assert "cannot be downloaded (InvalidSchema)" in place.refused(upstream.url)

    def test_a_server_that_is_not_there_is_told_after_some_tries(self, place: Place) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            message = place.refused(f"http://127.0.0.1:{closed.getsockname()[1]}/file")
        assert "cannot be reached (ConnectionError), 4 times in a row" in message
        assert place.waits == [1.0, 2.0, 4.0]

    def test_a_url_that_is_none_is_told_at_once(self, place: Place) -> None:
        assert "cannot be downloaded (InvalidURL)" in place.refused("http://")
        assert place.waits == []


class TestSize:
    def test_a_file_beyond_the_limit_is_refused_before_it_starts(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP)]
        message = place.refused(upstream.url, max_bytes=len(DUMP) - 1)
        assert message == f"{upstream.url} is larger than max_dump_bytes ({len(DUMP) - 1:,})"
        assert len(upstream.asked) == 1
        assert place.left_in_work() == []

    def test_a_file_of_exactly_the_limit_is_taken(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP)]
        assert place.get(upstream.url, max_bytes=len(DUMP)).fetched

    def test_a_body_without_length_is_cut_at_the_limit(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP, chunked=True)]
        message = place.refused(upstream.url, max_bytes=100_000)
        assert "is larger than max_dump_bytes (100,000)" in message
        assert place.left_in_work() == []

    def test_a_limit_set_later_refuses_what_is_there(self, upstream: Upstream, place: Place) -> None:
        upstream.script = [File(DUMP)]
        place.get(upstream.url)
        with pytest.raises(InputError, match="larger than max_dump_bytes"):
            place.get(upstream.url, max_bytes=10)
        assert place.target.read_bytes() == DUMP

    def test_a_file_beyond_the_free_disk_is_refused_before_it_starts(
        self, upstream: Upstream, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, len(DUMP) - 1))
        upstream.script = [File(DUMP)]
        message = place.refused(upstream.url)
        assert f"needs {len(DUMP):,} bytes where REC_WORK has {len(DUMP) - 1:,} left" in message
        assert place.left_in_work() == []

    def test_only_what_is_missing_has_to_fit(
        self, upstream: Upstream, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = namedtuple("usage", "total used free")
        upstream.script = [File(DUMP, hang_up_after=HALF)]
        place.refused(upstream.url, attempts=1)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, len(DUMP) - HALF))
        upstream.script = [File(DUMP)]
        assert place.get(upstream.url).fetched

    @pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").is_dir(), reason="needs a folder that none can write")
    def test_a_folder_that_cannot_be_written_is_told_with_its_setting(self, upstream: Upstream, tmp_path: Path) -> None:
        work = Path("/proc/work") if os.geteuid() == 0 else tmp_path / "locked"
        if os.geteuid():
            work.mkdir(mode=0o500)
        with pytest.raises(InputError, match=r"cannot be kept: .*REC_WORK and REC_DATA say where it goes"):
            download(upstream.url, tmp_path / "file", work / "downloads", NO_LIMIT, Progress("test"))


class TestObtain:
    def obtain(self, source: str, tmp_path: Path, **more: Any) -> Any:
        dataset = Dataset(name="mine", format="amazon2018", reviews=source, metadata=source)
        size = SampleSize(20, 16, 7)
        return obtain(dataset, "reviews", tmp_path / "raw", tmp_path / "work", NO_LIMIT, size, **more)

    def test_a_url_is_told_by_where_and_what_it_was(self, upstream: Upstream, tmp_path: Path) -> None:
        upstream.script = [File(DUMP)]
        expected = {
            "source": upstream.url,
            "downloaded": True,
            "etag": '"one"',
            "last_modified": MONDAY,
            "bytes": len(DUMP),
            "sha256": hashlib.sha256(DUMP).hexdigest(),
        }
        first = self.obtain(upstream.url, tmp_path)
        assert (first.path, first.facts) == (tmp_path / "raw" / "Gift_Cards.json.gz", expected)
        assert self.obtain(upstream.url, tmp_path).facts == {**expected, "downloaded": False}
        assert self.obtain(upstream.url, tmp_path, force=True).facts == expected
        assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["downloads"]

    @pytest.mark.parametrize("path", ["/", "", "/a/.."])
    def test_a_url_without_a_file_name_gets_one(self, upstream: Upstream, tmp_path: Path, path: str) -> None:
        upstream.script = [File(DUMP)]
        url = f"http://127.0.0.1:{upstream.server_port}{path}"
        assert self.obtain(url, tmp_path).path == tmp_path / "raw" / "reviews"

    def test_a_refusal_names_the_setting(self, upstream: Upstream, tmp_path: Path) -> None:
        upstream.script = [Status(404)]
        with pytest.raises(InputError, match=r"^'reviews' is unavailable: http://127.* answers 404 Not Found; name"):
            self.obtain(upstream.url, tmp_path)

    def test_a_local_file_stays_where_it_is(self, tmp_path: Path) -> None:
        file = tmp_path / "dump.json"
        file.write_bytes(b"{}\n")
        obtained = self.obtain(str(file), tmp_path)
        assert (obtained.path, obtained.facts) == (file, {"source": str(file), "downloaded": False})


def test_work_files_lie_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REC_WORK", raising=False)
    assert DataRoot(tmp_path).work == tmp_path / ".work"
    monkeypatch.setenv("REC_WORK", "/fast/disk")
    assert DataRoot(tmp_path).work == Path("/fast/disk")


def test_what_was_there_before_does_not_count_in_the_rate(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, 2.0])
    monkeypatch.setattr("storage.progress.time.monotonic", lambda: next(clock))
    progress = Progress("raw_reviews mine", total=1000, unit="bytes", every=0.0)
    progress.resume(600)
    with caplog.at_level("INFO"):
        progress.advance(200)
    assert caplog.messages == ["raw_reviews mine: 800/1,000 bytes, 100/s, 2 s left"]
