"""The generation before: what a new table replaces stays beside it until the new one has passed its checks.

data/ASSET/DATASET.previous.parquet, with DATASET.previous.manifest.json. It is always one that had passed.
"""

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.errors import InputError

logger = logging.getLogger(__name__)

PREVIOUS = ".previous"


def keep_previous(root: DataRoot, asset: str, dataset: str, suffix: str, checks: Collection[str]) -> None:
    """Put a copy of a table that has passed its checks beside it before it is replaced; another is not worth it."""
    manifest = root.find_sound(asset, dataset)
    if manifest is None or manifest.variant != root.variant:
        return
    if not all(manifest.verdicts.get(check) for check in checks):
        return
    with root.publishing(root.path(asset, dataset, PREVIOUS + suffix)) as partial:
        _copy(root.path(asset, dataset, suffix), partial)
    path = root.path(asset, dataset, PREVIOUS + suffix).relative_to(root.root)
    root.write_manifest(manifest.model_copy(update={"path": str(path)}), PREVIOUS)


def find_previous(root: DataRoot, asset: str, dataset: str) -> Manifest | None:
    """The manifest of the generation before, while it is there; one that is not sound is none, with a warning."""
    try:
        manifest = root.find_manifest(asset, dataset, PREVIOUS)
        if manifest is not None and not root.owned(manifest).name.startswith(f"{root.name(dataset)}{PREVIOUS}"):
            raise InputError(f"the generation before {asset} of {dataset} has the manifest of something else")
        return manifest
    except InputError as error:
        logger.warning(f"{error}; the generation before it counts as gone")
        return None


def drop_previous(root: DataRoot, asset: str, dataset: str) -> None:
    """Let go of the generation before; its manifest goes first, as it came last."""
    if (manifest := find_previous(root, asset, dataset)) is not None:
        root.remove(root.manifest_path(asset, dataset, PREVIOUS))
        root.remove(root.owned(manifest))


def record_verdict(root: DataRoot, made: Manifest, check: str, passed: bool, checks: Collection[str]) -> bool:
    """Write down what a blocking check found of an artefact; when it has passed all of them, the one before goes.

    Args:
        made: the artefact that was looked at; where another one has taken its place since, nothing is written.
        checks: the names of all blocking checks of the asset.

    Returns:
        Whether it has passed all of them.
    """
    now = root.find_manifest(made.asset, made.dataset)
    if now is None or now.data_version != made.data_version:
        return False
    verdicts = {name: verdict for name, verdict in now.verdicts.items() if name in checks} | {check: passed}
    updated = now.model_copy(update={"verdicts": verdicts})
    root.write_manifest(updated)
    version = f"/{now.data_version}"
    if root.find_manifest(made.asset, made.dataset, version) is not None:
        root.write_manifest(updated, version)
    if passed_all := all(verdicts.get(name) for name in checks):
        drop_previous(root, made.asset, made.dataset)
    return passed_all


def find_failed_tables(root: DataRoot, dataset: str) -> list[str]:
    """The assets of a dataset whose table has failed a check, and that have a generation before."""
    root.pull(dataset)
    kept = sorted(root.root.glob(f"*/{dataset}{PREVIOUS}.manifest.json"))
    assets = [path.parent.name for path in kept]
    return [asset for asset in assets if root.manifest(asset, dataset).failed]


def restore_previous(root: DataRoot, asset: str, dataset: str) -> Manifest:
    """Put the generation before in the place of one that failed a check.

    Raises:
        InputError: there is none, or it is not what it was.
    """
    previous = find_previous(root, asset, dataset)
    if previous is None:
        raise InputError(f"of {asset} there is no generation before the one that is there")
    source = root.artefact(previous)
    target = root.path(asset, dataset, source.name.removeprefix(f"{dataset}{PREVIOUS}"))
    with root.publishing(target) as partial:
        _copy(source, partial)
    # It stands for what it is put in place of: until that changes, nobody has to make it again.
    read = root.manifest(asset, dataset).read
    restored = previous.model_copy(update={"path": str(target.relative_to(root.root)), "read": read})
    root.write_manifest(restored)
    drop_previous(root, asset, dataset)
    return restored


def _copy(source: Path, target: Path) -> None:
    """A second name for the same bytes, where the file system has such; publishing never writes into a file."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
