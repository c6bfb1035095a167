"""Dagster's I/O managers: each publishes one kind of value whole, with its manifest, and loads it by annotation."""

import shutil
import time
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import dagster as dg
import pyarrow as pa
import scipy.sparse as sp
from safetensors import SafetensorError

from assets.core.asset_result import AssetResult, Product
from assets.core.blocking_checks import blocking_checks
from assets.core.failures import as_failure
from assets.core.ui_metadata import manifest_metadata, shown_version
from storage.artifacts.arrays import NearestItems, read_nearest, write_nearest
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.artifacts.previous_version import keep_previous
from storage.artifacts.releases import Promoted, Release, promote
from storage.artifacts.saved_models import SavedModels, read_models, write_models
from storage.artifacts.tables import (
    CodedReviews,
    Embeddings,
    Rows,
    read_coded_reviews,
    read_embeddings,
    read_table,
    stream_table,
    write_table,
)
from storage.errors import InputError
from storage.files.atomic import sha256_of

# What the readers raise of a file that is not what it should be, whatever its checksum says.
UNREADABLE = (ValueError, KeyError, OSError, BadZipFile, SafetensorError, pa.ArrowException)


@dataclass(frozen=True)
class Published:
    """Where a value was put, its data version, its rows if it has rows, its checksum if that is known already."""

    path: Path
    data_version: str
    rows: int | None = None
    sha256: str | None = None


class PublishingIOManager(dg.IOManager):
    """Publishes a value and its manifest, and tells Dagster its data version; kinds of value are subclasses."""

    suffix = ""  # of files that are replaced, and of which the generation before is kept until checks have passed
    versioned = False  # whether what was published before stays, each version with its manifest beside it

    def __init__(self, root: DataRoot):
        self.root = root

    @abstractmethod
    def publish(self, asset: str, dataset: str, made: AssetResult) -> Published:
        """Write the value whole."""

    @abstractmethod
    def load(self, path: Path, annotation: Any) -> Any:
        """Read it as the type that the downstream asset asks for."""

    def handle_output(self, context: dg.OutputContext, obj: Product) -> None:
        origin, root = obj.origin, self.root
        asset, dataset = origin.asset, origin.dataset
        with as_failure(dataset, InputError):
            if self.suffix and (checks := blocking_checks(asset)):
                keep_previous(root, asset, dataset, self.suffix, checks)
            published = self.publish(asset, dataset, obj.made)
            facts = obj.made.metadata() if callable(obj.made.metadata) else obj.made.metadata
        path, version = published.path, published.data_version
        if obj.starts_numbering:
            origin = origin.model_copy(update={"numbering": {asset: version} | obj.made.numbers})
        manifest = Manifest(
            **dict(origin),
            path=str(path.relative_to(root.root) if path.is_relative_to(root.root) else path),
            bytes=count_bytes(path),
            sha256=published.sha256 or sha256_of(path),
            data_version=version,
            facts=facts,
            seconds=time.perf_counter() - obj.started,
            rows=published.rows,
            made_at=time.time_ns() // 1_000_000,
        )
        with as_failure(dataset, InputError):
            if self.versioned:
                root.write_manifest(manifest, f"/{version}")
            root.write_manifest(manifest)
            if obj.made.published:
                obj.made.published()
        obj.context.add_asset_metadata(manifest_metadata(root, manifest))
        obj.context.set_data_version(context.asset_key, shown_version(root, manifest))
        rows = "" if manifest.rows is None else f"{manifest.rows:,} rows, "
        obj.context.log.info(f"{asset} {dataset}: {rows}{manifest.bytes:,} bytes in {manifest.seconds:,.1f} s")

    def load_input(self, context: dg.InputContext) -> Any:
        asset, dataset = context.asset_key.path[-1], context.asset_partition_key
        with as_failure(dataset, InputError):
            path = self.root.artefact(self.root.manifest(asset, dataset))
            try:
                return self.load(path, context.dagster_type.typing_type)
            except UNREADABLE as error:
                kind = type(error).__name__
                raise InputError(f"{asset} of {dataset} cannot be read ({kind}); materialize {asset} again") from error


def count_bytes(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


class TablesIOManager(PublishingIOManager):
    """Arrow tables and streams of record batches, as Parquet with the schema of their asset."""

    suffix = ".parquet"

    def publish(self, asset: str, dataset: str, made: AssetResult) -> Published:
        rows: Rows = made.value
        path = self.root.path(asset, dataset, self.suffix)
        written = write_table(path, asset, rows, made.about, self.root.mirror)
        return Published(path, written.data_version, written.rows)

    def load(self, path: Path, annotation: Any) -> Any:
        if annotation is pa.RecordBatchReader:
            return stream_table(path)
        if annotation is CodedReviews:
            return read_coded_reviews(path)
        return read_embeddings(path) if annotation is Embeddings else read_table(path)


class ArraysIOManager(PublishingIOManager):
    """Sparse matrices and lists of neighbours, as `.npz` without pickle."""

    suffix = ".npz"

    def publish(self, asset: str, dataset: str, made: AssetResult) -> Published:
        path = self.root.path(asset, dataset, self.suffix)
        if isinstance(made.value, NearestItems):
            rows = len(made.value.visual)
            write_nearest(path, made.value, self.root.mirror)
        else:
            rows = made.value.nnz
            with self.root.publishing(path) as partial, partial.open("wb") as file:
                sp.save_npz(file, made.value, compressed=False)
        return Published(path, sha256_of(path)[:16], rows)

    def load(self, path: Path, annotation: Any) -> sp.csr_matrix | NearestItems:
        return read_nearest(path) if annotation is NearestItems else sp.load_npz(path)


class VersionsIOManager(TablesIOManager):
    """Tables of which each version is a file of its own, that is never written again."""

    suffix = ""
    versioned = True

    def publish(self, asset: str, dataset: str, made: AssetResult) -> Published:
        path = self.root.work / "versions" / f"{asset}-{dataset}.parquet"  # its name is known when it is written
        written = write_table(path, asset, made.value, made.about)
        target = self.root.path(asset, dataset) / f"{written.data_version}.parquet"
        with self.root.publishing(target) as partial:
            shutil.move(path, partial)
        return Published(target, written.data_version, written.rows)


class ModelsIOManager(PublishingIOManager):
    """The fits of a model, together an immutable version."""

    versioned = True

    def publish(self, asset: str, dataset: str, made: AssetResult) -> Published:
        path, version = write_models(self.root.path(asset, dataset), made.value, self.root.mirror)
        return Published(path, version)

    def load(self, path: Path, annotation: Any) -> SavedModels:
        return read_models(path)


class ReleasesIOManager(PublishingIOManager):
    """Which models are served: publishing a release moves the pointer to it."""

    versioned = True

    def publish(self, asset: str, dataset: str, made: AssetResult) -> Published:
        return Published(promote(self.root, made.value), made.value.version)

    def load(self, path: Path, annotation: Any) -> Promoted:
        return Promoted(self.root, Release.model_validate_json(path.read_bytes()))


class FilesIOManager(PublishingIOManager):
    """Files that the asset has published itself: the value is their path."""

    def publish(self, asset: str, dataset: str, made: AssetResult) -> Published:
        sha256 = sha256_of(made.value)
        return Published(made.value, sha256[:16], sha256=sha256)

    def load(self, path: Path, annotation: Any) -> Path:
        return path


class RefusingIOManager(dg.IOManager):
    """The default: an asset that names no I/O manager must not leave a pickle behind."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise TypeError(f"{context.asset_key.to_user_string()} returns a value but names no I/O manager")

    def load_input(self, context: dg.InputContext) -> object:
        raise TypeError(f"{context.asset_key.to_user_string()} names no I/O manager to load it")
