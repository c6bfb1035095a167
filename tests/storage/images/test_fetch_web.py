"""Asking the web: what is tried again, how much at a time, what is too much, and what is never asked.

The server is a real one on this machine. Where a dataset is not a local one, 127.0.0.1 alone stands in for the
internet; the rest of 127.0.0.0/8 is what it is, and the server listens there too, so that it would notice. Names are
resolved by a fake that knows a few; everything behind the resolver is the real client.
"""

import asyncio
import gzip
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from yarl import URL

from storage.images import url_policy
from storage.images.client import MAX_PAUSES
from storage.images.fetch import Wanted
from tests.storage.picture_server import (
    LIMITS,
    Answer,
    Server,
    drip,
    endless,
    fetch,
    half,
    in_background,
    jpeg,
    nothing,
    serving,
    speaking,
    statuses,
    wanted,
)

QUICK = replace(LIMITS, timeout_s=0.3, retries=1)

NAMES = {
    "cdn.example": ["127.0.0.1"],
    "other.example": ["127.0.0.1"],
    "inside.example": ["127.0.0.2"],
    "link-local.example": ["169.254.169.254"],
    "private.example": ["10.0.0.1", "192.168.1.1"],
    "mixed.example": ["127.0.0.2", "127.0.0.1"],
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tmp_path / "shards"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake of the resolver: no name but these is known."""

    async def resolve(
        self: object, host: str, port: int = 0, family: int = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        host.encode("idna")
        if host not in NAMES:
            raise OSError("no such name")
        return [
            {"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for address in NAMES[host]
        ]

    monkeypatch.setattr(aiohttp.AsyncResolver, "resolve", resolve)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1, and no other address of this machine, stands in for the internet."""
    is_public = url_policy.is_public
    monkeypatch.setattr(url_policy, "is_public", lambda address: address == "127.0.0.1" or is_public(address))


def redirect(place: str, status: int = 302) -> Answer:
    return Answer(b"elsewhere", status, {"Location": place})


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            (Answer(jpeg()), "ok"),
            (Answer(jpeg(), headers={"Content-Type": "text/html"}), "ok"),
            (Answer(b"<html>Robot check</html>", headers={"Content-Type": "image/jpeg"}), "undecodable"),
            (Answer(gzip.compress(jpeg(), mtime=0), headers={"Content-Encoding": "gzip"}), "undecodable"),
            (Answer(jpeg(), headers={"Content-Encoding": "gzip"}), "ok"),
            (Answer(b""), "undecodable"),
            (Answer(jpeg(width=90, height=90)[:400]), "undecodable"),
            (Answer(jpeg(width=101, height=100)), "too_many_pixels"),
            (Answer(b"x" * (LIMITS.max_bytes + 1)), "too_large"),
            (Answer(send=endless), "too_large"),
            (Answer(status=404), "http_404"),
            (Answer(jpeg(), 410), "http_410"),
            (Answer(status=403), "http_403"),
            (Answer(status=204), "http_204"),
            (Answer(status=302), "http_302"),
        ],
    )
    def test_what_is_so_for_good_is_asked_once(self, server: Server, shards: Path, answer: Answer, status: str) -> None:
        server.script = {"/a": [answer]}
        assert statuses(fetch(wanted(server.url + "/a"), shards)) == [status]
        assert statuses(fetch(wanted(server.url + "/a"), shards)) == [status]
        assert server.asked == ["/a"]

    def test_what_announces_too_much_is_refused_before_it_is_read(self, server: Server, shards: Path) -> None:
        announced = Answer(headers={"Content-Length": str(10**12)}, send=drip)
        server.script = {"/a": [announced]}
        assert statuses(fetch(wanted(server.url + "/a"), shards)) == ["too_large"]  # and not timeout

    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            (Answer(status=500), "http_500"),
            (Answer(status=502), "http_502"),
            (Answer(status=503), "http_503"),
            (Answer(status=504), "http_504"),
            (Answer(status=408), "http_408"),
            (Answer(status=429), "http_429"),
            (Answer(send=drip), "timeout"),
            (Answer(send=nothing), "timeout"),
            (Answer(send=half), "broken_off"),
        ],
    )
    def test_what_may_pass_is_asked_again_so_many_times(
        self, server: Server, shards: Path, answer: Answer, status: str
    ) -> None:
        server.script = {"/a": [answer]}
        assert statuses(fetch(wanted(server.url + "/a"), shards, limits=QUICK)) == [status]
        assert server.asked == ["/a"] * 2

    @pytest.mark.parametrize("failures", [[503, 500], [429, 503], [408]])
    def test_and_is_had_once_it_has_passed(self, server: Server, shards: Path, failures: list[int]) -> None:
        server.script = {"/a": [*(Answer(status=status) for status in failures), Answer(jpeg())]}
        assert statuses(fetch(wanted(server.url + "/a"), shards)) == ["ok"]
        assert len(server.asked) == len(failures) + 1

    def test_a_server_that_is_not_there_is_unreachable(self, shards: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # nobody listens
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
            found = fetch(wanted(url, "http://nowhere.example/a"), shards)
        assert statuses(found) == ["unreachable"] * 2

    def test_what_speaks_no_http_is_a_bad_answer(self, shards: Path) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"220 smtp.example ESMTP\r\n" * 3)
            writer.close()

        with speaking(talk) as port:
            found = fetch(wanted(f"http://127.0.0.1:{port}/a", f"https://127.0.0.1:{port}/a"), shards, limits=QUICK)
        assert statuses(found)[0] == "bad_answer"
        assert statuses(found)[1] in ("bad_tls", "broken_off", "timeout", "unreachable")

    def test_a_mistake_in_the_client_library_costs_one_picture(
        self, server: Server, shards: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        get = aiohttp.ClientSession.get

        def mistaken(session: aiohttp.ClientSession, place: URL, **options: Any) -> Any:
            return get(session, place, **options) if place.path == "/a" else {}["no such key"]

        monkeypatch.setattr(aiohttp.ClientSession, "get", mistaken)
        assert statuses(fetch(wanted(server.url + "/a", server.url + "/b"), shards)) == ["ok", "bad_answer"]
        assert "a URL could not be asked for a picture (KeyError)" in caplog.text

    def test_the_client_says_who_it_is_and_asks_for_bodies_as_they_are(self, server: Server, shards: Path) -> None:
        fetch(wanted(server.url + "/a"), shards)
        (headers,) = server.headers
        assert headers["User-Agent"] == "gated-rec-pipeline"
        assert headers["Accept-Encoding"] == "identity"
        assert not {"Cookie", "Authorization", "Referer"} & headers.keys()

    def test_pictures_of_every_kind_arrive(self, server: Server, shards: Path) -> None:
        for mode, kind in (("CMYK", "JPEG"), ("I;16", "PNG"), ("P", "GIF"), ("RGBA", "WEBP")):
            content = BytesIO()
            Image.new(mode, (20, 10)).save(content, kind)
            server.script["/" + mode] = [Answer(content.getvalue())]
        found = fetch(wanted(*(server.url + path for path in server.script)), shards)
        assert statuses(found) == ["ok"] * 4


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_they_are_followed(self, server: Server, shards: Path, status: int) -> None:
        server.script = {"/a": [redirect("/b?size=1", status)]}
        (row,) = fetch(wanted(server.url + "/a"), shards).table.to_pylist()
        assert (row["status"], row["url"]) == ("ok", server.url + "/a")
        assert server.asked == ["/a", "/b?size=1"]

    @pytest.mark.parametrize(("hops", "status"), [(5, "ok"), (6, "too_many_redirects")])
    def test_but_not_for_ever(self, server: Server, shards: Path, hops: int, status: str) -> None:
        server.script = {f"/{n}": [redirect(f"/{n + 1}")] for n in range(hops)}
        assert statuses(fetch(wanted(server.url + "/0"), shards)) == [status]

    def test_a_loop_ends(self, server: Server, shards: Path) -> None:
        server.script = {"/a": [redirect("/b")], "/b": [redirect("/a")]}
        assert statuses(fetch(wanted(server.url + "/a"), shards)) == ["too_many_redirects"]
        assert len(server.asked) == 6

    @pytest.mark.parametrize(
        ("place", "status"),
        [
            ("file:///etc/passwd", "forbidden"),
            ("FILE:///etc/passwd", "forbidden"),
            ("ftp://example.org/a.jpg", "forbidden"),
            ("data:image/png;base64,AAAA", "forbidden"),
            ("http://127.0.0.2:{port}/secret", "forbidden"),
            ("//127.0.0.2:{port}/secret", "forbidden"),
            ("http://[::1]:{port}/secret", "forbidden"),
            ("http://[::ffff:127.0.0.1]:{port}/secret", "forbidden"),
            ("http://0:{port}/secret", "forbidden"),
            ("http://0x7f000002:{port}/secret", "forbidden"),
            ("http://10.0.0.1/secret", "forbidden"),
            ("http://169.254.169.254/latest/meta-data", "forbidden"),
            ("http://inside.example:{port}/secret", "forbidden"),
            ("http://private.example:{port}/secret", "forbidden"),
            ("http://link-local.example:{port}/secret", "forbidden"),
            ("http://[", "bad_url"),
            ("http://a:99999/", "bad_url"),
        ],
    )
    @pytest.mark.usefixtures("internet")
    def test_they_lead_neither_to_files_nor_to_private_addresses(
        self, server: Server, shards: Path, place: str, status: str
    ) -> None:
        server.script = {"/a": [redirect(place.format(port=server.server_port))]}
        assert statuses(fetch(wanted(server.url + "/a"), shards, local=False)) == [status]
        assert server.asked == ["/a"]

    def test_not_even_those_of_a_local_dataset_lead_to_files(self, server: Server, shards: Path) -> None:
        server.script = {"/a": [redirect("file:///etc/passwd")], "/b": [redirect(server.at_host("127.0.0.2") + "/c")]}
        assert statuses(fetch(wanted(server.url + "/a", server.url + "/b"), shards)) == ["forbidden", "ok"]


@pytest.mark.usefixtures("internet")
class TestPrivateAddresses:
    @pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "localhost.", "2130706433", "inside.example"])
    def test_are_not_asked(self, server: Server, shards: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(NAMES, "localhost.", ["127.0.0.2"])
        assert statuses(fetch(wanted(server.at_host(host) + "/secret"), shards, local=False)) == ["forbidden"]
        assert server.asked == []
        assert server.connections == 0

    def test_a_name_is_asked_at_its_public_addresses_alone(self, server: Server, shards: Path) -> None:
        urls = [server.at_host(name) + "/a" for name in ("cdn.example", "mixed.example")]
        assert statuses(fetch(wanted(*urls), shards, local=False)) == ["ok", "ok"]

    def test_are_asked_for_a_local_dataset(self, server: Server, shards: Path) -> None:
        urls = [server.at_host(name) + "/a" for name in ("127.0.0.2", "inside.example")]
        assert statuses(fetch(wanted(*urls, "file:///etc/passwd"), shards, local=True)) == ["ok", "ok", "forbidden"]


class TestBusyHosts:
    @pytest.mark.parametrize("status", [429, 503])
    def test_a_retry_after_is_waited_for_by_all_that_ask_the_host(
        self, server: Server, shards: Path, status: int
    ) -> None:
        server.script = {"/0": [Answer(status=status, headers={"Retry-After": "1"}), Answer(jpeg())]}
        one_by_one = replace(LIMITS, host_concurrency=1)
        urls = [f"{server.url}/{n}" for n in range(4)] + [server.at_host("127.0.0.2") + "/other"]
        assert statuses(fetch(wanted(*urls), shards, limits=one_by_one)) == ["ok"] * 5
        refused, *later = [at for path, at in zip(server.asked, server.at, strict=True) if path != "/other"]
        assert len(later) == 4
        assert all(at - refused >= 1 for at in later)
        assert "/other" in server.asked[:2]  # another host does not wait

    def test_a_retry_after_may_be_a_date(self, server: Server, shards: Path) -> None:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
        server.script = {
            "/a": [Answer(status=429, headers={"Retry-After": format_datetime(until, True)}), Answer(jpeg())]
        }
        assert statuses(fetch(wanted(server.url + "/a"), shards)) == ["ok"]
        assert datetime.now(UTC) >= until

    def test_a_longer_one_than_patience_ends_all_that_ask_the_host_at_once(self, server: Server, shards: Path) -> None:
        server.script = {f"/{n}": [Answer(status=429, headers={"Retry-After": "3600"})] for n in range(50)}
        urls = [f"{server.url}/{n}" for n in range(50)] + [server.at_host("127.0.0.2") + "/other"]
        found = fetch(wanted(*urls), shards)
        assert statuses(found) == ["http_429"] * 50 + ["ok"]
        assert len(server.asked) - 1 <= LIMITS.host_concurrency
        server.script = {}
        assert statuses(fetch(wanted(*urls), shards)) == ["ok"] * 51

    def test_a_host_that_gives_a_little_between_its_pauses_gives_all_in_the_end(
        self, server: Server, shards: Path
    ) -> None:
        server.gives_every = 2
        found = fetch(wanted(*(f"{server.url}/{n}" for n in range(20))), shards)
        assert statuses(found) == ["ok"] * 20
        assert len(server.asked) == 40

    def test_a_host_that_only_refuses_is_left_alone(self, server: Server, shards: Path) -> None:
        server.script = {f"/{n}": [Answer(status=429)] for n in range(200)}
        found = fetch(wanted(*(f"{server.url}/{n}" for n in range(200))), shards)
        assert statuses(found) == ["http_429"] * 200
        assert len(server.asked) < 100

    def test_a_url_that_alone_is_refused_does_not_hold_its_host_up_for_ever(self, server: Server, shards: Path) -> None:
        server.script = {"/a": [Answer(status=429)]}
        one_by_one = replace(LIMITS, concurrency=1, host_concurrency=1, first_wait_s=0.001)
        found = fetch(wanted(server.url + "/a", *(f"{server.url}/{n}" for n in range(1000))), shards, limits=one_by_one)
        assert statuses(found) == ["http_429"] + ["ok"] * 1000
        assert server.asked.count("/a") == MAX_PAUSES + 1


@contextmanager
def held_until(server: Server, reached: Callable[[], bool]) -> Iterator[None]:
    """Let requests wait for their answers until something is so, at most for a minute."""
    server.gate.clear()

    def open_the_gate() -> None:
        deadline = time.monotonic() + 60
        while not reached() and time.monotonic() < deadline:
            time.sleep(0.01)
        server.gate.set()

    with in_background(open_the_gate):
        yield


class TestConnections:
    def test_they_stay_open_for_the_next_request(self, server: Server, shards: Path) -> None:
        server.script = {f"/{n}": [Answer(b"gone", 404)] for n in range(0, 200, 5)}
        server.script |= {f"/{n}": [redirect(f"/to/{n}")] for n in range(1, 200, 5)}
        found = fetch(wanted(*(f"{server.url}/{n}" for n in range(200))), shards)
        assert statuses(found) == ["http_404" if n % 5 == 0 else "ok" for n in range(200)]
        assert len(server.asked) == 240
        assert server.connections <= LIMITS.host_concurrency

    def test_no_host_is_asked_for_more_at_a_time_than_it_may_and_all_for_no_more_than_all(
        self, server: Server, shards: Path
    ) -> None:
        hosts = [f"127.0.0.{n}" for n in (1, 2)]
        urls = [f"{server.at_host(hosts[n % 2])}/{n}" for n in range(90)]
        limits = replace(LIMITS, concurrency=5, host_concurrency=3, timeout_s=60)
        with held_until(server, lambda: server.at_once[""] == 5):
            fetch(wanted(*urls), shards, limits=limits)
        assert max(server.most_at_once[host] for host in hosts) == 3
        assert server.most_at_once[""] == 5

    def test_a_host_keeps_its_bound_when_others_lead_to_it(self, server: Server, shards: Path) -> None:
        server.held = "127.0.0.9"
        target = server.at_host(server.held)
        server.script = {f"/{n}": [redirect(f"{target}/to/{n}")] for n in range(40)}
        urls = [f"{server.at_host(f'127.0.0.{1 + n % 5}')}/{n}" for n in range(40)]
        with held_until(server, lambda: server.at_once[server.held] == LIMITS.host_concurrency):
            assert statuses(fetch(wanted(*urls), shards, limits=replace(LIMITS, timeout_s=60))) == ["ok"] * 40
        assert server.most_at_once[server.held] == LIMITS.host_concurrency

    def test_a_slow_host_does_not_hold_the_places_of_the_others(self, server: Server, shards: Path) -> None:
        server.gate.clear()
        server.script = {}
        slow = [f"{server.at_host('127.0.0.2')}/slow/{n}" for n in range(100)]
        quick = [f"{server.at_host('127.0.0.1')}/quick/{n}" for n in range(20)]
        server.held = "127.0.0.2"
        items = wanted(*slow, *quick)
        done: list[str] = []

        def release_when_quick_are_done() -> None:
            deadline = time.monotonic() + 30
            while sum(path.startswith("/quick") for path in server.asked) < 20 and time.monotonic() < deadline:
                time.sleep(0.01)
            done.extend(server.asked)
            server.gate.set()

        with in_background(release_when_quick_are_done):
            found = fetch(items, shards, limits=replace(LIMITS, timeout_s=60))
        assert statuses(found) == ["ok"] * 120
        assert sum(path.startswith("/quick") for path in done) == 20
        assert sum(path.startswith("/slow") for path in done) == LIMITS.host_concurrency


URL_PARTS = st.sampled_from(
    ["http", "https", "file", "ftp", "data", ":", "//", "/", "?", "#", "@", "%", "%zz", "[", "]", "::1", "127.0.0.1",
     "0x7f.1", "cdn.example", "xn--", "a" * 70, ".", "..", ":99999", ":-1", ":0", " ", "\x00", "\n", "é", "。",
     "\ud7ff", "\\"]
)  # fmt: skip


@given(st.lists(st.text() | st.lists(URL_PARTS, max_size=8).map("".join), max_size=4))
@example(["http://" + "a" * 64 + ".example/"])
@example(["http://user:pass@[::1%25eth0]:80/"])
@example(["http://cdn.example:0/", "https://cdn.example:65536/"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_raises_whatever_a_url_may_be(tmp_path_factory: pytest.TempPathFactory, urls: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    limits = replace(QUICK, retries=0)
    for local in (False, True):
        table = fetch([Wanted("A", [urls])], folder / str(local), base=folder, local=local, limits=limits).table
        (row,) = table.to_pylist()
        assert row["status"] in {
            "missing", "forbidden", "bad_url", "bad_path", "not_found", "unreachable", "undecodable", "timeout",
        }  # fmt: skip
        assert row["url"] in (urls or [None])
