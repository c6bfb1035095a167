"""What something has damaged is not read, and is whole again when it is made again."""

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.artifacts.data_root import DataRoot
from storage.artifacts.history import Run, append_run, read_history
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.saved_models import FileCheckpoint
from storage.embeddings.store import EmbeddingStore
from storage.errors import InputError
from storage.files.atomic import publish_bytes, sha256_of
from storage.files.checksums import add_checksum
from storage.images.attempts import Attempts
from storage.images.store import PictureStore
from storage.raw.partial import Receipt, find_receipt, receipt_path
from storage.raw.rejects import RejectCounts, rejects_path
from tests.storage.writers import WRITERS, noise


def flip(path: Path) -> None:
    """Turn one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def fold(path: Path) -> None:
    """Put a folder in the place of a file."""
    path.unlink()
    path.mkdir()
    (path / "file").write_bytes(b"other")


def link(path: Path) -> None:
    """Put a link in the place of a file that leads to other content."""
    other = path.parent.parent / "other"
    other.write_bytes(b"other")
    path.unlink()
    path.symlink_to(other)


def dangle(path: Path) -> None:
    """Put a link in the place of a file that leads nowhere."""
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "one bit": flip,
    "emptied": lambda path: path.write_bytes(b""),
    "a folder": fold,
    "a link elsewhere": link,
    "a link to nowhere": dangle,
}
ARTEFACTS = {  # writer, where it writes, the file in it that is damaged
    "table": ("reviews/shop.parquet", ""),
    "graph": ("interaction_graph/shop.npz", ""),
    "nearest": ("item_graph/shop.npz", ""),
    "model": ("lightgcn/shop/*", "bpr-0/model.safetensors"),
    "report": ("report/shop.html", ""),
    "mmrec": ("mmrec_export/shop", "image_feat.npy"),
}

every_damage = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)


def made(root: DataRoot, name: str) -> Manifest:
    """An artefact and its manifest, as a run would make them."""
    where, _ = ARTEFACTS[name]
    WRITERS[name](root, 0)
    (path,) = root.root.glob(where)
    manifest = Manifest(
        asset=path.relative_to(root.root).parts[0], dataset="shop", path=str(path.relative_to(root.root)), bytes=1,
        sha256=sha256_of(path), data_version="1", recipe=Recipe(code_version="1", settings={"k": 5}, inputs={}),
        numbering={}, facts={"share": 0.25}, seconds=0.1, rows=9 if name == "table" else None,
    )  # fmt: skip
    root.write_manifest(manifest)
    return manifest


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path / "data")


def damage_whole(path: Path, damage: Callable[[Path], object]) -> None:
    """Damage a file; of a folder, put a file in its place and damage that."""
    if path.is_dir():
        shutil.rmtree(path)
        path.write_bytes(noise(3))
    damage(path)


@pytest.mark.parametrize("whole", [False, True], ids=["a part", "all"])
@pytest.mark.parametrize("name", ARTEFACTS)
@every_damage
def test_an_artefact_is_refused_and_whole_when_it_is_made_again(
    root: DataRoot, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], object], whole: bool
) -> None:
    manifest = made(root, name)
    path = root.artefact(manifest)
    if whole:
        damage_whole(path, damage)
    else:
        damage(path / ARTEFACTS[name][1])
    sentence = (
        f"{manifest.asset} of shop is missing or was changed since it was made; materialize {manifest.asset} again"
    )
    with pytest.raises(InputError) as refused:
        root.artefact(manifest)
    assert str(refused.value) == sentence
    with caplog.at_level(logging.WARNING):
        assert root.find_sound(manifest.asset, "shop") is None
    assert caplog.messages == [f"{sentence}; it is made again"]
    WRITERS[name](root, 0)
    assert root.artefact(manifest) == path
    assert not path.is_symlink()
    assert not list(root.root.rglob(".*"))


def test_a_file_that_was_changed_under_its_old_date_and_size_is_noticed(root: DataRoot) -> None:
    import os

    manifest = made(root, "report")
    path = root.artefact(manifest)
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputError, match="was changed since it was made"):
        root.artefact(manifest)


@every_damage
def test_a_manifest_that_was_damaged_counts_for_nothing(root: DataRoot, damage: Callable[[Path], object]) -> None:
    manifest = made(root, "report")
    path = root.path("report", "shop", ".manifest.json")
    damage(path)
    assert root.find_sound("report", "shop") is None
    with pytest.raises(InputError, match="materialize report "):
        root.manifest("report", "shop")
    root.write_manifest(manifest)
    assert root.manifest("report", "shop") == manifest


def flipped(path: Path, places: int = 400) -> list[bytes]:
    """The content of a file with one bit turned, at as many places."""
    content, draw = path.read_bytes(), random.Random(0)
    found = []
    for place in draw.sample(range(len(content)), min(places, len(content))):
        changed = bytearray(content)
        changed[place] ^= 1 << draw.randrange(8)
        found.append(bytes(changed))
    return found


def test_no_bit_of_a_manifest_can_turn_unnoticed(root: DataRoot) -> None:
    manifest = made(root, "report")
    path = root.path("report", "shop", ".manifest.json")
    for content in flipped(path):
        path.write_bytes(content)
        try:
            assert root.manifest("report", "shop") == manifest
        except InputError as error:
            assert str(error) == "report of shop has an unreadable manifest; materialize report again"


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """A dump that was downloaded, with its receipt."""
    path = tmp_path / "dumps" / "dump"
    publish_bytes(path, noise(1))
    receipt = Receipt(url="u", etag='"1"', last_modified="now", bytes=len(noise(1)), sha256=sha256_of(path))
    publish_bytes(receipt_path(path), add_checksum(receipt.model_dump_json()))
    assert find_receipt(path, "u") == receipt
    return path


@pytest.mark.parametrize("which", ["file", "receipt"])
@every_damage
def test_a_download_that_was_damaged_is_not_taken_for_what_the_server_has(
    dump: Path, damage: Callable[[Path], object], which: str
) -> None:
    path = dump if which == "file" else receipt_path(dump)
    sound = path.read_bytes()
    damage(path)
    assert find_receipt(dump, "u") is None
    publish_bytes(path, sound)
    assert find_receipt(dump, "u")


def test_no_bit_of_a_receipt_can_turn_unnoticed(dump: Path) -> None:
    receipt = find_receipt(dump, "u")
    for content in flipped(receipt_path(dump)):
        receipt_path(dump).write_bytes(content)
        assert find_receipt(dump, "u") in (receipt, None)


@every_damage
def test_a_checkpoint_that_was_damaged_is_not_gone_on_with(
    root: DataRoot, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
) -> None:
    WRITERS["checkpoint"](root, 0)
    (path,) = root.work.rglob("*.safetensors")
    damage(path)
    assert FileCheckpoint(path).load() is None
    WRITERS["checkpoint"](root, 0)
    assert FileCheckpoint(path).load() is not None


def test_no_bit_of_a_checkpoint_can_turn_unnoticed(tmp_path: Path) -> None:
    checkpoint, arrays = FileCheckpoint(tmp_path / "c"), {"a": np.arange(6.0), "b": np.array([3], np.uint8)}
    checkpoint.save(arrays, '{"epoch": 3}')
    for content in flipped(checkpoint.path):
        checkpoint.path.write_bytes(content)
        found = checkpoint.load()
        if found is not None:
            assert found[1] == '{"epoch": 3}'
            assert {name: array.tolist() for name, array in found[0].items()} == {
                name: array.tolist() for name, array in arrays.items()
            }


@every_damage
def test_vectors_that_were_damaged_are_encoded_again(root: DataRoot, damage: Callable[[Path], object]) -> None:
    WRITERS["vectors"](root, 0)
    (path,) = root.root.glob("embeddings/*/*.arrow")
    damage(path)
    assert EmbeddingStore(root, {"encoder": "tiny"}).dimension is None
    WRITERS["vectors"](root, 0)
    assert EmbeddingStore(root, {"encoder": "tiny"}).dimension == 64
    assert path.is_file()


@every_damage
def test_pictures_that_were_damaged_are_asked_for_again(root: DataRoot, damage: Callable[[Path], object]) -> None:
    WRITERS["pictures"](root, 0)
    store = PictureStore(root.path("item_images", "shop"))
    (shard,), ((attempt, _),) = store.folder.iterdir(), store.attempts()
    damage(shard)
    with pytest.raises(InputError, match="materialize item_images again"):
        dict(store.read([attempt.sha256]))
    assert Attempts(store).latest(attempt.url) is None
    WRITERS["pictures"](root, 0)
    assert dict(store.read([attempt.sha256])) == {attempt.sha256: noise(0)}


@every_damage
def test_rejects_that_were_damaged_are_told_in_one_sentence(root: DataRoot, damage: Callable[[Path], object]) -> None:
    WRITERS["rejects"](root, 0)
    path = rejects_path(root, "reviews", "shop")
    sound = RejectCounts(path).by_reason
    if damage is not flip:  # its page is no part of what is counted
        damage(path)
        with pytest.raises(InputError, match=r"rejects\.parquet is missing or damaged; materialize reviews again"):
            RejectCounts(path)
    WRITERS["rejects"](root, 0)
    assert RejectCounts(path).by_reason == sound


@every_damage
def test_a_history_that_was_damaged_begins_anew_and_the_old_one_is_kept(
    root: DataRoot, damage: Callable[[Path], object]
) -> None:
    run = Run("a", 1_000, 9, 9, 1.0, None, "0123456789ab")
    append_run(root, "shop", run)
    damage(root.path("history", "shop", ".parquet"))
    append_run(root, "shop", run)
    assert read_history(root, "shop")["run"].to_pylist() == ["a"]
    asides = [path for path in root.path("history", "shop").parent.iterdir() if "damaged" in path.name]
    assert len(asides) == (0 if damage is dangle else 1)
