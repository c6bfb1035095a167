"""A data root at a URL: what is published is there before it is here, and another machine goes on from it."""

import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from storage.artifacts.data_root import DataRoot
from storage.artifacts.history import append_run, read_history
from storage.embeddings.garbage_collect import collect_vectors
from storage.environment import PROJECT_ROOT
from storage.errors import InputError
from storage.files.remote import BATCH_BYTES, Found, Remote, batches
from tests.storage.artifacts.test_data_root import made
from tests.storage.artifacts.test_history import FIRST
from tests.storage.embeddings.test_garbage_collect import keep, kept, publish
from tests.storage.embeddings.test_store import CLIP
from tests.storage.s3_server import SECRET, S3Server, stalling_wire


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.bucket()


@pytest.fixture
def one(bucket: str, tmp_path: Path) -> DataRoot:
    return DataRoot.at(f"s3://{bucket}/team", tmp_path / "one")


@pytest.fixture
def other(bucket: str, tmp_path: Path) -> DataRoot:
    """Another machine, whose mirror is empty."""
    return DataRoot.at(f"s3://{bucket}/team", tmp_path / "other")


def publish_folder(root: DataRoot, target: Path, **files: str) -> None:
    with root.publishing(target) as partial:
        for name, content in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_text(content)


def mirrored(root: DataRoot) -> dict[str, bytes]:
    return {str(path.relative_to(root.root)): path.read_bytes() for path in root.root.rglob("*") if path.is_file()}


def pull_again(root: DataRoot) -> None:
    """What a new process would do."""
    assert root.mirror
    root.mirror._pulled.clear()
    root.pull("shop")


class TestPublishing:
    def test_what_is_published_is_on_the_server_and_in_the_mirror(
        self, s3: S3Server, bucket: str, one: DataRoot
    ) -> None:
        path = one.path("items", "shop", ".parquet")
        one.publish_bytes(path, b"first")
        one.publish_bytes(path, b"second")
        assert s3.keys(bucket) == ["team/items/shop.parquet"]
        assert s3.content(bucket, "team/items/shop.parquet") == path.read_bytes() == b"second"
        assert one.uri(path) == f"s3://{bucket}/team/items/shop.parquet"

    def test_work_under_way_stays_here(self, s3: S3Server, bucket: str, one: DataRoot, tmp_path: Path) -> None:
        one.publish_bytes(one.work / "checkpoints" / "shop" / "one", b"half")
        assert one.work == tmp_path / "one"
        assert s3.keys(bucket) == []

    def test_what_is_removed_is_gone_from_both(self, s3: S3Server, bucket: str, one: DataRoot) -> None:
        one.publish_bytes(one.path("items", "shop", ".parquet"), b"rows")
        publish_folder(one, one.path("export", "shop"), a="1", b="2")
        publish_folder(one, one.path("export", "shop2"), a="1")
        one.remove(one.path("items", "shop", ".parquet"))
        one.remove(one.path("export", "shop"))
        one.remove(one.path("export", "nothing"))
        assert s3.keys(bucket) == ["team/export/shop2/a"]
        assert mirrored(one) == {"export/shop2/a": b"1"}

    def test_a_folder_is_there_whole_and_no_more_than_it(self, s3: S3Server, bucket: str, one: DataRoot) -> None:
        publish_folder(one, one.path("export", "shop"), **{"a": "1", "deep/b [1]*?.txt": "2"})
        assert s3.keys(bucket) == ["team/export/shop/a", "team/export/shop/deep/b [1]*?.txt"]
        publish_folder(one, one.path("export", "shop"), a="1", c="3")
        assert s3.keys(bucket) == ["team/export/shop/a", "team/export/shop/c"]
        assert s3.content(bucket, "team/export/shop/c") == b"3"

    def test_what_the_server_has_is_not_sent_again(self, s3: S3Server, one: DataRoot) -> None:
        for a in ("1", "1", "2"):
            with s3.asked("PUT") as sent:
                one.publish_bytes(one.path("items", "shop", ".parquet"), b"rows")
                publish_folder(one, one.path("model", "shop") / "version", a=a, b="same")
        assert sent == ["team/model/shop/version/a"]

    def test_what_somebody_changed_on_the_server_is_sent_again(
        self, s3: S3Server, bucket: str, one: DataRoot, other: DataRoot
    ) -> None:
        for a, root in (("1", one), ("2", other), ("1", one)):
            publish_folder(root, root.path("model", "shop"), a=a)
        assert s3.content(bucket, "team/model/shop/a") == b"1"

    def test_the_history_of_two_machines_is_one(self, one: DataRoot, other: DataRoot) -> None:
        append_run(one, "shop", FIRST)
        other.pull("shop")
        append_run(other, "shop", replace(FIRST, run="second"))
        pull_again(one)
        assert read_history(one, "shop")["run"].to_pylist() == [FIRST.run, "second"]

    def test_a_damaged_history_is_kept_aside_on_the_server_too(self, s3: S3Server, bucket: str, one: DataRoot) -> None:
        one.publish_bytes(one.path("history", "shop", ".parquet"), b"no table")
        assert len(read_history(one, "shop")) == 0
        (aside,) = s3.keys(bucket)
        assert aside.startswith("team/history/shop.damaged-")
        assert s3.content(bucket, aside) == b"no table"


class TestPulling:
    def test_another_machine_has_what_belongs_to_a_dataset(self, one: DataRoot, other: DataRoot) -> None:
        manifest = made(one, "items", {})
        one.publish_bytes(one.path("items", "d", ".rejects.parquet"), b"rejects")
        publish_folder(one, one.path("model", "d") / "version", **{"softmax-0/config.json": "{}"})
        one.publish_bytes(one.root / "embeddings" / "space" / "ab.arrow", b"vectors")
        for stranger in ("d2.bin", "not-d.bin", "d2/version"):
            one.publish_bytes(one.root / "items" / stranger, b"of another")
        assert other.find_manifest("items", "d") == manifest
        assert other.artefact(manifest).read_bytes() == b"items"
        assert sorted(mirrored(other)) == [
            "embeddings/space/ab.arrow", "items/d.bin", "items/d.manifest.json", "items/d.rejects.parquet",
            "model/d/version/softmax-0/config.json",
        ]  # fmt: skip

    def test_only_what_changed_is_fetched(self, s3: S3Server, one: DataRoot, other: DataRoot) -> None:
        for name in ("a", "b"):
            one.publish_bytes(one.path(name, "shop", ".parquet"), b"old")
        one.publish_bytes(one.path("a", "shop", ".manifest.json"), b"{}")
        with s3.asked("GET") as fetched:
            other.pull("shop")
            other.pull("shop")  # once a process
        assert fetched == ["team/a/shop.manifest.json", "team/a/shop.parquet", "team/b/shop.parquet"]
        one.publish_bytes(one.path("b", "shop", ".parquet"), b"new")
        with s3.asked("GET") as fetched:
            pull_again(other)
            pull_again(one)  # who published has it
        assert fetched == ["team/a/shop.manifest.json"] * 2 + ["team/b/shop.parquet"]
        assert mirrored(other) == mirrored(one)

    def test_what_is_lost_or_touched_here_is_fetched_again(self, one: DataRoot) -> None:
        for name in ("a", "b", "c"):
            one.publish_bytes(one.path(name, "shop", ".parquet"), name.encode())
        before = mirrored(one)
        one.path("a", "shop", ".parquet").unlink()
        one.path("b", "shop", ".parquet").write_bytes(b"touched")
        pull_again(one)
        assert mirrored(one) == before

    def test_a_shard_that_a_reader_found_damaged_is_fetched_again(self, s3: S3Server, one: DataRoot) -> None:
        path = one.path("item_images", "shop") / "shard.parquet"
        one.publish_bytes(path, b"pictures")
        (path.parent / "shard.parquet.damaged").touch()  # by a reader, which leaves the shard's own state alone
        with s3.asked("GET") as fetched:
            pull_again(one)
        assert fetched == ["team/item_images/shop/shard.parquet"]
        assert (path.parent / "shard.parquet.damaged").exists()  # until whoever publishes has looked at it

    def test_what_is_gone_there_goes_here_and_nothing_else(self, one: DataRoot, other: DataRoot) -> None:
        publish_folder(one, one.path("export", "shop"), a="1", b="2")
        one.publish_bytes(one.path("export", "toys", ".parquet"), b"rows")
        other.pull("shop")
        (other.path("export", "shop") / "mine").write_text("never published")
        publish_folder(one, one.path("export", "shop"), a="1")
        one.remove(one.path("export", "toys", ".parquet"))
        pull_again(other)
        assert mirrored(other) == {"export/shop/a": b"1", "export/shop/mine": b"never published"}

    def test_what_is_published_while_the_store_is_listed_stays(
        self, one: DataRoot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert one.mirror
        find = one.mirror.remote.find

        def slow(key: str = "", folder: bool = True) -> dict[str, Found]:
            found = find(key, folder)
            if not key:
                one.publish_bytes(one.path("a", "shop", ".parquet"), b"rows")
            return found

        monkeypatch.setattr(one.mirror.remote, "find", slow)
        one.pull("shop")
        assert mirrored(one) == {"a/shop.parquet": b"rows"}

    def test_some_assets_alone(self, one: DataRoot, other: DataRoot) -> None:
        for name in ("report", "items", "embeddings"):
            one.publish_bytes(one.path(name, "shop", ".html"), b"")
        other.pull("shop", ["report"])
        assert sorted(mirrored(other)) == ["report/shop.html"]

    def test_no_name_leads_out_of_the_mirror(self, s3: S3Server, bucket: str, other: DataRoot, tmp_path: Path) -> None:
        for name in ("a/../../shop.x", "../shop.x", "/shop.x", "a//shop.x", ".ssh/shop.x", "a/.shop.x"):
            s3.client.put_object(Bucket=bucket, Key=f"team/{name}", Body=b"evil")
        other.pull("shop")
        assert not [path for path in tmp_path.rglob("*shop*") if path.is_file()]

    def test_two_at_once_pull_one_after_the_other(self, s3: S3Server, one: DataRoot, other: DataRoot) -> None:
        one.publish_bytes(one.path("a", "shop", ".parquet"), b"rows")
        mirror = other.mirror
        assert mirror
        with s3.asked("GET") as fetched:
            with mirror._alone(wait=True):
                mirror.pull(lambda key: True, wait=False)
                waiting = threading.Thread(target=mirror.pull, args=(lambda key: True,))
                waiting.start()
                assert mirrored(other) == {}
            waiting.join()
            mirror.pull(lambda key: True)
        assert fetched == ["team/a/shop.parquet"]

    def test_vectors_that_no_table_of_any_machine_names_are_collected(
        self, s3: S3Server, bucket: str, one: DataRoot, other: DataRoot
    ) -> None:
        keep(one, CLIP, (1, 2), (3,))
        publish(one, "books", CLIP, [1])
        found = collect_vectors(other)
        assert (found.kept, found.deleted) == (1, 2)
        assert kept(other, CLIP) == [1]
        pull_again(one)
        assert kept(one, CLIP) == [1]
        assert sum(key.endswith(".arrow") for key in s3.keys(bucket)) == 1


class TestFaults:
    def run(self, one: DataRoot, url: str, endpoint: str, call: str) -> subprocess.Popen[bytes]:
        script = (
            "from pathlib import Path; from storage.artifacts.data_root import DataRoot;"
            f"root = DataRoot.at({url!r}, Path({str(one.work)!r})); {call}"
        )
        environment = os.environ | {"AWS_ENDPOINT_URL": endpoint}
        return subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT_ROOT, env=environment)

    @pytest.mark.parametrize("size", [1 << 24, pytest.param(1 << 27, marks=pytest.mark.long)])
    def test_a_killed_upload_leaves_no_object(self, size: int, s3: S3Server, bucket: str, one: DataRoot) -> None:
        assert one.mirror
        call = f"root.publish_bytes(root.path('a', 'shop', '.bin'), bytes({size}))"
        with stalling_wire(s3.port, size // 50) as (endpoint, stalled):
            process = self.run(one, one.mirror.remote.url, endpoint, call)
            assert stalled.wait(60)
            process.kill()
            process.wait()
            assert s3.keys(bucket) == []
        assert s3.keys(bucket) == []
        assert not one.path("a", "shop", ".bin").exists()
        one.publish_bytes(one.path("a", "shop", ".bin"), bytes(size))
        assert s3.client.head_object(Bucket=bucket, Key="team/a/shop.bin")["ContentLength"] == size

    def test_a_killed_pull_leaves_nothing_half_written_and_goes_on(
        self, s3: S3Server, one: DataRoot, other: DataRoot
    ) -> None:
        assert other.mirror
        one.publish_bytes(one.path("a", "shop", ".bin"), bytes(1 << 22))
        with stalling_wire(s3.port, 1 << 20) as (endpoint, stalled):
            process = self.run(other, other.mirror.remote.url, endpoint, "root.pull('shop')")
            assert stalled.wait(60)
            while not any(path.stat().st_size for path in other.work.rglob("*.pulling/*")):
                assert process.poll() is None, "it ended by itself"
                time.sleep(0.05)
            process.kill()
            process.wait()
        assert mirrored(other) == {}
        other.pull("shop")
        assert mirrored(other) == {"a/shop.bin": bytes(1 << 22)}
        assert not list(other.work.rglob("*.pulling"))

    def test_a_server_that_is_down_is_one_sentence_and_a_later_run_mends_it(
        self, s3: S3Server, bucket: str, one: DataRoot, other: DataRoot
    ) -> None:
        path = one.path("a", "shop", ".parquet")
        one.publish_bytes(path, b"old")
        s3.stop()
        told = rf"^REC_DATA \(s3://{bucket}/team\) cannot be (read|written): EndpointConnectionError$"
        try:
            with pytest.raises(InputError, match=told):
                one.publish_bytes(path, b"new")
            with pytest.raises(InputError, match=told):
                publish_folder(one, one.path("model", "shop") / "version", a="1")
            with pytest.raises(InputError, match=told):
                one.remove(path)
            with pytest.raises(InputError, match=told):
                other.pull("shop")
        finally:
            s3.start()
        assert mirrored(one) == {"a/shop.parquet": b"old"}
        assert mirrored(other) == {}
        one.publish_bytes(path, b"new")
        assert s3.content(bucket, "team/a/shop.parquet") == b"new"
        other.pull("shop")  # it was not done, so it is not done already
        assert mirrored(other) == {"a/shop.parquet": b"new"}

    def test_a_bucket_that_is_not_there_is_one_sentence(self, s3: S3Server, tmp_path: Path) -> None:
        root = DataRoot.at("s3://nowhere/team", tmp_path)
        with pytest.raises(InputError, match=r"^REC_DATA \(s3://nowhere/team\) cannot be read: The specified bucket"):
            root.pull("shop")

    def test_secrets_are_never_told(
        self, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://somebody:{SECRET}@127.0.0.1:9")
        with caplog.at_level(logging.INFO), pytest.raises(InputError) as raised:
            DataRoot.at("s3://secrets/team", tmp_path).pull("shop")
        assert SECRET not in "".join(traceback.format_exception(raised.value))
        assert SECRET not in caplog.text


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            f"s3://id:{SECRET}@bucket/x", f"s3://id:a/b+{SECRET}@bucket", f"sftp://me:{SECRET}@host/x",
            f"simplecache::s3://id:{SECRET}@bucket/x", f"https://host/x?signature={SECRET}",
        ],
    )  # fmt: skip
    def test_one_that_carries_credentials_is_refused(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REC_DATA", url)
        with pytest.raises(InputError, match=r"^REC_DATA is a URL that carries credentials") as raised:
            DataRoot.from_environment()
        assert SECRET not in str(raised.value)

    @pytest.mark.parametrize(
        "url", ["abfs://box@account.dfs.core.windows.net/x", "sftp://me@host:22/x", "s3://b/a:b@c"]
    )
    def test_a_name_is_no_secret(self, url: str) -> None:
        assert Remote(url).uri("a/b") == f"{url}/a/b"

    def test_what_is_not_installed_or_not_known_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        with pytest.raises(InputError, match=r"^REC_DATA is gs://bucket/x: install the package gcsfs$"):
            Remote("gs://bucket/x").find()
        with pytest.raises(InputError, match=r"^REC_DATA is s4://bucket/x: fsspec does not know s4://$"):
            Remote("s4://bucket/x").find()

    def test_the_setting(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("REC_DATA", "s3://bucket/x/")
        monkeypatch.setenv("REC_WORK", str(tmp_path))
        root = DataRoot.from_environment()
        assert root.root.parent == tmp_path / "mirror"
        assert root.work == tmp_path
        monkeypatch.setenv("REC_DATA", "s3://bucket/x")
        assert DataRoot.from_environment().root == root.root
        monkeypatch.setenv("REC_DATA", "s3://bucket/y")
        assert DataRoot.from_environment().root != root.root
        monkeypatch.delenv("REC_WORK")
        assert DataRoot.from_environment().work == PROJECT_ROOT / "data" / ".work"
        monkeypatch.setenv("REC_DATA", str(tmp_path))
        assert DataRoot.from_environment() == DataRoot(tmp_path)
        monkeypatch.setenv("REC_WORK", "s3://bucket/work")
        with pytest.raises(InputError, match="REC_WORK is a URL"):
            _ = DataRoot.from_environment().work

    @pytest.mark.parametrize("scheme", ["memory", "file"])
    def test_other_file_systems(self, scheme: str, tmp_path: Path) -> None:
        url = f"{scheme}://{tmp_path}/share"
        one, other = (DataRoot.at(url, tmp_path / name) for name in ("one", "other"))
        assert one.mirror
        one.pull("shop")  # of a folder that nobody has made yet
        for content in (b"old", b"new"):
            one.publish_bytes(one.path("a", "shop", ".parquet"), content)
        publish_folder(one, one.path("model", "shop") / "version", **{"deep/b": "2"})
        one.publish_bytes(one.path("b", "shop", ".parquet"), b"too much")
        one.remove(one.path("b", "shop", ".parquet"))
        assert sorted(one.mirror.remote.find()) == ["a/shop.parquet", "model/shop/version/deep/b"]
        other.pull("shop")
        assert mirrored(other) == {"a/shop.parquet": b"new", "model/shop/version/deep/b": b"2"}

    def test_what_was_half_sent_to_a_shared_folder_is_not_seen(self, tmp_path: Path) -> None:
        (tmp_path / "share" / "a").mkdir(parents=True)
        (tmp_path / "share" / "a" / ".shop.parquet.12.partial").write_bytes(b"half")
        root = DataRoot.at(f"file://{tmp_path}/share", tmp_path / "work")
        root.pull("shop")
        assert mirrored(root) == {}


def test_no_more_is_under_way_at_a_time_than_fits() -> None:
    many = dict.fromkeys(map(str, range(130)), 1)
    assert [len(batch) for batch in batches(many)] == [64, 64, 2]
    large = {"a": BATCH_BYTES - 1, "b": 1, "c": 1, "d": 2 * BATCH_BYTES, "e": 1}
    assert list(batches(large)) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert list(batches({})) == []
