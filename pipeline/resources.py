"""What a run works with: the data root, or the variant of it that the run's own settings make, and its I/O managers."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from assets.core.effective_settings import require_valid
from assets.core.io_managers import PublishingIOManager
from assets.core.reuse import IMMATERIAL
from pipeline.tags import PARTITION
from storage.artifacts.data_root import DataRoot
from storage.artifacts.variants import settings_given, variant_name
from storage.catalogue import closest_to
from storage.errors import InputError


def data_root_of(root: DataRoot, assets: Collection[str]) -> dg.ResourceDefinition:
    """The data root; for a run with settings of its own that does not say `promote`, a variant of it.

    Args:
        assets: the names of all assets.
    """

    @dg.resource(description="Where everything is stored.")
    def data_root(context: dg.InitResourceContext) -> DataRoot:
        if context.run is None:
            return root
        ops = ops_of(context.run)
        selected = {key.path[-1] for key in context.run.asset_selection or ()}
        try:
            require_known(ops, assets, selected)
            for asset, op in ops.items():
                require_valid(asset, (op or {}).get("config") or {})
        except InputError as error:
            dataset = context.run.tags.get(PARTITION)
            raise dg.Failure(f"Dataset {dataset}: {error}.", allow_retries=False) from None
        settings = settings_given(ops, IMMATERIAL)
        return replace(root, variant=variant_name(settings)) if settings else root

    return data_root


def ops_of(run: dg.DagsterRun) -> Mapping[str, Any]:
    """What the config of a run says, by asset."""
    config: Any = run.run_config
    return config.get("ops") or {}


def require_known(ops: Mapping[str, Any], assets: Collection[str], selected: Collection[str]) -> None:
    """Raise InputError where a run's config names an asset that is not there, or that the run does not make.

    Dagster takes no notice of either.

    Args:
        selected: the assets that the run makes; none if it makes all.
    """
    for name in ops:
        if name not in assets:
            raise InputError(f"the run's config names {name!r}, which is no asset{closest_to(name, assets)}")
        if selected and name not in selected:
            raise InputError(f"the run's config names {name}, which this run does not make; select it as well")


def io_manager_of(kind: type[PublishingIOManager]) -> dg.IOManagerDefinition:
    """An I/O manager that stores below the run's data root."""

    @dg.io_manager(required_resource_keys={"data_root"}, description=(kind.__doc__ or "").splitlines()[0])
    def io_manager(context: dg.InitResourceContext) -> PublishingIOManager:
        return kind(context.resources.data_root)

    return io_manager
