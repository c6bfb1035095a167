"""Artefacts are used only if they are what their manifest says."""

from pathlib import Path

import pytest

from storage.errors import InputError
from storage.layout import DataRoot, Manifest, Recipe
from storage.publish import publish_bytes, sha256_of


def made(root: DataRoot, asset: str, inputs: dict[str, str]) -> Manifest:
    path = root.path(asset, "d", ".bin")
    publish_bytes(path, asset.encode())
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
