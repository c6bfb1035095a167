"""One asset of one dataset being made, and what is asked of the artefacts that it is made of.

Importing this reads no catalogue, so workers that have the code alone can.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assets.core.blocking_checks import blocking_checks
from assets.core.compute import Compute
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.previous_version import find_previous
from storage.catalogue import Dataset
from storage.errors import InputError
from storage.progress import Progress


@dataclass(frozen=True)
class AssetContext:
    """One asset of one dataset being made: what an asset function needs besides its settings and inputs.

    `run` is the id of the run that makes it, `compute` where its heavy work is done.
    """

    asset: str
    dataset: Dataset
    root: DataRoot
    run: str
    recipe: Recipe | None = None
    compute: Compute = field(default_factory=Compute)

    @property
    def fingerprint(self) -> str:
        """A short hash of everything that the asset is made of: the name of the work in progress that is kept."""
        assert self.recipe is not None
        return hashlib.sha256(self.recipe.model_dump_json().encode()).hexdigest()[:12]

    def work_folder(self, kind: str, shared: bool = False) -> Path:
        """Where unfinished work of a kind lies, such as checkpoints; variants have their own.

        Args:
            shared: whether it lies below the data root, which all machines see.
        """
        work = self.root.root / ".work" if shared else self.root.work
        return work / kind / self.root.name(self.dataset.name)

    def progress(self, total: int | None, unit: str) -> Progress:
        return Progress(f"{self.asset} {self.dataset.name}", total, unit)

    def manifest(self, asset: str) -> Manifest:
        """The manifest of another asset of the same dataset."""
        return self.root.manifest(asset, self.dataset.name)


def refuse_failed(root: DataRoot, upstream: Sequence[Manifest]) -> None:
    """Raise InputError if an input has not passed its blocking checks: nothing is built on it, in whatever run."""
    for manifest in upstream:
        for check in sorted(blocking_checks(manifest.asset)):
            if not manifest.verdicts.get(check):
                what = "has failed" if check in manifest.verdicts else "was never looked at by"
                to_do = "materialize it again when data or settings are mended"
                if find_previous(root, manifest.asset, manifest.dataset):
                    to_do += f", or `make restore DATASET={manifest.dataset}` takes the one before"
                raise InputError(f"{manifest.asset} {what} its check {check}, and nothing is built on it: {to_do}")


def common_numbering(upstream: Sequence[Manifest]) -> dict[str, str]:
    """The numbering that all inputs share.

    Raises:
        InputError: two inputs count users or items by different generations of the same table.
    """
    numbering: dict[str, tuple[str, str]] = {}
    for manifest in upstream:
        for table, version in manifest.numbering.items():
            other, known = numbering.setdefault(table, (manifest.asset, version))
            if known != version:
                raise InputError(
                    f"{other} and {manifest.asset} were made from different generations of {table}; "
                    f"materialize everything downstream of {table} again"
                )
    return {table: version for table, (_, version) in numbering.items()}
