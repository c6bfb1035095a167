"""What all assets share: datasets as partitions, the settings in force, and the one decorator that applies both."""

import functools
import hashlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pydantic

from assets.settings import ALL_SETTINGS, StageSettings, TunedSettings
from models.errors import ModelError
from storage.catalogue import Dataset, first_mistake, load_catalogue
from storage.errors import InputError
from storage.io_managers import Made, Product, as_failure, manifest_metadata, shown_facts
from storage.layout import DataRoot, Manifest, Recipe
from storage.progress import Progress

DATASETS = dg.StaticPartitionsDefinition(load_catalogue().names)

# Settings that change how an artefact is made, but not what it is.
IMMATERIAL = {"force", "device", "image_batch", "image_workers", "text_batch"}

AssetFunction = TypeVar("AssetFunction", bound=Callable[..., Any])
Settings = TypeVar("Settings", bound=StageSettings)


@dataclass(frozen=True)
class Stage:
    """One asset of one dataset being made: what an asset function needs besides its settings and inputs.

    `run` is the id of the run that makes it.
    """

    asset: str
    dataset: Dataset
    root: DataRoot
    run: str
    recipe: Recipe | None = None

    @property
    def fingerprint(self) -> str:
        """A short hash of everything that the asset is made of: the name of what is kept of work under way."""
        assert self.recipe is not None
        return hashlib.sha256(self.recipe.model_dump_json().encode()).hexdigest()[:12]

    def progress(self, total: int | None, unit: str) -> Progress:
        return Progress(f"{self.asset} {self.dataset.name}", total, unit)

    def manifest(self, asset: str) -> Manifest:
        """The manifest of another asset of the same dataset."""
        return self.root.manifest(asset, self.dataset.name)


def dataset_asset(
    *,
    group: str,
    kinds: set[str],
    code_version: str,
    io_manager: str = "tables",
    reuse: bool = False,
    outside: Callable[[Any], dict[str, str]] | None = None,
    starts_numbering: bool = False,
    deps: Sequence[str] = (),
    name: str | None = None,
    description: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    parts_read: Mapping[str, Callable[[Any, str], str]] | None = None,
    beside: Callable[[Stage], dict[str, Any]] | None = None,
) -> Callable[[AssetFunction], dg.AssetsDefinition]:
    """Make an asset of every dataset from a function `(stage, config, **inputs) -> value | Made`.

    Args:
        reuse: use what is there again when inputs, settings and code version are what it was made of.
        outside: from the settings, versions of what the function reads besides its inputs, such as weights.
        starts_numbering: whether the integer ids of this table count from itself, so that what is built on it must
            be of one mind about its data version.
        deps: upstream assets that the function reads by itself.
        name, description: of the asset; the function's own by default.
        inputs: upstream assets and the types to load them as, where the function takes them as `**inputs`.
        parts_read: of upstream assets of which the function reads a part alone, the version of that part, from the
            loaded value and the name of this asset.
        beside: metadata that are shown with the asset and not kept with it, because they change while it does not.
    """

    def decorate(function: AssetFunction) -> dg.AssetsDefinition:
        @functools.wraps(function)
        def make(context: dg.AssetExecutionContext, config: StageSettings, **loaded: Any) -> Any:
            started = time.perf_counter()
            with as_failure(context.partition_key, InputError, ModelError):
                stage = _stage(context)
                in_force, origins = settings_in_force(type(config), stage.dataset, _given_in_run(context))
                context.add_asset_metadata({"settings": settings_table(in_force, origins)})
                if beside:
                    context.add_asset_metadata(shown_facts(beside(stage)))
                upstream = [
                    stage.manifest(key.path[-1]) for key in sorted(context.assets_def.asset_deps[context.asset_key])
                ]
                read = {asset: version(loaded[asset], stage.asset) for asset, version in (parts_read or {}).items()}
                recipe = _recipe(code_version, in_force, outside(in_force) if outside else {}, upstream, read)
                numbering = common_numbering(upstream)
                last = stage.root.find_sound(stage.asset, stage.dataset.name) if reuse else None
                if last and last.recipe == recipe and not in_force.force:
                    return _used_again(context, stage, last, numbering)
                value = function(replace(stage, recipe=recipe), in_force, **loaded)
            made = value if isinstance(value, Made) else Made(value)
            return Product(made, context, stage.dataset.name, recipe, numbering, starts_numbering, started)

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
            required_resource_keys={"catalogue", "data_root"},
            deps=list(deps),
        )(make)

    return decorate


def _stage(context: dg.AssetExecutionContext) -> Stage:
    dataset = context.resources.catalogue.dataset(context.partition_key)
    context.resources.data_root.pull(dataset.name)
    return Stage(context.asset_key.path[-1], dataset, context.resources.data_root, context.run.run_id)


def _recipe(
    code_version: str,
    settings: StageSettings,
    outside: Mapping[str, str],
    upstream: Sequence[Manifest],
    parts_read: Mapping[str, str],
) -> Recipe:
    """What an asset is made of; of an upstream asset in `parts_read`, the version of the part counts alone."""
    tuned = isinstance(settings, TunedSettings)
    return Recipe(
        fixed=sorted(settings.model_fields_set - IMMATERIAL) if tuned else [],
        code_version=code_version,
        settings=settings.model_dump(exclude=IMMATERIAL) | dict(outside),
        inputs={manifest.asset: manifest.data_version for manifest in upstream} | dict(parts_read),
    )


def _used_again(
    context: dg.AssetExecutionContext, stage: Stage, last: Manifest, numbering: dict[str, str]
) -> dg.MaterializeResult:
    context.log.info(f"{stage.asset} {stage.dataset.name}: nothing has changed, used again")
    # Its inputs are what they were, number by number: so it is right for any generation that they are right for.
    if last.numbering != numbering:
        last = last.model_copy(update={"numbering": numbering})
        stage.root.write_manifest(last)
    return dg.MaterializeResult(
        metadata={**manifest_metadata(stage.root, last), "reused": True},
        data_version=dg.DataVersion(last.data_version),
    )


def code_reference(function: Callable[..., Any]) -> dg.CodeReferencesMetadataValue:
    """Where a function is written; Dagster itself would name the file of the decorator that wraps it."""
    written = function.__code__
    path = str(Path(written.co_filename).resolve())
    here = dg.LocalFileCodeReference(file_path=path, line_number=written.co_firstlineno)
    return dg.CodeReferencesMetadataValue(code_references=[here])


def dataset_check(asset: str, description: str) -> Callable[[AssetFunction], dg.AssetChecksDefinition]:
    """Make a check of an asset, for every dataset by itself, from a function of the asset and other inputs."""

    def decorate(function: AssetFunction) -> dg.AssetChecksDefinition:
        others = [name for name in inspect.signature(function).parameters if name not in (asset, "context")]
        return dg.asset_check(
            asset=asset,
            description=description,
            partitions_def=DATASETS,
            additional_ins={name: dg.AssetIn(name) for name in others},
            required_resource_keys={"data_root"},
        )(function)

    return decorate


def settings_in_force(kind: type[Settings], dataset: Dataset, given: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """The settings of one asset of one dataset, and where each came from: class default < catalogue < run config.

    Raises:
        InputError: the catalogue names a setting that no asset has (`force` belongs to a run alone), or gives a value
            that does not fit.
    """
    known = {name for settings in ALL_SETTINGS for name in settings.model_fields} - {"force"}
    for name in dataset.settings:
        if name not in known:
            raise InputError(f"the catalogue's settings have {name!r}, which no asset has")
    from_catalogue = {name: value for name, value in dataset.settings.items() if name in kind.model_fields}
    try:
        settings = kind.model_validate({**from_catalogue, **given})
    except pydantic.ValidationError as error:
        raise InputError(f"the setting {first_mistake(error)}") from None
    origins = {
        name: "run config" if name in given else "catalogue" if name in from_catalogue else "default"
        for name in kind.model_fields
    }
    return settings, origins


def settings_table(settings: StageSettings, origins: dict[str, str]) -> dg.TableMetadataValue:
    """The settings in force as a person reads them in the UI."""
    rows = [
        dg.TableRecord({"setting": name, "value": str(value), "from": origins[name]})
        for name, value in sorted(settings.model_dump().items())
    ]
    return dg.MetadataValue.table(rows)


def _given_in_run(context: dg.AssetExecutionContext) -> dict[str, Any]:
    """What the run's config says of this asset, without the defaults that Dagster adds."""
    run_config: Any = context.run.run_config
    return run_config.get("ops", {}).get(context.op_execution_context.op_handle.name, {}).get("config", {})


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
