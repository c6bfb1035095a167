"""Everything that Dagster knows of this project. This assembles and nothing else."""

from dataclasses import replace

import dagster as dg

from assets.checks import regression_checks, table_checks
from assets.core.compute import Compute
from assets.core.io_managers import (
    ArraysIOManager,
    FilesIOManager,
    ModelsIOManager,
    RefusingIOManager,
    ReleasesIOManager,
    TablesIOManager,
    VersionsIOManager,
)
from assets.evaluation import assets as evaluation
from assets.exports import assets as exports
from assets.features import assets as features
from assets.graph import assets as graph
from assets.ingest import assets as ingest
from assets.interactions import assets as interactions
from assets.serving import assets as serving
from assets.serving import checks as serving_checks
from assets.training import assets as training
from pipeline.alerts import degradations, run_failures
from pipeline.automation import add_automation, automation
from pipeline.jobs import daily_freshness, fetch_dumps, freshness, monthly_refresh, refresh, weekly_check
from pipeline.resources import data_root_of, io_manager_of
from pipeline.runs.doctor import doctor
from pipeline.runs.run_lock import hold_run_lock
from pipeline.sensors import new_dumps
from pipeline.source_links import link_to_git
from storage.artifacts.data_root import DataRoot
from storage.catalogue import Catalogue, load_catalogue


def assemble(data_root: DataRoot, catalogue: Catalogue, compute: Compute | None = None) -> dg.Definitions:
    """The project, storing below `data_root`."""
    data_root = replace(data_root, dumps=catalogue.local_files)
    stages = [ingest, interactions, features, graph, training, serving, evaluation, exports]
    assets = add_automation(link_to_git(dg.load_assets_from_modules(stages)))
    names = {key.path[-1] for asset in assets for key in asset.keys}
    return dg.Definitions(
        assets=assets,
        asset_checks=dg.load_asset_checks_from_modules([table_checks, regression_checks, serving_checks]),
        jobs=[refresh, fetch_dumps, freshness],
        schedules=[weekly_check, monthly_refresh, daily_freshness],
        sensors=[new_dumps, automation, doctor, run_failures, degradations],
        resources={
            "catalogue": catalogue,
            "data_root": data_root_of(data_root, names),
            "compute": compute or Compute(),
            "run_lock": hold_run_lock,
            "tables": io_manager_of(TablesIOManager),
            "arrays": io_manager_of(ArraysIOManager),
            "models": io_manager_of(ModelsIOManager),
            "versions": io_manager_of(VersionsIOManager),
            "releases": io_manager_of(ReleasesIOManager),
            "files": io_manager_of(FilesIOManager),
            "io_manager": RefusingIOManager(),
        },
        executor=dg.in_process_executor,
    )


defs = assemble(DataRoot.from_environment(), load_catalogue(), Compute.from_environment())
