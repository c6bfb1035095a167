"""Releases of models: the pointer moves forward and back, what is served is whole, and old versions go."""

import json
from pathlib import Path

import numpy as np
import pytest

from storage.errors import InputError
from storage.layout import DataRoot, Manifest, Recipe
from storage.models import SavedModel, SavedModels, write_models
from storage.publish import publish_bytes, sha256_of
from storage.releases import Pointer, Promoted, Release, find_pointer, promote, prune, roll_back, show_recommendations


def manifest(root: DataRoot, asset: str, path: Path, version: str, made_at: int, **inputs: str) -> Manifest:
    made = Manifest(
        asset=asset,
        dataset="toys",
        path=str(path.relative_to(root.root)),
        bytes=0,
        sha256=sha256_of(path),
        data_version=version,
        recipe=Recipe(code_version="1", settings={}, inputs=inputs),
        numbering={},
        facts={},
        seconds=0.0,
        made_at=made_at,
    )
    root.write_manifest(made, f"/{version}")
    root.write_manifest(made)
    return made


def train(root: DataRoot, value: float) -> dict[str, Manifest]:
    """A model whose item vectors are all `value`."""
    vectors = {"item_vectors": np.full((2, 3), value, np.float32)}
    saved = SavedModels((SavedModel(vectors, {"loss": "bpr", "seed": 0}),))
    path, version = write_models(root.path("lightgcn", "toys"), saved)
    return {"lightgcn": manifest(root, "lightgcn", path, version, int(value))}


def release(root: DataRoot, value: float) -> Release:
    """Train, promote, recommend: a whole generation."""
    made = Release.of("toys", value, train(root, value))
    manifest(root, "current", promote(root, made), made.version, int(value))
    path = root.path("recommendations", "toys") / f"r{value:.0f}.parquet"
    publish_bytes(path, f"recommendations {value}".encode())
    manifest(root, "recommendations", path, f"r{value:.0f}", int(value), current=made.version)
    show_recommendations(root, "toys")
    return made


def pointer(root: DataRoot) -> Pointer:
    found = find_pointer(root, "toys")
    assert found is not None
    return found


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path)


def test_before_anything_is_promoted_there_is_no_pointer_and_no_way_back(root: DataRoot) -> None:
    assert find_pointer(root, "toys") is None
    with pytest.raises(InputError, match="no release before"):
        roll_back(root, "toys")


def test_the_pointer_names_models_and_recommendations_by_path(root: DataRoot) -> None:
    first = release(root, 1)
    shown = json.loads((root.root / "current" / "toys.json").read_text())
    assert shown["version"] == first.version
    assert shown["recommendations"] == "recommendations/toys/r1.parquet"
    assert (root.root / shown["models"]["lightgcn"]).is_dir()


def test_a_release_goes_back_with_its_recommendations_and_its_manifests(root: DataRoot) -> None:
    first, second = release(root, 1), release(root, 2)
    assert pointer(root).version == second.version
    assert pointer(root).earlier == [first.version]
    back = roll_back(root, "toys")
    assert (back.version, back.earlier, back.withdrawn) == (first.version, [], [second.version])
    assert back.recommendations == "recommendations/toys/r1.parquet"
    assert root.manifest("current", "toys").data_version == first.version
    assert root.manifest("recommendations", "toys").data_version == "r1"
    served = Promoted(root, first).models("lightgcn").main.tensors["item_vectors"]
    assert served.tolist() == [[1.0] * 3] * 2


def test_a_release_that_is_promoted_again_is_no_longer_taken_back(root: DataRoot) -> None:
    release(root, 1)
    second = release(root, 2)
    roll_back(root, "toys")
    promote(root, second)
    assert pointer(root).version == second.version
    assert pointer(root).withdrawn == []


def test_what_is_damaged_is_not_gone_back_to(root: DataRoot) -> None:
    first, second = release(root, 1), release(root, 2)
    weights = next((root.root / first.models["lightgcn"].path).rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    before = pointer(root)
    with pytest.raises(InputError, match="lightgcn of toys is missing or was changed"):
        roll_back(root, "toys")
    assert pointer(root) == before
    assert root.manifest("current", "toys").data_version == second.version


def test_a_model_that_was_not_promoted_is_named(root: DataRoot) -> None:
    with pytest.raises(InputError, match="the promoted models have no vbpr"):
        Promoted(root, release(root, 1)).models("vbpr")


def test_the_last_releases_stay_and_what_only_older_ones_name_goes(root: DataRoot) -> None:
    made = [release(root, value) for value in (1, 2, 3, 4)]
    gone = prune(root, "toys", keep=2)
    assert pointer(root).version == made[3].version
    assert pointer(root).earlier == [made[2].version]
    assert sorted(gone) == sorted(
        path
        for old, number in ((made[0], 1), (made[1], 2))
        for path in (
            old.models["lightgcn"].path,
            f"current/toys/{old.version}.json",
            f"recommendations/toys/r{number}.parquet",
        )
    )
    assert not any((root.root / path).exists() for path in gone)
    assert roll_back(root, "toys").version == made[2].version  # what stayed is whole


def test_what_was_trained_last_stays_although_no_release_names_it(root: DataRoot) -> None:
    release(root, 1)
    refused = train(root, 9)["lightgcn"]
    prune(root, "toys", keep=1)
    assert (root.root / refused.path).is_dir()


def test_an_unreadable_pointer_is_said_to_be(root: DataRoot) -> None:
    release(root, 1)
    (root.root / "current" / "toys.json").write_text("{")
    with pytest.raises(InputError, match=r"the pointer toys.json of current is unreadable"):
        find_pointer(root, "toys")
