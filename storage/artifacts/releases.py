"""Which models are served: immutable releases of a dataset, and a pointer that moves from one to the next and back.

data/current/DATASET/VERSION.json   a release: the manifests of its models
data/current/DATASET.json           the pointer, for whoever serves: paths of the models and of the recommendations
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pydantic

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.artifacts.saved_models import SavedModels, read_models
from storage.errors import InputError

logger = logging.getLogger(__name__)

CURRENT, RECOMMENDATIONS = "current", "recommendations"
UNCHECKED = {"1", "2", "3", "4"}  # code versions of recommendations before there was a check of them
SERVED_MODEL, NEW_ITEM_MODEL = "served_model", "new_item_model"  # what a release is made of


class Release(pydantic.BaseModel):
    """Models that were fitted to the same data, named by their versions.

    `model` is the name of the one that recommends (older releases have none), `validation` how good the evaluated model
    of that name is.
    """

    version: str
    dataset: str
    validation: float
    models: dict[str, Manifest]
    model: str = ""

    @classmethod
    def of(cls, dataset: str, validation: float, models: dict[str, Manifest], model: str = "") -> "Release":
        named = json.dumps({name: one.data_version for name, one in models.items()}, sort_keys=True)
        version = hashlib.sha256(named.encode()).hexdigest()[:16]
        return cls(version=version, dataset=dataset, validation=validation, models=models, model=model)


class Pointer(pydantic.BaseModel):
    """What is served now, with the releases before it (the oldest first) and those that were taken back."""

    version: str
    models: dict[str, str]  # paths below the data root
    recommendations: str | None = None
    earlier: list[str] = []
    withdrawn: list[str] = []


@dataclass(frozen=True)
class Promoted:
    """The models that are served, loaded when they are asked for."""

    root: DataRoot
    release: Release

    def models(self, name: str) -> SavedModels:
        """All fits of one model.

        Raises:
            InputError: the release has no such model, or its files are not what they were.
        """
        if name not in self.release.models:
            raise InputError(f"the promoted models have no {name}; materialize {name} and then {CURRENT}")
        return read_models(self.root.artefact(self.release.models[name]))


def find_pointer(root: DataRoot, dataset: str) -> Pointer | None:
    """The pointer of a dataset; None before anything was promoted.

    Raises:
        InputError: it is there and cannot be read.
    """
    root.pull(dataset)
    path = root.path(CURRENT, dataset, ".json")
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except pydantic.ValidationError:
        raise InputError(f"the pointer {path.name} of {CURRENT} is unreadable; delete it and materialize it") from None


def read_release(root: DataRoot, dataset: str, version: str) -> Release:
    """One release.

    Raises:
        InputError: it is gone or cannot be read.
    """
    try:
        return Release.model_validate_json(release_path(root, dataset, version).read_bytes())
    except (FileNotFoundError, pydantic.ValidationError):
        raise InputError(f"release {version} of {dataset} is gone or unreadable; materialize {CURRENT} again") from None


def find_release(root: DataRoot, dataset: str, version: str) -> Release | None:
    """One release; None, with a warning, where it is gone or cannot be read."""
    try:
        return read_release(root, dataset, version)
    except InputError as error:
        logger.warning(f"{error}")
        return None


def release_path(root: DataRoot, dataset: str, version: str) -> Path:
    return root.path(CURRENT, dataset) / f"{version}.json"


def promote(root: DataRoot, release: Release) -> Path:
    """Write a release, move the pointer to it, and give its path; what is served already stays as it is."""
    path = release_path(root, release.dataset, release.version)
    root.publish_bytes(path, release.model_dump_json(indent=1).encode())
    pointer = find_pointer(root, release.dataset)
    earlier = [*pointer.earlier, pointer.version] if pointer else []
    withdrawn = pointer.withdrawn if pointer else []
    _point(
        root,
        release,
        pointer,
        earlier=[one for one in earlier if one != release.version],
        withdrawn=[one for one in withdrawn if one != release.version],
    )
    return path


def show_recommendations(root: DataRoot, dataset: str) -> None:
    """Let the pointer name the newest recommendations of what it points to."""
    if pointer := find_pointer(root, dataset):
        release = read_release(root, dataset, pointer.version)
        _point(root, release, pointer, earlier=pointer.earlier, withdrawn=pointer.withdrawn)


def roll_back(root: DataRoot, dataset: str) -> Pointer:
    """Serve the release before, with its recommendations; the one that is taken back is not promoted again by itself.

    Raises:
        InputError: there is none before, it cannot be served, or its files are not what they were: then nothing has
            changed.
    """
    pointer = find_pointer(root, dataset)
    if pointer is None or not pointer.earlier:
        raise InputError(f"of {CURRENT} there is no release before the one that is served")
    *earlier, version = pointer.earlier
    release = read_release(root, dataset, version)
    if SERVED_MODEL not in release.models:
        raise InputError(f"release {version} was made by an older version of this project, which this one cannot serve")
    for manifest in release.models.values():
        root.artefact(manifest)
    head = root.find_manifest(CURRENT, dataset, f"/{version}")
    if head is None:
        raise InputError(f"the manifest of release {version} of {CURRENT} is gone")
    for manifest in filter(None, (head, find_recommendations(root, dataset, version))):
        root.artefact(manifest)
        root.write_manifest(manifest)
    return _point(root, release, None, earlier=earlier, withdrawn=[*pointer.withdrawn, pointer.version])


def find_recommendations(root: DataRoot, dataset: str, version: str) -> Manifest | None:
    """The newest recommendations that were made by the models of a release, and have passed their checks."""
    made = [
        one
        for one in _versions(root, RECOMMENDATIONS, dataset)
        if one.recipe.inputs.get(CURRENT) == version and _passed(one)
    ]
    return max(made, key=lambda one: one.made_at, default=None)


def _passed(lists: Manifest) -> bool:
    """Whether recommendations have passed their checks; those of an older version of this project had none."""
    return not lists.failed if lists.verdicts else lists.recipe.code_version in UNCHECKED


def prune(root: DataRoot, dataset: str, keep: int, evaluated: Iterable[str] = ()) -> list[str]:
    """Delete releases older than the last `keep`, with the models and recommendations that only they name.

    What was made last of anything stays. Of the models that are `evaluated` alone, the last `keep` versions stay. Gives
    the paths of what was deleted, below the data root.
    """
    pointer = find_pointer(root, dataset)
    if pointer is None:
        return []
    served = read_release(root, dataset, pointer.version)
    earlier = list(filter(None, (find_release(root, dataset, one) for one in pointer.earlier)))
    releases = [*earlier, served][-keep:]
    kept = [release.version for release in releases]
    if pointer.earlier != kept[:-1]:  # first, so that it never names what is gone
        _point(root, served, pointer, earlier=kept[:-1], withdrawn=pointer.withdrawn)
    named = {one.path for release in releases for one in release.models.values()}
    named |= {one.path for version in kept if (one := find_recommendations(root, dataset, version))}
    named |= {pointer.recommendations or ""}  # of a release before, until newer ones have passed their check
    named |= {str(release_path(root, dataset, version).relative_to(root.root)) for version in kept}
    assets = {name for release in releases for name in release.models} | {CURRENT, RECOMMENDATIONS, *evaluated}
    for name in evaluated:
        last = sorted(_versions(root, name, dataset), key=lambda one: one.made_at)[-keep:]
        named |= {one.path for one in last}
    named |= {one.path for asset in assets if (one := root.find_manifest(asset, dataset))}
    gone = [one for asset in sorted(assets) for one in _versions(root, asset, dataset) if one.path not in named]
    for manifest in gone:
        root.remove(root.owned(manifest))
        root.remove(root.manifest_path(manifest.asset, dataset, f"/{manifest.data_version}"))
    return [manifest.path for manifest in gone]


def _point(
    root: DataRoot, release: Release, before: Pointer | None, earlier: list[str], withdrawn: list[str]
) -> Pointer:
    """Write the pointer; until a release has recommendations of its own, those from `before` are served."""
    made = find_recommendations(root, release.dataset, release.version)
    pointer = Pointer(
        version=release.version,
        models={name: manifest.path for name, manifest in release.models.items()},
        recommendations=made.path if made else before.recommendations if before else None,
        earlier=earlier,
        withdrawn=withdrawn,
    )
    root.publish_bytes(root.path(CURRENT, release.dataset, ".json"), pointer.model_dump_json(indent=1).encode())
    return pointer


def _versions(root: DataRoot, asset: str, dataset: str) -> Iterable[Manifest]:
    """The manifests of the versions of an asset that are there; one that is not sound is none, with a warning."""
    for path in sorted(root.path(asset, dataset).glob("*.manifest.json")):
        try:
            version = path.name.removesuffix(".manifest.json")
            manifest = root.find_manifest(asset, dataset, f"/{version}")
            if manifest is None:
                continue
            if manifest.data_version != version or root.owned(manifest).parent != root.path(asset, dataset):
                raise InputError(f"a version of {asset} of {dataset} has the manifest of something else")
            yield manifest
        except InputError as error:
            logger.warning(f"{error}; this version of it counts as gone")
