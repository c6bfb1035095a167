"""The decorator of checks: each looks at one dataset by itself; what a blocking one finds stays with the artefact."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import dagster as dg

from assets.core.asset_decorator import DATASETS, AssetFunction
from assets.core.blocking_checks import blocking_checks
from assets.core.dagster_warnings import no_preview_warnings
from assets.core.failures import as_failure
from storage.artifacts.data_root import DataRoot
from storage.artifacts.previous_version import find_previous, record_verdict
from storage.errors import InputError

RESTORABLE = "generation_before"  # in the metadata of a check that stops a run: there is a table to go back to


def dataset_check(
    asset: str,
    description: str,
    *,
    blocking: bool = True,
    when_passed: Callable[[DataRoot, str], object] = lambda root, dataset: None,
) -> Callable[[AssetFunction], dg.AssetChecksDefinition]:
    """Make a check of an asset, for every dataset by itself, from a function of the context, the asset and others.

    Args:
        blocking: nothing is built on what does not pass, in this run or another, unless the verdict is a mere warning;
            else it only warns.
        when_passed: called with the data root and the dataset when nothing stops the asset any more.
    """

    def decorate(function: AssetFunction) -> dg.AssetChecksDefinition:
        name, parameters = function.__name__, inspect.signature(function).parameters
        inputs = [parameter for key, parameter in parameters.items() if key != "context"]
        others = {parameter.name: dg.AssetIn(parameter.name) for parameter in inputs if parameter.name != asset}
        if blocking != (name in blocking_checks(asset)):
            raise ValueError(f"assets.core.blocking_checks says otherwise of {name}, a check of {asset}")

        @functools.wraps(function)
        def check(context: dg.AssetCheckExecutionContext, **loaded: Any) -> dg.AssetCheckResult:
            root, dataset = context.resources.data_root, context.partition_key
            with as_failure(dataset, InputError):
                looked_at = root.manifest(asset, dataset)
                result = function(context, **loaded) if "context" in parameters else function(**loaded)
                if blocking:
                    stops = not result.passed and result.severity == dg.AssetCheckSeverity.ERROR
                    if record_verdict(root, looked_at, name, not stops, blocking_checks(asset)):
                        when_passed(root, dataset)
                    if stops and find_previous(root, asset, dataset):
                        result = result._replace(metadata={**(result.metadata or {}), RESTORABLE: True})
                return result

        any_order = inspect.Parameter.POSITIONAL_OR_KEYWORD
        own = inspect.Parameter("context", any_order, annotation=dg.AssetCheckExecutionContext)
        check.__signature__ = inspect.Signature([own, *inputs])  # type: ignore[attr-defined]
        with no_preview_warnings():
            return dg.asset_check(
                asset=asset,
                description=description,
                blocking=blocking,
                partitions_def=DATASETS,
                additional_ins=others,
                required_resource_keys={"catalogue", "data_root", "run_lock"},
            )(check)

    return decorate
