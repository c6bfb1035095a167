"""The decorator of every asset: datasets as partitions, effective settings, reuse of what has not changed."""

import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import dagster as dg

from assets.core.asset_context import AssetContext
from assets.core.asset_result import AssetResult, Product
from assets.core.blocking_checks import blocking_checks
from assets.core.code_reference import refer_to_code
from assets.core.effective_settings import read_run_config, resolve_settings, settings_table
from assets.core.failures import as_failure
from assets.core.retry import retry_temporary_failures
from assets.core.reuse import find_basis, reuse_artefact
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
        @functools.wraps(function)
        def make(context: dg.AssetExecutionContext, config: AssetSettings, **loaded: Any) -> Any:
            started = time.perf_counter()
            with retry_temporary_failures(context), as_failure(context.partition_key, InputError, ModelError):
                asset_context = _asset_context(context)
                effective, origins = resolve_settings(type(config), asset_context.dataset, read_run_config(context))
                context.add_asset_metadata({"settings": settings_table(effective, origins)})
                if beside:
                    context.add_asset_metadata(shown_facts(beside(asset_context)))
                parts = {
                    asset: version(loaded[asset], asset_context.asset) for asset, version in (parts_read or {}).items()
                }
                more = outside(effective) if outside else {}
                basis = find_basis(context, asset_context, code_version, effective, more, parts, core_alone)
                # A variant makes what its settings change, and no more.
                reusable = reuse or (bool(asset_context.root.variant) and not reads_more)
                last = (
                    asset_context.root.find_sound(asset_context.asset, asset_context.dataset.name) if reusable else None
                )
                if last and last.recipe == basis.recipe and not effective.force:
                    return reuse_artefact(context, asset_context, last, basis)
                value = function(replace(asset_context, recipe=basis.recipe), effective, **loaded)
            made = value if isinstance(value, AssetResult) else AssetResult(value)
            return Product(
                made,
                context,
                asset_context.dataset.name,
                basis,
                starts_numbering,
                blocking_checks(asset_context.asset),
                started,
            )

        make.__signature__ = _dagster_signature(function, inputs or {})  # type: ignore[attr-defined]
        return dg.asset(
            name=name or function.__name__,
            description=description or inspect.getdoc(function),
            metadata={"dagster/code_references": refer_to_code(function)},
            partitions_def=DATASETS,
            group_name=group,
            kinds=kinds,
            code_version=code_version,
            io_manager_key=io_manager,
            pool=pool,
            required_resource_keys={"catalogue", "data_root", "run_lock", "compute"},
            deps=list(deps),
        )(make)

    return decorate


def _asset_context(context: dg.AssetExecutionContext) -> AssetContext:
    resources = context.resources
    dataset = resources.catalogue.dataset(context.partition_key)
    resources.data_root.pull(dataset.name)
    asset = context.asset_key.path[-1]
    return AssetContext(asset, dataset, resources.data_root, context.run.run_id, compute=resources.compute)


def _dagster_signature(function: Callable[..., Any], inputs: Mapping[str, Any]) -> inspect.Signature:
    """The function's signature with Dagster's context as the first parameter, and no type of the output."""
    _, config, *own = inspect.signature(function).parameters.values()
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=dg.AssetExecutionContext)
    named = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    many = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
        for name, kind in inputs.items()
    ]
    return inspect.Signature([context, config, *named, *many])
