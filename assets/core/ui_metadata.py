"""What the UI shows of an artefact: its data version, path, size, columns, first rows and facts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.artifacts.preview import columns_of, first_rows


def shown_version(root: DataRoot, manifest: Manifest) -> dg.DataVersion:
    """The data version that Dagster records of an artefact: a variant leaves that of what is published as it is."""
    published = root.published.find_manifest(manifest.asset, manifest.dataset) if manifest.variant else None
    return dg.DataVersion((published or manifest).data_version)


def manifest_metadata(root: DataRoot, manifest: Manifest) -> dict[str, Any]:
    """What every asset shows in the UI, whether it was made now or used again."""
    path = root.root / manifest.path
    facts: dict[str, Any] = {
        "path": dg.MetadataValue.path(str(path)),
        "bytes": manifest.bytes,
        "seconds": _shown(manifest.seconds),
        "dagster/uri": root.uri(path),
    }
    if manifest.variant:
        facts["variant"] = root.name(manifest.dataset)
    if manifest.rows is not None:
        facts["dagster/partition_row_count"] = manifest.rows
    if path.suffix == ".parquet" and path.is_file():
        facts |= table_metadata(path, manifest.asset)
    return facts | shown_facts(manifest.facts)


def table_metadata(path: Path, name: str) -> dict[str, Any]:
    """The columns of a table, and its first rows."""
    columns = [dg.TableColumn(column.name, column.type, column.meaning) for column in columns_of(path, name)]
    records = [dg.TableRecord(row) for row in first_rows(path)]
    schema = dg.TableSchema(columns)
    preview = {"preview": dg.MetadataValue.table(records, schema)} if records else {}
    return {"dagster/column_schema": schema, **preview}


def shown_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as the UI shows them."""
    return {name: _shown(value) for name, value in facts.items()}


def _shown(value: object) -> object:
    match value:
        case {"markdown": str(text)}:
            return dg.MetadataValue.md(text)
        case {"url": str(url)}:
            return dg.MetadataValue.url(url)
        case float():
            return float(f"{value:.6g}")
    return value
