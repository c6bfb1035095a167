"""Where everything lies below the data root, and how an artefact is found again by its manifest.

data/ASSET/DATASET.parquet          a table          (.npz an array, .html a report)
data/ASSET/DATASET/VERSION/         a model          (immutable)
data/ASSET/DATASET.manifest.json    what it was made of, beside it
data/ASSET/DATASET@VARIANT…         the same of a variant: of a run with settings of its own
data/embeddings/SPACE/              vectors by the content they are of, for all datasets
data/.work/                         what is not finished yet
"""

import logging
import os
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from storage.artifacts.manifest import Manifest
from storage.artifacts.tables import require_version
from storage.environment import PROJECT_ROOT, absolute
from storage.errors import InputError
from storage.files.atomic import publish_bytes, publishing, remove, sha256_of
from storage.files.checksums import add_checksum, verify_checksum
from storage.files.mirror import Mirror
from storage.files.remote import Remote, is_url
from storage.text import shorten

logger = logging.getLogger(__name__)

SHOWN_CHARACTERS = 80  # of a path in a sentence about it


@dataclass(frozen=True)
class DataRoot:
    """The folder below which everything is stored, which may be the mirror of a remote.

    Attributes:
        dumps: the raw files elsewhere that the catalogue names; nothing else outside the root is read by a manifest.
        variant: of a run with settings of its own: what it makes lies beside what is published, under this name, and
            what it does not make is read from what is published.
    """

    root: Path
    mirror: Mirror | None = None
    dumps: frozenset[Path] = frozenset()
    variant: str = ""

    @classmethod
    def from_environment(cls) -> "DataRoot":
        """`REC_DATA`, a folder or any URL that fsspec knows, or `data/` in the project."""
        given = os.environ.get("REC_DATA") or str(PROJECT_ROOT / "data")
        return cls.at(given, _work(PROJECT_ROOT / "data" / ".work")) if is_url(given) else cls(absolute(given))

    @classmethod
    def at(cls, url: str, work: Path) -> "DataRoot":
        """What lies at a URL, by its mirror below the local folder `work`."""
        mirror = Mirror(Remote(url), work)
        return cls(mirror.folder, mirror)

    @property
    def work(self) -> Path:
        """The folder of what is not finished yet, always local: `REC_WORK`, or `.work/` below the root."""
        return _work(self.mirror.work if self.mirror else self.root / ".work")

    def require_folders(self) -> None:
        """Raise InputError where there can be no folder of finished or of unfinished work."""
        for setting, folder in (("REC_DATA", self.root), ("REC_WORK", self.work)):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"{folder} cannot be a folder ({error.strerror}); let {setting} name another"
                ) from error

    def pull(self, dataset: str, assets: Collection[str] | None = None) -> None:
        """Bring here what a remote has of a dataset, or of some of its assets alone, once a process and dataset."""
        if self.mirror:
            self.mirror.pull_once(dataset, assets)

    def publishing(self, target: Path) -> AbstractContextManager[Path]:
        """As `storage.files.atomic.publishing`; the remote has the content before this folder."""
        return publishing(target, self.mirror)

    def publish_bytes(self, target: Path, content: bytes) -> None:
        publish_bytes(target, content, self.mirror)

    def remove(self, path: Path) -> None:
        """Delete what was published at a path, here and on the remote."""
        remove(path, self.mirror)

    def uri(self, path: Path) -> str:
        """Where a path of the root lies for everybody who has access to it."""
        if self.mirror and self.mirror.holds(path):
            return self.mirror.remote.uri(self.mirror.key(path))
        return path.as_uri()

    def shown(self, path: Path) -> str:
        """A path of the root as a sentence names it: from the root's own name on, without what lies above it."""
        return str(path.relative_to(self.root.parent) if path.is_relative_to(self.root.parent) else path)

    @property
    def published(self) -> "DataRoot":
        """The same without a variant."""
        return replace(self, variant="")

    def name(self, dataset: str) -> str:
        """What a dataset is called in paths: DATASET, or DATASET@VARIANT."""
        return f"{dataset}@{self.variant}" if self.variant else dataset

    def path(self, asset: str, dataset: str, suffix: str = "") -> Path:
        return self.root / asset / f"{self.name(dataset)}{suffix}"

    def manifest_path(self, asset: str, dataset: str, which: str = "") -> Path:
        """Where a manifest lies; `which` tells those of the same dataset apart: the generation before, a version."""
        return self.path(asset, dataset, f"{which}.manifest.json")

    def write_manifest(self, manifest: Manifest, which: str = "") -> None:
        """Publish a manifest; a variant leaves that of what is published as it is."""
        if manifest.variant != self.variant:
            return
        target = self.manifest_path(manifest.asset, manifest.dataset, which)
        self.publish_bytes(target, add_checksum(manifest.model_dump_json()))

    def find_manifest(self, asset: str, dataset: str, which: str = "") -> Manifest | None:
        """The manifest of an artefact, or None where it was never made; a variant may have the published one.

        Raises:
            InputError: it cannot be read, or it is that of something else.
        """
        self.pull(dataset)
        path = self.manifest_path(asset, dataset, which)
        if not path.exists():
            return self.published.find_manifest(asset, dataset) if self.variant and not which else None
        try:
            manifest = Manifest.model_validate(verify_checksum(path.read_bytes()))
        except (OSError, ValueError, RecursionError):
            raise InputError(f"{asset} of {dataset} has an unreadable manifest; materialize {asset} again") from None
        if (manifest.asset, manifest.dataset) != (asset, dataset):
            raise InputError(f"{asset} of {dataset} has the manifest of something else; materialize {asset} again")
        return manifest

    def find_sound(self, asset: str, dataset: str) -> Manifest | None:
        """The manifest of an artefact that is what it says; None, with a warning, of one that has to be made again."""
        try:
            manifest = self.find_manifest(asset, dataset)
            if manifest is not None:
                self.artefact(manifest)
            return manifest
        except InputError as error:
            logger.warning(f"{error}; it is made again")
            return None

    def manifest(self, asset: str, dataset: str) -> Manifest:
        """The manifest of an artefact that must be there."""
        found = self.find_manifest(asset, dataset)
        if found is None:
            raise InputError(f"{asset} of {dataset} does not exist yet; materialize {asset} first")
        return found

    def lineage(self, assets: Iterable[str], dataset: str) -> list[Manifest]:
        """Manifests of these assets and of everything upstream of them, each after what it was made of."""
        found: dict[str, Manifest] = {}

        def visit(asset: str) -> None:
            if asset not in found:
                manifest = self.manifest(asset, dataset)
                for upstream in manifest.recipe.inputs:
                    visit(upstream)
                found[asset] = manifest

        for asset in assets:
            visit(asset)
        return list(found.values())

    def located(self, manifest: Manifest) -> Path:
        """Where a manifest says that its artefact lies: below the root, or a raw file that the catalogue names.

        Raises:
            InputError: it lies elsewhere, by its path or by a symbolic link on the way.
        """
        path = self.root / manifest.path
        if path in self.dumps and manifest.asset.startswith("raw_"):
            return path
        return self.owned(manifest)

    def owned(self, manifest: Manifest) -> Path:
        """Where an artefact lies that may be moved or deleted: in its asset's folder, under the name of its dataset.

        Raises:
            InputError: it lies elsewhere, by its path or by a symbolic link on the way.
        """
        path = self.root / manifest.path
        parts = PurePosixPath(manifest.path).parts
        of_asset = len(parts) > 1 and parts[0] == manifest.asset and ".." not in parts
        if not of_asset or parts[1].partition(".")[0] != replace(self, variant=manifest.variant).name(manifest.dataset):
            named = shorten(manifest.path, SHOWN_CHARACTERS)
            raise InputError(
                f"the manifest of {manifest.asset} of {manifest.dataset} names {named!r}, which is not in the place of "
                f"that asset; materialize {manifest.asset} again"
            )
        try:
            is_below = path.resolve().is_relative_to(self.root.resolve())
        except (OSError, ValueError, RuntimeError):
            is_below = False
        if not is_below:
            raise InputError(
                f"{manifest.asset} of {manifest.dataset} lies behind a symbolic link that leads out of the data root; "
                f"put the file or folder itself there, or let REC_DATA name the other place, and materialize "
                f"{manifest.asset} again"
            )
        return path

    def artefact(self, manifest: Manifest) -> Path:
        """Path of an artefact, after its bytes were compared with what the manifest says.

        Raises:
            InputError: it is gone, lies where it may not, is no longer what was published, or is a table of another
                version of the schemas.
        """
        path = self.located(manifest)
        if not path.exists() or _checksum(path) != manifest.sha256:
            raise InputError(
                f"{manifest.asset} of {manifest.dataset} is missing or was changed since it was made; "
                f"materialize {manifest.asset} again"
            )
        if path.suffix == ".parquet" and manifest.rows is not None:
            require_version(path, manifest.asset, manifest.dataset)
        return path


def _work(default: Path) -> Path:
    """`REC_WORK`, or `default`."""
    given = os.environ.get("REC_WORK") or str(default)
    if is_url(given):
        raise InputError("REC_WORK is a URL; what is not finished yet lies in a local folder")
    return absolute(given)


def _checksum(path: Path) -> str:
    """Checksum of a file or folder, computed once for each state of it that this process sees."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return _checksum_of_state(path, tuple(_state(file) for file in files))


@lru_cache(maxsize=1024)
def _checksum_of_state(path: Path, states: tuple[tuple[int, ...], ...]) -> str:
    return sha256_of(path)


def _state(file: Path) -> tuple[int, ...]:
    """What is not the same when a file has changed; a clock that is set back does not make a new one look old."""
    found = file.stat() if file.exists() else file.lstat()  # a link may lead nowhere
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
