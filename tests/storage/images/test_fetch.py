"""Every item gets its rows: from the dataset's folder, the web or an earlier run; whatever goes wrong is a status."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from storage.errors import InputError
from storage.images.fetch import Wanted
from storage.images.store import PictureStore
from storage.schemas import SCHEMAS
from tests.storage.picture_server import LIMITS, Answer, Server, fetch, jpeg, serving, statuses, wanted


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tmp_path / "shards"


def stored(folder: Path) -> list[str]:
    """Names of the shards."""
    return sorted(path.name for path in folder.glob("*.parquet"))


class TestFolder:
    def test_a_picture_is_kept_with_its_size(self, tmp_path: Path, shards: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(jpeg())
        (row,) = fetch(wanted("a.jpg"), shards, base=tmp_path).table.to_pylist()
        assert (row["status"], row["position"], row["width"], row["height"]) == ("ok", 0, 20, 10)
        assert row["bytes"] == len(jpeg())
        assert dict(PictureStore(shards).read([row["sha256"]])) == {row["sha256"]: jpeg()}

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("nothing.jpg", "not_found"),
            ("../secret.jpg", "forbidden"),
            ("/etc/passwd", "forbidden"),
            ("link.jpg", "symbolic_link"),
            ("folder/../../secret.jpg", "forbidden"),
            ("self.jpg", "bad_path"),
            ("pipe.jpg", "not_found"),
            (".", "not_found"),
            ("text.jpg", "undecodable"),
            ("half.jpg", "undecodable"),
            ("bomb.png", "too_many_pixels"),
            ("fat.jpg", "too_large"),
            ("nul\x00.jpg", "bad_path"),
            ("long" * 100 + ".jpg", "bad_path"),
            ("", "not_found"),
        ],
    )
    def test_what_cannot_be_used_says_why(self, tmp_path: Path, shards: Path, path: str, status: str) -> None:
        base = tmp_path / "dataset"
        base.mkdir()
        (tmp_path / "secret.jpg").write_bytes(jpeg())
        (base / "link.jpg").symlink_to(tmp_path / "secret.jpg")
        (base / "self.jpg").symlink_to(base / "self.jpg")
        os.mkfifo(base / "pipe.jpg")
        (base / "text.jpg").write_text("no picture")
        (base / "half.jpg").write_bytes(jpeg(width=90, height=90)[:400])
        (base / "fat.jpg").write_bytes(b"\xff" * (LIMITS.max_bytes + 1))
        Image.new("1", (101, 100)).save(base / "bomb.png")
        (row,) = fetch(wanted(path), shards, base=base).table.to_pylist()
        assert (row["status"], row["url"], row["sha256"]) == (status, path, None)

    def test_a_link_may_lead_into_a_folder_that_the_owner_names_and_nowhere_else(
        self, tmp_path: Path, shards: Path
    ) -> None:
        base, store = tmp_path / "snapshot", tmp_path / "blobs"
        base.mkdir()
        store.mkdir()
        for path in (store / "abc", tmp_path / "secret.jpg"):
            path.write_bytes(jpeg())
        (base / "0.jpg").symlink_to("../blobs/abc")
        (base / "1.jpg").symlink_to(tmp_path / "secret.jpg")
        (base / "2.jpg").symlink_to(base / "0.jpg")
        found = wanted("0.jpg", "1.jpg", "2.jpg", "../blobs/abc")
        assert statuses(fetch(found, shards, base=base)) == ["symbolic_link"] * 3 + ["forbidden"]
        named = fetch(found, shards, base=base, links=store)
        assert statuses(named) == ["ok", "symbolic_link", "ok", "forbidden"]

    def test_a_picture_of_a_few_pixels_is_passed_over_for_the_next(self, tmp_path: Path, shards: Path) -> None:
        (tmp_path / "one.jpg").write_bytes(jpeg(width=1, height=1))
        (tmp_path / "large.jpg").write_bytes(jpeg(width=40, height=40))
        item = [Wanted("A", [["one.jpg"], ["large.jpg"]])]
        limits = replace(LIMITS, min_side=16)
        (row,) = fetch(item, shards, base=tmp_path, limits=limits).table.to_pylist()
        assert (row["status"], row["url"]) == ("ok", "large.jpg")
        (row,) = fetch([Wanted("A", [["one.jpg"]])], shards, base=tmp_path, limits=limits).table.to_pylist()
        assert row["status"] == "too_small"
        (row,) = fetch(item, shards, base=tmp_path).table.to_pylist()  # under another limit it is one
        assert (row["status"], row["url"]) == ("ok", "one.jpg")
        (row,) = fetch(item, shards, base=tmp_path, limits=limits).table.to_pylist()
        assert (row["status"], row["url"]) == ("ok", "large.jpg")

    def test_a_picture_that_is_excluded_is_passed_over_for_the_next(self, tmp_path: Path, shards: Path) -> None:
        (tmp_path / "none.jpg").write_bytes(jpeg("none"))
        (tmp_path / "kettle.jpg").write_bytes(jpeg())
        limits = replace(LIMITS, excluded=frozenset([hashlib.sha256(jpeg("none")).hexdigest()]))
        (tmp_path / "none-small.jpg").write_bytes(jpeg("none", width=10))
        items = [Wanted("A", [["none.jpg", "none-small.jpg"], ["kettle.jpg"]]), Wanted("B", [["none.jpg"]])]
        found = fetch(items, shards, base=tmp_path, limits=limits)
        assert found.table.select(["url", "status"]).to_pylist() == [
            {"url": "kettle.jpg", "status": "ok"},
            {"url": "none.jpg", "status": "excluded"},
        ]
        assert statuses(fetch(items, shards, base=tmp_path)) == ["ok", "ok"]

    def test_without_a_folder_no_path_is_read(self, shards: Path) -> None:
        assert statuses(fetch(wanted("/etc/hostname", "etc/hostname"), shards)) == ["forbidden"] * 2

    def test_a_file_is_read_again_when_it_has_changed(self, tmp_path: Path, shards: Path) -> None:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            (tmp_path / name).write_bytes(jpeg(name))
        first = fetch(wanted("a.jpg", "b.jpg", "c.jpg"), shards, base=tmp_path)
        assert (first.asked, first.from_store) == (3, 0)
        (tmp_path / "a.jpg").write_bytes(jpeg("other"))
        os.utime(tmp_path / "a.jpg", ns=(0, 1))
        (tmp_path / "b.jpg").unlink()
        again = fetch(wanted("a.jpg", "b.jpg", "c.jpg"), shards, base=tmp_path)
        assert (again.asked, again.from_store) == (2, 1)
        assert statuses(again) == ["ok", "not_found", "ok"]
        assert again.table["sha256"][0] != first.table["sha256"][0]
        assert again.table["sha256"][2] == first.table["sha256"][2]

    def test_a_file_that_stays_unusable_leaves_no_new_shard_behind(self, tmp_path: Path, shards: Path) -> None:
        (tmp_path / "text.jpg").write_text("no picture")
        for _ in range(3):
            assert statuses(fetch(wanted("text.jpg", "none.jpg"), shards, base=tmp_path)) == [
                "undecodable",
                "not_found",
            ]
        assert len(stored(shards)) == 1


class TestItems:
    def test_every_item_gets_a_row_in_its_order(self, tmp_path: Path, shards: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(jpeg())
        items = [
            Wanted("B", []),
            Wanted("A", [["none.jpg"], ["a.jpg"]]),
            Wanted("C", [["none.jpg"]]),
            Wanted("D", [[]]),
        ]
        table = fetch(items, shards, base=tmp_path).table
        assert table.schema.equals(SCHEMAS["item_images"])
        assert [(row["item_id"], row["position"], row["status"], row["url"]) for row in table.to_pylist()] == [
            ("B", 0, "missing", None),
            ("A", 0, "ok", "a.jpg"),
            ("C", 0, "not_found", "none.jpg"),
            ("D", 0, "missing", None),
        ]

    def test_no_item_is_no_row(self, shards: Path) -> None:
        found = fetch([], shards)
        assert found.table.equals(SCHEMAS["item_images"].empty_table())
        assert not shards.exists()

    def test_the_order_holds_for_more_items_than_are_under_way(self, tmp_path: Path, shards: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(jpeg())
        items = [Wanted(str(n), [["a.jpg"]] if n % 3 else []) for n in range(10_000)]
        found = fetch(iter(items), shards, base=tmp_path)
        assert found.table["item_id"].to_pylist() == [str(n) for n in range(10_000)]
        assert statuses(found) == ["ok" if n % 3 else "missing" for n in range(10_000)]
        assert found.asked == 1

    def test_the_first_usable_place_wins_the_largest_size_first(self, server: Server, shards: Path) -> None:
        server.script = {"/hi": [Answer(status=404)], "/large": [Answer(jpeg("large"))], "/thumb": [Answer(jpeg("t"))]}
        places = [server.url + path for path in ("/hi", "/large", "/thumb")]
        (row,) = fetch([Wanted("A", [places, [server.url + "/second"]])], shards).table.to_pylist()
        assert (row["status"], row["url"]) == ("ok", places[1])
        assert server.asked == ["/hi", "/large"]

    def test_an_alternative_is_tried_after_a_failure_that_may_pass(self, server: Server, shards: Path) -> None:
        server.script = {"/hi": [Answer(status=500)]}
        items = [Wanted("A", [[server.url + "/hi", server.url + "/large"]])]
        (row,) = fetch(items, shards).table.to_pylist()
        assert (row["status"], row["url"]) == ("ok", server.url + "/large")
        server.script = {}
        (row,) = fetch(items, shards).table.to_pylist()  # what passed has passed
        assert (row["status"], row["url"]) == ("ok", server.url + "/hi")

    @pytest.mark.parametrize(
        ("answers", "told"),
        [((404, 500, 410), "http_500"), ((404, 410, 403), "http_404"), ((500, 404, 503), "http_500")],
    )
    def test_of_several_failures_the_first_that_may_pass_is_told_or_else_the_first(
        self, server: Server, shards: Path, answers: tuple[int, ...], told: str
    ) -> None:
        server.script = {f"/{n}": [Answer(status=status)] for n, status in enumerate(answers)}
        pictures = [[f"{server.url}/0", f"{server.url}/1"], [f"{server.url}/2"]]
        (row,) = fetch([Wanted("A", pictures)], shards).table.to_pylist()
        assert (row["status"], row["sha256"], row["bytes"]) == (told, None, None)

    def test_several_pictures_of_an_item_are_rows_in_their_order_each_once(self, server: Server, shards: Path) -> None:
        server.script = {"/b": [Answer(status=404)], "/c": [Answer(jpeg("/a"))]}
        pictures = [[f"{server.url}/{name}", f"{server.url}/{name}-small"] for name in "abcdef"]
        items = [Wanted("A", pictures), Wanted("B", [])]
        rows = fetch(items, shards, pictures_per_item=4).table.to_pylist()
        assert [(row["item_id"], row["position"], row["url"] and row["url"].rsplit("/", 1)[1]) for row in rows] == [
            ("A", 0, "a"),
            ("A", 1, "b-small"),
            ("A", 2, "d"),  # c is the same picture as a
            ("A", 3, "e"),
            ("B", 0, None),
        ]

    def test_items_that_share_a_url_ask_once(self, server: Server, shards: Path) -> None:
        server.delay_s = 0.05
        items = [Wanted(str(n), [[server.url + ("/shared" if n % 2 else "/gone")]]) for n in range(50)]
        server.script = {"/gone": [Answer(status=404)]}
        found = fetch(items, shards)
        assert statuses(found) == ["http_404", "ok"] * 25
        assert sorted(server.asked) == ["/gone", "/shared"]
        assert (found.asked, found.from_store) == (2, 0)

    def test_what_failed_in_this_run_is_not_asked_again_by_a_later_item(self, server: Server, shards: Path) -> None:
        server.script = {"/busy": [Answer(status=500)]}
        items = [Wanted(str(n), [[server.url + "/busy"]]) for n in range(100)]
        found = fetch(items, shards, limits=replace(LIMITS, concurrency=1))
        assert statuses(found) == ["http_500"] * 100
        assert len(server.asked) == 1 + LIMITS.retries
        assert (found.asked, found.from_store) == (1, 0)

    def test_equal_pictures_are_kept_once(self, tmp_path: Path, shards: Path) -> None:
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / name).write_bytes(jpeg())
        keys = fetch(wanted("a.jpg", "b.jpg"), shards, base=tmp_path).table["sha256"].to_pylist()
        assert keys[0] == keys[1]
        assert len(list(PictureStore(shards).read(keys))) == 1


class TestAgain:
    """What a run asks that finds the shards of an earlier one."""

    SCRIPT = {"/gone": 404, "/busy": 503, "/text": 200}  # noqa: RUF012

    def script(self, server: Server) -> list[Wanted]:
        server.script = {path: [Answer(b"no picture", status)] for path, status in self.SCRIPT.items()}
        return wanted(*(server.url + path for path in ("/ok", *self.SCRIPT)))

    def test_only_what_failed_for_a_passing_reason_and_what_is_new(self, server: Server, shards: Path) -> None:
        items = self.script(server)
        first = fetch(items, shards)
        assert statuses(first) == ["ok", "http_404", "http_503", "undecodable"]
        assert (first.asked, first.from_store) == (4, 0)
        server.asked.clear()
        again = fetch([*items, *wanted(server.url + "/new")], shards)
        assert again.table.slice(0, 4).equals(first.table)
        assert set(server.asked) == {"/busy", "/new"}
        assert (again.asked, again.from_store) == (2, 3)

    def test_all_that_failed_where_that_is_wanted(self, server: Server, shards: Path) -> None:
        items = self.script(server)
        fetch(items, shards)
        server.asked.clear()
        server.script = {"/gone": [Answer(jpeg("back"))]}
        again = fetch(items, shards, again="failed")
        assert set(server.asked) == {"/gone", "/busy", "/text"}
        assert statuses(again) == ["ok"] * 4
        server.asked.clear()
        assert statuses(fetch(items, shards)) == ["ok"] * 4
        assert server.asked == []

    def test_everything_where_that_is_wanted(self, server: Server, shards: Path) -> None:
        items = self.script(server)
        first = fetch(items, shards)
        server.asked.clear()
        again = fetch(items, shards, again="everything")
        assert set(server.asked) == {"/ok", "/gone", "/busy", "/text"}
        assert again.table.equals(first.table)
        assert len(stored(shards)) == 1  # all of it is known already

    @pytest.mark.parametrize(
        ("before", "then", "asked_again"),
        [
            ({"max_bytes": 300}, {"max_bytes": 300}, False),
            ({"max_bytes": 300}, {"max_bytes": 301}, False),
            ({"max_bytes": 300}, {}, True),
            ({"max_pixels": 100}, {"max_pixels": 199}, False),
            ({"max_pixels": 100}, {"max_pixels": 200}, True),
            ({}, {"max_pixels": 100}, True),
            ({}, {"max_bytes": 300}, True),
            ({}, {"timeout_s": 9, "retries": 0}, False),
        ],
    )
    def test_other_limits_ask_again_where_they_change_what_holds(
        self, server: Server, shards: Path, before: dict[str, int], then: dict[str, int], asked_again: bool
    ) -> None:
        assert len(jpeg()) > 600  # it is 20 × 10 pixels
        fetch(wanted(server.url + "/a"), shards, limits=replace(LIMITS, **before))
        fetch(wanted(server.url + "/a"), shards, limits=replace(LIMITS, **then))
        assert len(server.asked) == 1 + asked_again

    def test_what_was_forbidden_is_asked_where_the_dataset_has_become_a_local_one(
        self, server: Server, shards: Path
    ) -> None:
        items = wanted(server.url + "/a")
        assert statuses(fetch(items, shards, local=False)) == ["forbidden"]
        assert statuses(fetch(items, shards, local=True)) == ["ok"]

    def test_a_damaged_shard_is_asked_for_again_and_heals(self, server: Server, shards: Path) -> None:
        items = wanted(server.url + "/a", server.url + "/b")
        first = fetch(items, shards)
        (shard,) = shards.glob("*.parquet")
        content = bytearray(shard.read_bytes())
        content[content.index(jpeg("/a")) + 300] ^= 1
        shard.write_bytes(content)
        keys = first.table["sha256"].to_pylist()
        with pytest.raises(InputError, match="materialize item_images again"):
            dict(PictureStore(shards).read(keys))
        server.asked.clear()
        again = fetch(items, shards)
        assert sorted(server.asked) == ["/a", "/b"]
        assert again.table.equals(first.table)
        assert dict(PictureStore(shards).read(keys)) == dict(zip(keys, (jpeg("/a"), jpeg("/b")), strict=True))
        server.asked.clear()
        fetch(items, shards)
        assert server.asked == []

    def test_the_table_says_nothing_of_when_it_was_made(self, server: Server, tmp_path: Path) -> None:
        items = self.script(server)
        first, second = (fetch(items, tmp_path / name).table for name in ("one", "two"))
        assert isinstance(first, pa.Table)
        assert first.equals(second)
