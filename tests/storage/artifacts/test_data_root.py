"""Artefacts are used only if they are what their manifest says."""

import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.previous_version import PREVIOUS, record_verdict, restore_previous
from storage.artifacts.releases import Release, promote, prune
from storage.artifacts.tables import read_table, write_table
from storage.errors import InputError
from storage.files.atomic import sha256_of
from storage.schemas import SCHEMA_VERSION, SCHEMAS


def made(root: DataRoot, asset: str, inputs: dict[str, str]) -> Manifest:
    path = root.path(asset, "d", ".bin")
    root.publish_bytes(path, asset.encode())
    manifest = Manifest(
        asset=asset, dataset="d", path=str(path.relative_to(root.root)), bytes=len(asset), sha256=sha256_of(path),
        data_version=f"{asset}-1", recipe=Recipe(code_version="1", settings={"k": 5}, inputs=inputs), numbering={},
        facts={"shown": [1, "two"]}, seconds=0.1,
    )  # fmt: skip
    root.write_manifest(manifest)
    return manifest


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    manifest = made(root, "a", {})
    assert root.manifest("a", "d") == manifest
    assert root.artefact(manifest).read_bytes() == b"a"


def test_the_lineage_lists_everything_upstream_sources_first(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    made(root, "c", {"b": "b-1", "a": "a-1"})
    made(root, "b", {"a": "a-1"})
    made(root, "a", {})
    assert [manifest.asset for manifest in root.lineage(["c"], "d")] == ["a", "b", "c"]


def test_an_artefact_that_changed_after_it_was_made_is_refused(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    manifest = made(root, "a", {})
    assert root.artefact(manifest)
    (tmp_path / manifest.path).write_bytes(b"b")
    with pytest.raises(InputError, match="materialize a again"):
        root.artefact(manifest)


def test_what_was_never_made_or_has_a_broken_manifest_is_one_sentence(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    assert root.find_manifest("a", "d") is None
    with pytest.raises(InputError, match="a of d does not exist yet"):
        root.manifest("a", "d")
    made(root, "a", {})
    root.path("a", "d", ".manifest.json").write_text("{")
    with pytest.raises(InputError, match="unreadable manifest"):
        root.manifest("a", "d")


def test_what_is_not_what_it_says_counts_as_not_there_when_it_can_be_made_again(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    assert root.find_sound("a", "d") is None
    manifest = made(root, "a", {})
    assert root.find_sound("a", "d") == manifest
    (tmp_path / manifest.path).write_bytes(b"b")
    assert root.find_sound("a", "d") is None
    root.path("a", "d", ".manifest.json").write_text("{")
    assert root.find_sound("a", "d") is None


def written_under(root: DataRoot, version: str | None) -> Manifest:
    """A table as code with another version of the schemas would have written it."""
    path = root.path("reviews", "d", ".parquet")
    rows = pa.table([["u"], ["i"], [5.0], [1_000]], schema=SCHEMAS["reviews"])
    write_table(path, "reviews", rows, {} if version is None else {"schema_version": version})
    if version is None:
        pq.write_table(rows, path)
    manifest = Manifest(
        asset="reviews", dataset="d", path="reviews/d.parquet", bytes=1, sha256=sha256_of(path), data_version="1",
        recipe=Recipe(code_version="1", settings={}, inputs={}), numbering={}, facts={}, seconds=0.1, rows=1,
    )  # fmt: skip
    root.write_manifest(manifest)
    return manifest


OLDER, NEWER = str(int(SCHEMA_VERSION) - 1), str(int(SCHEMA_VERSION) + 1)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (OLDER, f"schema version {OLDER}, and this code reads {SCHEMA_VERSION}; materialize reviews again"),
        (
            NEWER,
            f"schema version {NEWER}, and this code reads {SCHEMA_VERSION}; "
            "bring this code up to date, or materialize reviews again",
        ),
        (None, f"schema version none, and this code reads {SCHEMA_VERSION}; materialize reviews again"),
    ],
    ids=["older", "newer", "none"],
)
def test_a_table_of_another_version_of_the_schemas_is_refused_and_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str | None, sentence: str
) -> None:
    root = DataRoot(tmp_path)
    manifest = written_under(root, version)
    with pytest.raises(InputError) as refused:
        root.artefact(manifest)
    assert str(refused.value) == f"reviews of d was written with {sentence}"
    with caplog.at_level(logging.WARNING):
        assert root.find_sound("reviews", "d") is None
    assert caplog.messages == [f"{refused.value}; it is made again"]
    again = written_under(root, SCHEMA_VERSION)
    assert read_table(root.artefact(again))["user_id"].to_pylist() == ["u"]


@pytest.mark.parametrize(
    "place",
    [
        "../outside.bin",
        "{outside}",
        "a/../../outside.bin",
        ".",
        "",
        "a",
        "a/d.link",
        "b/d.bin",
        "a/e.bin",
        "a/d/../d.bin",
    ],
)
def test_a_manifest_that_names_anything_outside_a_folder_of_the_root_is_refused_and_nothing_is_touched(
    tmp_path: Path, place: str
) -> None:
    outside, root = tmp_path / "outside.bin", DataRoot(tmp_path / "data")
    outside.write_bytes(b"precious")
    manifest = made(root, "a", {})
    (root.root / "a" / "d.link").symlink_to(outside)
    forged = manifest.model_copy(update={"path": place.format(outside=outside), "sha256": sha256_of(outside)})
    root.write_manifest(forged)
    for use in (root.artefact, root.owned, root.located):
        with pytest.raises(InputError, match=r"not in the place of that asset|leads out of the data root"):
            use(root.manifest("a", "d"))
    assert root.find_sound("a", "d") is None
    assert outside.read_bytes() == b"precious"


def test_a_raw_file_elsewhere_is_read_where_the_catalogue_names_it_and_never_owned(tmp_path: Path) -> None:
    dump = tmp_path / "dump.json"
    dump.write_bytes(b"{}")
    manifest = made(DataRoot(tmp_path / "data"), "raw_reviews", {})
    manifest = manifest.model_copy(update={"path": str(dump), "sha256": sha256_of(dump)})
    root = DataRoot(tmp_path / "data", dumps=frozenset([dump]))
    assert root.artefact(manifest) == dump
    for refuses in (DataRoot(tmp_path / "data").artefact, root.owned):
        with pytest.raises(InputError, match="not in the place of that asset"):
            refuses(manifest)
    with pytest.raises(InputError, match="not in the place of that asset"):
        root.artefact(manifest.model_copy(update={"asset": "reviews"}))


def test_a_manifest_without_a_seal_or_of_something_else_is_none(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    manifest = made(root, "a", {})
    root.manifest_path("a", "d").write_text(manifest.model_dump_json())
    with pytest.raises(InputError, match="unreadable manifest; materialize a again"):
        root.find_manifest("a", "d")
    made(root, "a", {})
    shutil.copy(root.manifest_path("a", "d"), root.manifest_path("a", "e"))
    with pytest.raises(InputError, match="a of e has the manifest of something else"):
        root.find_manifest("a", "e")


@pytest.mark.parametrize("path", ["../precious", "embeddings/space", "a/d.bin", "b/d.previous.bin"])
def test_a_forged_generation_before_is_not_deleted_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    precious, root = tmp_path / "precious", DataRoot(tmp_path / "data")
    precious.mkdir()
    space = root.root / "embeddings" / "space"
    space.mkdir(parents=True)
    manifest = made(root, "a", {})
    forged = manifest.model_copy(update={"path": path})
    root.write_manifest(forged, PREVIOUS)
    with caplog.at_level(logging.WARNING):
        record_verdict(root, manifest, "sound", True, ["sound"])
    assert precious.is_dir()
    assert space.is_dir()
    assert root.artefact(manifest).exists()
    assert "the generation before it counts as gone" in caplog.text
    assert root.manifest("a", "d").verdicts == {"sound": True}
    with pytest.raises(InputError, match="no generation before"):
        restore_previous(root, "a", "d")


def test_a_forged_version_is_not_deleted_when_old_ones_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    precious, root = tmp_path / "precious", DataRoot(tmp_path / "data")
    precious.mkdir()
    model = made(root, "lightgcn", {})
    promote(root, Release.of("d", 0.5, {"lightgcn": model}))
    forged = model.model_copy(update={"path": "../precious", "data_version": "old"})
    root.path("lightgcn", "d").mkdir()
    root.write_manifest(forged, "/old")
    (root.path("lightgcn", "d") / "unsealed.manifest.json").write_text(forged.model_dump_json())
    leading = model.model_copy(update={"data_version": "../../../outside"})  # whose own manifest would go as well
    root.write_manifest(leading, "/leading")
    table = model.model_copy(update={"path": "lightgcn/d.bin", "data_version": "table"})
    root.write_manifest(table, "/table")
    (tmp_path / "outside.manifest.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        assert prune(root, "d", 1) == []
    assert precious.is_dir()
    assert (tmp_path / "outside.manifest.json").exists()
    assert root.artefact(model).exists()
    assert caplog.text.count("this version of it counts as gone") == 4
