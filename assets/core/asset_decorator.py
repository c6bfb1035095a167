"""What all assets share: datasets as partitions, the settings in force, and the one decorator that applies both."""

import functools
import inspect
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from dagster_shared.utils.warnings import BetaWarning

from assets.core.asset_context import AssetContext, common_numbering, refuse_failed
from assets.core.blocking_checks import blocking_checks
from assets.core.effective_settings import given_in_run, resolve_settings, settings_table
from assets.core.io_managers import (
    AssetResult,
    Basis,
    Product,
    as_failure,
    manifest_metadata,
    shown_facts,
    shown_version,
)
from assets.core.settings import AssetSettings, TunedSettings
from models.errors import ModelError
from storage.artifacts.data_root import Manifest, Recipe
from storage.catalogue import load_catalogue
from storage.errors import InputError, OutOfReachError

DATASETS = dg.StaticPartitionsDefinition(load_catalogue().names)

# Settings for whose sake nothing is made again: they say how it is made, and from where a search or a training begins.
IMMATERIAL = {"force", "promote", "retune", "warm_start", "device", "processes", "image_batch", "image_workers"}
IMMATERIAL |= {"text_batch"}

WHOLE, CORE = "item_index", "the core"  # of the items: what integer ids may count by
GPU = "gpu"  # the pool of what a GPU does where there is one
RETRY_AFTER_S = (60, 600)

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
    """Make an asset of every dataset from a function `(stage, config, **inputs) -> value | Made`.

    Args:
        reuse: use what is there again when inputs, settings and code version are what it was made of.
        reads_more: whether it reads what its recipe does not name, such as a pointer: then a variant makes it anew.
        outside: from the settings, versions of what the function reads besides its inputs, such as weights.
        starts_numbering: whether the integer ids of this table count from itself, so that what is built on it must
            be of one mind about its data version.
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
            with retried(context), as_failure(context.partition_key, InputError, ModelError):
                asset_context = _asset_context(context)
                effective, origins = resolve_settings(type(config), asset_context.dataset, given_in_run(context))
                context.add_asset_metadata({"settings": settings_table(effective, origins)})
                if beside:
                    context.add_asset_metadata(shown_facts(beside(asset_context)))
                parts = {
                    asset: version(loaded[asset], asset_context.asset) for asset, version in (parts_read or {}).items()
                }
                more = outside(effective) if outside else {}
                basis = _basis(context, asset_context, code_version, effective, more, parts, core_alone)
                # A variant makes what its settings change, and no more.
                reusable = reuse or (bool(asset_context.root.variant) and not reads_more)
                last = (
                    asset_context.root.find_sound(asset_context.asset, asset_context.dataset.name) if reusable else None
                )
                if last and last.recipe == basis.recipe and not effective.force:
                    return _used_again(context, asset_context, last, basis)
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
            metadata={"dagster/code_references": code_reference(function)},
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


def _basis(
    context: dg.AssetExecutionContext,
    asset_context: AssetContext,
    code_version: str,
    settings: AssetSettings,
    outside: Mapping[str, str],
    parts_read: Mapping[str, str],
    core_alone: bool,
) -> Basis:
    """What an asset is made of; of an upstream asset in `parts_read`, the version of the part counts alone.

    Raises:
        InputError: an input is not there, has not passed its checks, or is of another generation than the others.
    """
    upstream = [
        asset_context.manifest(key.path[-1]) for key in sorted(context.assets_def.asset_deps[context.asset_key])
    ]
    refuse_failed(asset_context.root, upstream)
    read = {manifest.asset: manifest.data_version for manifest in upstream}
    numbering = common_numbering(upstream)
    if core_alone:
        numbering.pop(WHOLE, None)
    tuned = isinstance(settings, TunedSettings)
    recipe = Recipe(
        fixed=sorted(settings.model_fields_set - IMMATERIAL) if tuned else [],
        code_version=code_version,
        settings=settings.model_dump(exclude=IMMATERIAL) | dict(outside),
        inputs=read | dict(parts_read),
    )
    return Basis(recipe, numbering, read)


def _used_again(
    context: dg.AssetExecutionContext, asset_context: AssetContext, last: Manifest, basis: Basis
) -> dg.MaterializeResult:
    context.log.info(f"{asset_context.asset} {asset_context.dataset.name}: nothing has changed, used again")
    # Its inputs are what they were, number by number: so it is right for any generation that they are right for.
    now = last.model_copy(update={"numbering": basis.numbering, "read": basis.read})
    if now != last:
        asset_context.root.write_manifest(now)
    return dg.MaterializeResult(
        metadata={**manifest_metadata(asset_context.root, now), "reused": True},
        data_version=shown_version(asset_context.root, now),
    )


def code_reference(function: Callable[..., Any]) -> dg.CodeReferencesMetadataValue:
    """Where a function is written; Dagster itself would name the file of the decorator that wraps it."""
    written = function.__code__
    path = str(Path(written.co_filename).resolve())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)
        here = dg.LocalFileCodeReference(file_path=path, line_number=written.co_firstlineno)
        return dg.CodeReferencesMetadataValue(code_references=[here])


@contextmanager
def retried(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Let Dagster try a step again in a while where that can help: the network, and a GPU that others fill."""
    try:
        yield
    except Exception as error:
        if not _may_pass(error) or context.retry_number >= len(RETRY_AFTER_S):
            raise
        wait_s = RETRY_AFTER_S[context.retry_number]
        context.log.warning(f"{error}; tried again in {wait_s} s, if the run is not ended before")
        traceback.clear_frames(error.__traceback__)  # they may hold what is on a GPU
        time.sleep(wait_s)  # here, where a signal ends the run at once: while Dagster waits by itself, it hears none
        raise dg.RetryRequested(len(RETRY_AFTER_S), seconds_to_wait=0) from error


def _may_pass(error: BaseException) -> bool:
    """Whether an error may be gone in a while without anybody doing anything."""
    torch = sys.modules.get("torch")  # where it was never imported, no GPU is full
    passing = (OutOfReachError, torch.OutOfMemoryError) if torch else (OutOfReachError,)
    return isinstance(error, passing) or (error.__cause__ is not None and _may_pass(error.__cause__))


def _dagster_signature(function: Callable[..., Any], inputs: Mapping[str, Any]) -> inspect.Signature:
    """The function's signature with Dagster's context in place of the stage, and no promise about the output."""
    _, config, *own = inspect.signature(function).parameters.values()
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=dg.AssetExecutionContext)
    named = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    many = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
        for name, kind in inputs.items()
    ]
    return inspect.Signature([context, config, *named, *many])
