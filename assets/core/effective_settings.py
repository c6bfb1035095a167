"""The effective settings of one asset of one dataset: class default < catalogue < run config."""

from collections.abc import Mapping
from typing import Any, TypeVar

import dagster as dg
import pydantic

from assets.core.settings import (
    ALL_SETTINGS,
    BEST,
    NEVER_EXPLAIN,
    AskedSettings,
    AssetSettings,
    IndexSettings,
    RecommendationSettings,
    ServingSettings,
)
from storage.catalogue import Dataset, closest_to, first_mistake
from storage.errors import InputError

OF_A_RUN = {"force", "promote"}  # settings that no catalogue has
# Settings that there were, and what to do in their place.
REMOVED = {"tuning_seconds": "a search is bounded by its epochs; take it out, and lower tuning_trials to search less"}

Settings = TypeVar("Settings", bound=AssetSettings)


def resolve_settings(kind: type[Settings], dataset: Dataset, given: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """The settings of one asset of one dataset, and where each came from: class default < catalogue < run config.

    Raises:
        InputError: the catalogue names a setting that no asset has (`force` and `promote` belong to a run alone), or
            gives a value that does not fit.
    """
    known = {name for settings in ALL_SETTINGS for name in settings.model_fields} - OF_A_RUN
    for name in dataset.settings:
        if name in OF_A_RUN:
            raise InputError(f"the catalogue's settings have {name!r}, which belongs to the config of one run")
        if name in REMOVED:
            raise InputError(f"the catalogue's settings have {name!r}, which is no setting any more: {REMOVED[name]}")
        if name not in known:
            raise InputError(f"the catalogue's settings have {name!r}, which no asset has{closest_to(name, known)}")
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


def require_valid(asset: str, given: Mapping[str, Any]) -> None:
    """Raise InputError where a run's config gives a setting that no asset has, or a value that it cannot have."""
    for name, value in given.items():
        kinds = [kind for kind in ALL_SETTINGS if name in kind.model_fields]
        if not kinds:
            known = {known for kind in ALL_SETTINGS for known in kind.model_fields}
            raise InputError(f"the config of {asset} has {name!r}, which no asset has{closest_to(name, known)}")
        try:
            kinds[0].model_validate({name: value})
        except pydantic.ValidationError as error:
            raise InputError(f"in the config of {asset}, the setting {first_mistake(error)}") from None


def require_possible(dataset: Dataset) -> None:
    """Raise InputError where settings of a dataset contradict each other, before anything is made with them."""
    index, _ = resolve_settings(IndexSettings, dataset, {})
    serving, _ = resolve_settings(ServingSettings, dataset, {})
    lists, _ = resolve_settings(RecommendationSettings, dataset, {})
    if lists.new_items == "mixed" and index.items == "core":
        raise InputError("new_items is 'mixed', and items is 'core', so that no item is new; set items to 'all'")
    asked, _ = resolve_settings(AskedSettings, dataset, {})
    if serving.serve != BEST and not asked.asks_for(serving.serve):
        raise InputError(f"serve names {serving.serve}, which models does not ask for; add it there")
    if serving.explain and serving.serve in NEVER_EXPLAIN:
        raise InputError(f"explain asks for reasons, and serve names {serving.serve}, which cannot give any")


def settings_table(settings: AssetSettings, origins: dict[str, str]) -> dg.TableMetadataValue:
    """The effective settings as a person reads them in the UI."""
    rows = [
        dg.TableRecord({"setting": name, "value": str(value), "from": origins[name]})
        for name, value in sorted(settings.model_dump().items())
    ]
    return dg.MetadataValue.table(rows)


def read_run_config(context: dg.AssetExecutionContext) -> dict[str, Any]:
    """What the run's config says of this asset, without the defaults that Dagster adds."""
    run_config: Any = context.run.run_config
    return run_config.get("ops", {}).get(context.op_execution_context.op_handle.name, {}).get("config", {})
