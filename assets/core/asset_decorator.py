"""The decorator of every asset: datasets as partitions, effective settings, reuse of what has not changed."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import dagster as dg

from assets.core.asset_context import AssetContext
from assets.core.asset_result import AssetResult, Product
from assets.core.code_reference import refer_to_code
from assets.core.effective_settings import read_run_config, resolve_settings, settings_table
from assets.core.failures import as_failure
from assets.core.retry import retry_temporary_failures
from assets.core.reuse import ReuseRules, find_origin, find_unchanged, reuse_artefact
from assets.core.settings import AssetSettings
from assets.core.ui_metadata import shown_facts
from models.errors import ModelError
from storage.catalogue import load_catalogue
from storage.errors import InputError

DATASETS = dg.StaticPartitionsDefinition(load_catalogue().names)

GPU = "gpu"  # the pool of what a GPU does where there is one
AssetFunction = TypeVar("AssetFunction", bound=Callable[..., Any])


def dataset_asset(
    *,
    group: str,
    kinds: set[str],
    code_version: str,
    io_manager: str = "tables",
    reuse: bool = False,
    reads_more: bool = False,
    outside: Callable[[Any], dict[str, str]] | None = None,
    starts_numbering: bool = False,
    core_alone: bool = False,
    pool: str | None = None,
    deps: Sequence[str] = (),
    name: str | None = None,
    description: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    parts_read: Mapping[str, Callable[[Any, str], str]] | None = None,
    beside: Callable[[AssetContext], dict[str, Any]] | None = None,
) -> Callable[[AssetFunction], dg.AssetsDefinition]:
    """Make an asset of every dataset from a function `(context, config, **inputs) -> value | AssetResult`.

    Args:
        reuse: whether an artefact with the same inputs, settings and code version is used again.
        reads_more: whether it reads what its recipe does not name, such as a pointer: then a variant makes it anew.
        outside: from the settings, versions of what the function reads besides its inputs, such as weights.
        starts_numbering: whether the integer ids of this table are defined by itself, so that all assets downstream
            must use the same data version of it.
        core_alone: whether its integer ids are those of the core, which stay when the catalogue grows.
        pool: what it has to share with the assets of other runs, such as the GPU.
        deps: upstream assets that the function reads by itself.
        name, description: of the asset; the function's own by default.
        inputs: upstream assets and the types to load them as, where the function takes them as `**inputs`.
        parts_read: of upstream assets of which the function reads a part alone, the version of that part, from the
            loaded value and the name of this asset.
        beside: metadata that are shown with the asset and not kept with it, because they change while it does not.
    """

    def decorate(function: AssetFunction) -> dg.AssetsDefinition:
        settings, types = read_signature(function)
        types |= inputs or {}
        rules = ReuseRules(code_version, reuse, reads_more, core_alone, outside, parts_read or {})

        @dg.asset(
            name=name or function.__name__,
            description=description or inspect.getdoc(function),
            metadata={"dagster/code_references": refer_to_code(function)},
            ins={asset: dg.AssetIn(dagster_type=kind) for asset, kind in types.items()},
            config_schema=settings.to_config_schema().as_field(),
            partitions_def=DATASETS,
            group_name=group,
            kinds=kinds,
            code_version=code_version,
            io_manager_key=io_manager,
            pool=pool,
            required_resource_keys={"catalogue", "data_root", "run_lock", "compute"},
            deps=list(deps),
        )
        def make(context: dg.AssetExecutionContext, **loaded: Any) -> Any:
            started = time.perf_counter()
            with retry_temporary_failures(context), as_failure(context.partition_key, InputError, ModelError):
                asset_context = _asset_context(context)
                root = asset_context.root
                effective, origins = resolve_settings(settings, asset_context.dataset, read_run_config(context))
                context.add_asset_metadata({"settings": settings_table(effective, origins)})
                if beside:
                    context.add_asset_metadata(shown_facts(beside(asset_context)))
                origin = find_origin(asset_context, _upstream_of(context), effective, rules, loaded)
                if not effective.force and (last := find_unchanged(root, rules, origin)):
                    return reuse_artefact(context, root, last, origin)
                value = function(replace(asset_context, recipe=origin.recipe), effective, **loaded)
            result = value if isinstance(value, AssetResult) else AssetResult(value)
            return Product(result, origin, starts_numbering, context, started)

        return make

    return decorate


def _asset_context(context: dg.AssetExecutionContext) -> AssetContext:
    resources = context.resources
    dataset = resources.catalogue.dataset(context.partition_key)
    resources.data_root.pull(dataset.name)
    asset = context.asset_key.path[-1]
    return AssetContext(asset, dataset, resources.data_root, context.run.run_id, compute=resources.compute)


def _upstream_of(context: dg.AssetExecutionContext) -> list[str]:
    return [key.path[-1] for key in context.assets_def.asset_deps[context.asset_key]]


def read_signature(function: Callable[..., Any]) -> tuple[type[AssetSettings], dict[str, Any]]:
    """The settings of an asset function, and the type in which it takes each upstream asset that it names."""
    _, config, *upstream = inspect.signature(function).parameters.values()
    named = {one.name: one.annotation for one in upstream if one.kind is not inspect.Parameter.VAR_KEYWORD}
    return config.annotation, named
