"""The whole pipeline in this process, on a data root of its own."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg

from pipeline.definitions import assemble
from storage.artifacts.data_root import DataRoot
from storage.catalogue import Catalogue, load_catalogue


class Pipeline:
    """Runs assets of one dataset and tells what came of it."""

    def __init__(self, root: Path | DataRoot, catalogue: Catalogue | None = None):
        self.root = root if isinstance(root, DataRoot) else DataRoot(root)
        self.catalogue = catalogue or load_catalogue()
        self.definitions = assemble(self.root, self.catalogue)
        self.instance = dg.DagsterInstance.ephemeral()

    def copy(self, folder: Path) -> "Pipeline":
        """Another pipeline below `folder` that starts from the same data."""
        shutil.copytree(self.root.root, folder, dirs_exist_ok=True)
        return Pipeline(folder)

    def files(self) -> dict[str, tuple[int, int]]:
        """The size in bytes and the time of change in ns of every file that is there, work in progress apart."""
        found = (path for path in self.root.root.glob("[!.]*/**/*") if path.is_file())
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}

    def run(
        self, dataset: str, selection: str = "*", settings: dict[str, Any] | None = None, promote: bool = True
    ) -> dg.ExecuteInProcessResult:
        """Materialize what `selection` means on the command line, with `settings` by asset.

        Without `promote`, settings make a variant.
        """
        job = self.definitions.resolve_implicit_global_asset_job_def()
        assets = dg.AssetSelection.from_string(selection).resolve(self.definitions.resolve_asset_graph())
        own = {"promote": True} if promote else {}
        config = {"ops": {asset: {"config": given | own} for asset, given in (settings or {}).items()}}
        return job.execute_in_process(
            partition_key=dataset,
            asset_selection=list(assets),
            run_config=config,
            instance=self.instance,
            raise_on_error=False,
        )

    def metadata(self, asset: str, dataset: str) -> dict[str, Any]:
        """Metadata of the last materialization."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[dataset]), limit=1
        ).records
        found = records[0].asset_materialization
        assert found is not None
        return {
            name: value.records if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in found.metadata.items()
        }


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What each failed step said, by step; the innermost error of each."""
    found = {}
    for event in result.all_events:
        if event.event_type_value != "STEP_FAILURE":
            continue
        data = event.step_failure_data
        error = data.error
        while error is not None and error.cause is not None:
            error = error.cause
        given = data.user_failure_data
        found[event.step_key] = (given and given.description) or (error.message if error else "")
    return found
