"""Names are looked up by a real server, which answers or is silent; silence holds up nobody but who asked."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from storage.images import lookups
from storage.images.lookups import Lookups
from storage.images.statuses import RefusedError
from storage.images.store import PictureStore
from storage.images.url_policy import is_address
from tests.storage.name_server import name_server
from tests.storage.picture_server import LIMITS, Server, fetch, serving, wanted


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The name server of this test is the one that is asked."""
    with name_server() as port:

        def resolver() -> aiohttp.AsyncResolver:
            return aiohttp.AsyncResolver(timeout=1.0, tries=1, nameservers=["127.0.0.1"], udp_port=port)

        monkeypatch.setattr(lookups, "system_resolver", resolver)
        yield


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the name server is asked for, as they are asked."""
    found: list[str] = []
    resolve = aiohttp.AsyncResolver.resolve

    async def counted(self: aiohttp.AsyncResolver, host: str, port: int = 0, family: int = 0) -> object:
        found.append(host)
        return await resolve(self, host, port, family)  # type: ignore[arg-type]

    monkeypatch.setattr(aiohttp.AsyncResolver, "resolve", counted)
    return found


def test_pictures_of_good_names_come_before_the_dead_ones_are_given_up(server: Server, tmp_path: Path) -> None:
    dead = [f"http://n{n}.dead.test:{server.server_port}/a" for n in range(100)]
    good = [f"http://n{n % 3}.good.test:{server.server_port}/{n}" for n in range(30)]
    limits = replace(LIMITS, concurrency=4, host_concurrency=2, retries=0)
    found = fetch(wanted(*dead, *good), tmp_path / "shards", limits=limits).table.to_pylist()
    assert [row["status"] for row in found] == ["unreachable"] * 100 + ["ok"] * 30

    asked_at = {attempt.url: attempt.asked_at for attempt, _ in PictureStore(tmp_path / "shards").attempts()}
    first, last = (sorted(asked_at[url] for url in urls) for urls in (good, dead))
    assert first[len(first) // 2] < last[0]  # on a busy machine the last good ones may meet the first dead
    assert first[-1] < last[-1]


def test_a_name_is_looked_up_once_by_all_who_ask_at_the_same_time_and_known_afterwards(looked_up: list[str]) -> None:
    async def run() -> list[tuple[str, int]]:
        names = Lookups(local=True)
        first = await asyncio.gather(*(names.resolve("a.good.test", port) for port in (80, 81)))
        second = await names.resolve("a.good.test", 82)
        await names.close()
        return [(address["host"], address["port"]) for found in (*first, second) for address in found]

    assert asyncio.run(run()) == [("127.0.0.1", 80), ("127.0.0.1", 81), ("127.0.0.1", 82)]
    assert looked_up == ["a.good.test"]


@pytest.mark.parametrize(("name", "error"), [("a.good.test", RefusedError), ("a.dead.test", OSError)])
def test_a_name_of_private_addresses_is_forbidden_and_one_without_an_answer_is_an_error(
    name: str, error: type[Exception]
) -> None:
    async def run() -> None:
        names = Lookups(local=False)
        try:
            await names.resolve(name)
        finally:
            await names.close()

    with pytest.raises(error):
        asyncio.run(run())


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("a.test", False), ("1", False)])
def test_an_address_needs_no_lookup(host: str, expected: bool) -> None:
    assert is_address(host) == expected


def test_of_a_dead_name_that_is_left_alone_nothing_is_looked_up_any_more(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_up: list[str]
) -> None:
    monkeypatch.setattr("storage.images.host_limits.SILENT_S", 0.0)
    urls = [f"http://cdn.dead.test:{server.server_port}/{n}" for n in range(2000)]
    limits = replace(LIMITS, concurrency=2, host_concurrency=2, retries=0)
    found = fetch(wanted(*urls), tmp_path / "shards", limits=limits).table["status"].to_pylist()
    assert set(found) == {"unreachable"}
    assert 0 < len(looked_up) < 5  # whoever waits for the same name waits for one look-up
