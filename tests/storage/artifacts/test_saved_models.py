"""Trained models, checkpoints and arrays on disk: what is read is what was written, and nothing is half there."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from storage.artifacts.arrays import NearestItems, read_nearest, write_nearest
from storage.artifacts.saved_models import (
    FileCheckpoint,
    SavedModel,
    SavedModels,
    read_model,
    read_models,
    write_models,
)


def fit_of(loss: str, seed: int, value: float = 0.0, **facts: Any) -> SavedModel:
    """A fit whose vectors are all `value`."""
    tensors = {"user_vectors": np.full((2, 3), value, np.float32), "item_vectors": np.full((4, 3), -value, np.float32)}
    return SavedModel(tensors, {"model": "m", "loss": loss, "seed": seed, **facts})


def assert_same(found: SavedModels, expected: SavedModels) -> None:
    assert found.skipped == expected.skipped
    assert [fit.config for fit in found.fits] == [fit.config for fit in expected.fits]
    for one, other in zip(found.fits, expected.fits, strict=True):
        assert set(one.tensors) == set(other.tensors)
        for name, array in other.tensors.items():
            assert one.tensors[name].dtype == array.dtype
            np.testing.assert_array_equal(one.tensors[name], array)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_several_fits_come_back_in_their_order(tmp_path: Path) -> None:
    models = SavedModels((fit_of("softmax", 1, 0.5, curve=[0.1, 0.2]), fit_of("bpr", 0, 2.0), fit_of("bpr", 1, 3.0)))
    path, version = write_models(tmp_path, models)
    assert path == tmp_path / version
    found = read_models(path)
    assert_same(found, models)
    assert [fit.name for fit in found.fits] == ["softmax-1", "bpr-0", "bpr-1"]
    assert_same(SavedModels((read_model(path / "bpr-0"),)), SavedModels((models.fits[1],)))


def test_arrays_of_every_kind_come_back(tmp_path: Path) -> None:
    tensors = {
        "half": np.arange(6, dtype=np.float16).reshape(2, 3),
        "double": np.array([[1 / 3, np.nan, -0.0]]),
        "int": np.array([2**40, -1]),
        "indices": np.array([3, 0], np.int32),
        "scalar": np.array(7.0, np.float32),
        "nothing": np.zeros((0, 5), np.float32),
    }
    models = SavedModels((SavedModel(tensors, {"loss": "none", "seed": 0}),))
    assert_same(read_models(write_models(tmp_path, models)[0]), models)


STRIDED = {
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "every other": np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2],
}


@pytest.mark.parametrize("name", STRIDED)
def test_arrays_that_are_views_come_back_as_they_look(tmp_path: Path, name: str) -> None:
    models = SavedModels((SavedModel({"vectors": STRIDED[name]}, {"loss": "none", "seed": 0}),))
    assert_same(read_models(write_models(tmp_path, models)[0]), models)


def test_a_model_that_was_skipped_comes_back_with_its_reason(tmp_path: Path) -> None:
    models = SavedModels((), "30,000 items are over max_items (25,000)")
    found = read_models(write_models(tmp_path, models)[0])
    assert found == models
    assert (found.losses(), found.best(), found.of_loss("bpr")) == ((), (), ())


def test_the_same_content_is_the_same_version(tmp_path: Path) -> None:
    first = write_models(tmp_path, SavedModels((fit_of("bpr", 0, 1.0, a=1, b=2), fit_of("bpr", 1, 2.0))))
    swapped = fit_of("bpr", 0, 1.0, b=2, a=1)
    swapped = SavedModel(dict(reversed(swapped.tensors.items())), swapped.config)
    assert write_models(tmp_path, SavedModels((swapped, fit_of("bpr", 1, 2.0)))) == first
    assert [path.name for path in tmp_path.iterdir()] == [first[1]]


def test_other_content_is_another_version_and_leaves_the_first_alone(tmp_path: Path) -> None:
    models = SavedModels((fit_of("bpr", 0, 1.0), fit_of("bpr", 1, 2.0)))
    others = [
        SavedModels((fit_of("bpr", 0, 1.0), fit_of("bpr", 1, 2.5))),
        SavedModels((fit_of("bpr", 0, 1.0), fit_of("bpr", 1, 2.0, learning_rate=0.1))),
        SavedModels((fit_of("bpr", 1, 2.0), fit_of("bpr", 0, 1.0))),
        SavedModels((fit_of("bpr", 0, 1.0),)),
        SavedModels(()),
        SavedModels((), "too many"),
        SavedModels((), "too few"),
    ]
    path, version = write_models(tmp_path, models)
    versions = [write_models(tmp_path, other)[1] for other in others]
    assert len({version, *versions}) == len(others) + 1
    assert_same(read_models(path), models)


def test_a_write_that_fails_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_models(tmp_path, SavedModels((fit_of("bpr", 0, 1.0),)))[0]
    there = files_below(tmp_path)
    write = Path.write_bytes

    def full_disk(path: Path, content: bytes) -> int:
        if path.parent.name == "bpr-1":
            write(path, content[:5])
            raise OSError("no space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    models = SavedModels((fit_of("bpr", 0, 2.0), fit_of("bpr", 1, 3.0)))
    with pytest.raises(OSError, match="no space left"):
        write_models(tmp_path, models)
    assert files_below(tmp_path) == there
    assert [path.name for path in tmp_path.iterdir()] == [before.name]
    monkeypatch.undo()
    assert_same(read_models(write_models(tmp_path, models)[0]), models)


def test_a_version_that_was_damaged_is_made_whole_when_it_is_written_again(tmp_path: Path) -> None:
    models = SavedModels((fit_of("bpr", 0, 1.0),))
    path = write_models(tmp_path, models)[0]
    (path / "bpr-0" / "model.safetensors").write_bytes(b"damage")
    write_models(tmp_path, models)
    assert_same(read_models(path), models)


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_models(tmp_path, SavedModels((fit_of("bpr", 0, 1.0, curve=np.arange(3)),)))
    assert list(tmp_path.iterdir()) == []


def known(loss: str, *values: float) -> tuple[SavedModel, ...]:
    facts = [{"loss": loss, "seed": seed, "validation_ndcg@20": value} for seed, value in enumerate(values)]
    return tuple(SavedModel({}, fact) for fact in facts)


def test_fits_are_found_by_their_loss_and_the_first_is_the_main_one() -> None:
    models = SavedModels((*known("softmax", 0.1, 0.2), *known("bpr", 0.3)))
    assert models.main is models.fits[0]
    assert models.losses() == ("softmax", "bpr")
    assert models.of_loss("softmax") == models.fits[:2]
    assert models.of_loss("bpr") == models.fits[2:]
    assert models.of_loss("none") == ()


def test_the_best_loss_has_the_best_mean_over_seeds() -> None:
    # The best single fit is one of bpr; the means are 0.2 and 0.25.
    assert SavedModels((*known("bpr", 0.4, 0.0), *known("softmax", 0.2, 0.3))).best() == known("softmax", 0.2, 0.3)
    assert SavedModels((*known("bpr", 0.4, 0.2), *known("softmax", 0.2, 0.3))).best() == known("bpr", 0.4, 0.2)


def test_the_first_of_equally_good_losses_is_the_best_and_what_was_never_validated_counts_as_nothing() -> None:
    assert SavedModels((*known("bpr", 0.2), *known("softmax", 0.2))).best() == known("bpr", 0.2)
    never = SavedModel({}, {"loss": "bpr", "seed": 0})
    assert SavedModels((never, *known("softmax", 0.01))).best() == known("softmax", 0.01)
    assert SavedModels((never,)).best() == (never,)


ARRAYS = {"model/a": np.arange(6, dtype=np.float32).reshape(2, 3), "random/": np.array([1, 255], np.uint8),
          "optimiser/0.step": np.array(3.0, np.float32)}  # fmt: skip
FACTS = json.dumps({"loss": [0.1, 1e-300], "note": 'a "quote", ä and \n a line'})


def assert_kept(checkpoint: FileCheckpoint, arrays: dict[str, np.ndarray], facts: str) -> None:
    found = checkpoint.load()
    assert found is not None
    assert found[1] == facts
    assert set(found[0]) == set(arrays)
    for name, array in arrays.items():
        assert found[0][name].dtype == array.dtype
        np.testing.assert_array_equal(found[0][name], array)


def test_a_checkpoint_comes_back_as_it_was_saved_last(tmp_path: Path) -> None:
    checkpoint = FileCheckpoint(tmp_path / "lightgcn" / "bpr-0.safetensors")
    checkpoint.save(ARRAYS, FACTS)
    assert_kept(checkpoint, ARRAYS, FACTS)
    later = {"model/a": ARRAYS["model/a"] + 1}
    checkpoint.save(later, "{}")
    assert_kept(FileCheckpoint(checkpoint.path), later, "{}")
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["bpr-0.safetensors"]


def test_where_there_is_no_checkpoint_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert FileCheckpoint(tmp_path / "nowhere" / "bpr-0.safetensors").load() is None
    assert caplog.records == []


DAMAGE = {
    "empty": lambda whole: b"",
    "cut in the header": lambda whole: whole[:20],
    "cut in the arrays": lambda whole: whole[:-3],
    "no checkpoint at all": lambda whole: b"\xff" * 100,
    "bad letters": lambda whole: whole[:8] + b"\xff" + whole[9:],
    "something behind": lambda whole: whole + b"x",
    "without facts": lambda whole: save(ARRAYS),
    "with other facts": lambda whole: save(ARRAYS, {"other": "1"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_none_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    checkpoint = FileCheckpoint(tmp_path / "lightgcn" / "bpr-0.safetensors")
    checkpoint.save(ARRAYS, FACTS)
    checkpoint.path.write_bytes(DAMAGE[damage](checkpoint.path.read_bytes()))
    assert checkpoint.load() is None
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "a checkpoint of lightgcn cannot be read; training starts anew")
    ]
    checkpoint.save(ARRAYS, FACTS)
    assert_kept(checkpoint, ARRAYS, FACTS)


def test_a_checkpoint_that_cannot_be_saved_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = FileCheckpoint(tmp_path / "bpr-0.safetensors")
    checkpoint.save(ARRAYS, FACTS)
    write = Path.write_bytes

    def full_disk(path: Path, content: bytes) -> int:
        write(path, content[:5])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.save({"model/a": ARRAYS["model/a"] + 1}, "{}")
    assert_kept(checkpoint, ARRAYS, FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["bpr-0.safetensors"]


@pytest.mark.parametrize("name", STRIDED)
def test_arrays_of_a_checkpoint_that_are_views_come_back_as_they_look(tmp_path: Path, name: str) -> None:
    checkpoint = FileCheckpoint(tmp_path / "bpr-0.safetensors")
    checkpoint.save({"best/a": STRIDED[name]}, "{}")
    assert_kept(checkpoint, {"best/a": STRIDED[name]}, "{}")


def test_nearest_items_come_back_by_view(tmp_path: Path) -> None:
    visual, textual = np.array([[1, 2], [0, -1], [-1, -1]], np.int32), np.array([[2, 1], [2, 0], [0, 1]], np.int32)
    path = tmp_path / "item_graph" / "sample.npz"
    for pair in (NearestItems(textual, visual), NearestItems(visual, textual)):
        write_nearest(path, pair)
    found = read_nearest(path)
    assert (found.visual.dtype, found.textual.dtype) == (np.int32, np.int32)
    np.testing.assert_array_equal(found.visual, visual)
    np.testing.assert_array_equal(found.textual, textual)
    assert [path.name for path in path.parent.iterdir()] == ["sample.npz"]


def test_nearest_items_that_cannot_be_written_leave_the_last_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearest = NearestItems(np.array([[1]], np.int32), np.array([[0]], np.int32))
    write_nearest(tmp_path / "sample.npz", nearest)

    def full_disk(file: Any, **arrays: np.ndarray) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_nearest(tmp_path / "sample.npz", NearestItems(nearest.textual, nearest.visual))
    np.testing.assert_array_equal(read_nearest(tmp_path / "sample.npz").visual, [[1]])
    assert [path.name for path in tmp_path.iterdir()] == ["sample.npz"]


def test_nearest_items_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "sample.npz"
    np.savez(path, visual=np.array([{"a": 1}], object), textual=np.array([[0]], np.int32))
    with pytest.raises(ValueError, match="pickle"):
        read_nearest(path)
