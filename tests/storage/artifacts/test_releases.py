"""Releases of models: the pointer moves forward and back, what is served is whole, and old versions go."""

import json
from pathlib import Path

import numpy as np
import pytest

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.releases import (
    Pointer,
    Promoted,
    Release,
    find_pointer,
    promote,
    prune,
    roll_back,
    show_recommendations,
)
from storage.artifacts.saved_models import SavedModel, SavedModels, write_models
from storage.errors import InputError
from storage.files.atomic import sha256_of


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
    path, version = write_models(root.path("served_model", "toys"), saved)
    return {"served_model": manifest(root, "served_model", path, version, int(value))}


def release(root: DataRoot, value: float) -> Release:
    """Train, promote, recommend: a whole generation."""
    made = Release.of("toys", value, train(root, value))
    manifest(root, "current", promote(root, made), made.version, int(value))
    path = root.path("recommendations", "toys") / f"r{value:.0f}.parquet"
    root.publish_bytes(path, f"recommendations {value}".encode())
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
    assert (root.root / shown["models"]["served_model"]).is_dir()


def test_a_release_goes_back_with_its_recommendations_and_its_manifests(root: DataRoot) -> None:
    first, second = release(root, 1), release(root, 2)
    assert pointer(root).version == second.version
    assert pointer(root).earlier == [first.version]
    back = roll_back(root, "toys")
    assert (back.version, back.earlier, back.withdrawn) == (first.version, [], [second.version])
    assert back.recommendations == "recommendations/toys/r1.parquet"
    assert root.manifest("current", "toys").data_version == first.version
    assert root.manifest("recommendations", "toys").data_version == "r1"
    served = Promoted(root, first).models("served_model").main.tensors["item_vectors"]
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
    weights = next((root.root / first.models["served_model"].path).rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    before = pointer(root)
    with pytest.raises(InputError, match="served_model of toys is missing or was changed"):
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
            old.models["served_model"].path,
            f"current/toys/{old.version}.json",
            f"recommendations/toys/r{number}.parquet",
        )
    )
    assert not any((root.root / path).exists() for path in gone)
    assert roll_back(root, "toys").version == made[2].version  # what stayed is whole


def test_what_was_trained_last_stays_although_no_release_names_it(root: DataRoot) -> None:
    release(root, 1)
    refused = train(root, 9)["served_model"]
    prune(root, "toys", keep=1)
    assert (root.root / refused.path).is_dir()


def test_an_unreadable_pointer_is_said_to_be(root: DataRoot) -> None:
    release(root, 1)
    (root.root / "current" / "toys.json").write_text("{")
    with pytest.raises(InputError, match=r"the pointer toys.json of current is unreadable"):
        find_pointer(root, "toys")


def judged(root: DataRoot, version: str, **verdicts: bool) -> None:
    """Write down what the checks found of recommendations that this version of the project has made."""
    found = root.find_manifest("recommendations", "toys", f"/{version}")
    assert found is not None
    recipe = found.recipe.model_copy(update={"code_version": "5"})
    root.write_manifest(found.model_copy(update={"verdicts": verdicts, "recipe": recipe}), f"/{version}")


def test_lists_that_failed_or_were_not_checked_yet_are_not_named(root: DataRoot) -> None:
    release(root, 1)
    first = pointer(root).recommendations
    for value, verdicts in ((2, {}), (3, {"fit_to_send": False})):
        made = Release.of("toys", value, train(root, value))
        manifest(root, "current", promote(root, made), made.version, value)
        path = root.path("recommendations", "toys") / f"r{value}.parquet"
        root.publish_bytes(path, f"recommendations {value}".encode())
        manifest(root, "recommendations", path, f"r{value}", value, current=made.version)
        judged(root, f"r{value}", **verdicts)
        show_recommendations(root, "toys")
        assert pointer(root).recommendations == first
    judged(root, "r3", fit_to_send=True)
    show_recommendations(root, "toys")
    assert pointer(root).recommendations == "recommendations/toys/r3.parquet"


def test_lists_that_are_served_stay_whatever_goes(root: DataRoot) -> None:
    """Of four releases only the first has lists that passed; it is over when two are kept, its lists are not."""
    release(root, 1)
    for value in (2, 3, 4):
        made = Release.of("toys", value, train(root, value))
        manifest(root, "current", promote(root, made), made.version, value)
    prune(root, "toys", 2)
    served = pointer(root).recommendations
    assert served == "recommendations/toys/r1.parquet"
    assert (root.root / served).exists()


def test_of_evaluated_models_the_last_versions_stay(root: DataRoot) -> None:
    for value in (1, 2, 3, 4):
        release(root, value)
        vectors = {"item_vectors": np.full((2, 3), value, np.float32)}
        path, version = write_models(
            root.path("bpr_mf", "toys"), SavedModels((SavedModel(vectors, {"loss": "bpr", "seed": 0}),))
        )
        manifest(root, "bpr_mf", path, version, value)
    gone = prune(root, "toys", 2, ["bpr_mf"])
    assert sum(path.startswith("bpr_mf/") for path in gone) == 2
    left = [json.loads((path / "fits.json").read_bytes()) for path in root.path("bpr_mf", "toys").glob("*/")]
    assert len(left) == 2


def test_a_release_of_an_older_version_is_not_gone_back_to(root: DataRoot) -> None:
    old = Release.of("toys", 1, {"gated_lightgcn_plus": train(root, 1)["served_model"]})
    manifest(root, "current", promote(root, old), old.version, 1)
    new = release(root, 2)
    with pytest.raises(InputError, match="was made by an older version of this project, which this one cannot serve"):
        roll_back(root, "toys")
    assert pointer(root).version == new.version
