"""When an asset is made by itself: once what it is made of has changed and settled. Defined once, for all assets."""

from collections.abc import Iterable
from typing import Any

import dagster as dg
from dagster import AutomationCondition

from assets.core.dagster_warnings import no_preview_warnings
from pipeline.tags import VARIANT
from storage.catalogue import load_catalogue


class UpstreamUnsettled(AutomationCondition):
    """Datasets of which anything upstream, however far, is requested at this moment or being made.

    The same as `any_deps_match` nested to the depth of the lineage, which asks along every path: of those there are
    thousands here, and one evaluation of all assets took 40 s of a processor, where this takes one.
    """

    @property
    def name(self) -> str:
        return "upstream_unsettled"

    async def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:  # type: ignore[override]
        view, unsettled = context.asset_graph_view, set[str]()
        if context.candidate_subset.is_empty:
            return _where(context, unsettled)
        for key in context.asset_graph.upstream_key_iterator(context.key):
            making = await view.compute_run_in_progress_subset(key=key, from_subset=view.get_full_subset(key=key))
            requested = context.request_subsets_by_key.get(key)
            for subset in filter(None, (making, requested)):
                unsettled |= subset.expensively_compute_partition_keys()
        return _where(context, unsettled)


class Enabled(AutomationCondition):
    """Datasets that the catalogue says to follow, as it stands at this moment."""

    @property
    def name(self) -> str:
        return "enabled"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        return _where(context, () if context.candidate_subset.is_empty else load_catalogue().enabled)


def _where(context: dg.AutomationContext, names: Iterable[str]) -> dg.AutomationResult:
    """The candidates among these datasets."""
    assert context.partitions_def is not None  # every asset has the datasets as its partitions
    found = context.candidate_subset.expensively_compute_partition_keys() & set(names)
    subset = context.asset_graph_view.get_subset_from_partition_keys(context.key, context.partitions_def, found)
    return dg.AutomationResult(context, subset)


# A variant is not what is published: that its assets were made says nothing of those.
made_for_good = AutomationCondition.newly_updated() & ~AutomationCondition.all_new_updates_have_run_tags(
    tag_keys={VARIANT}
)
handled = AutomationCondition.newly_requested() | made_for_good | AutomationCondition.initial_evaluation()

follow_changes = (
    AutomationCondition.any_deps_match(AutomationCondition.data_version_changed()).since(handled)
    & ~AutomationCondition.any_deps_missing()
    & ~UpstreamUnsettled()
    & AutomationCondition.all_deps_blocking_checks_passed()
    & Enabled()
).with_label("inputs changed and checks passed")


def add_automation(assets: Iterable[Any]) -> list[Any]:
    """The assets, those that are made of others with the one condition."""

    def follow(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(automation_condition=follow_changes) if list(spec.deps) else spec

    return list(dg.map_asset_specs(follow, list(assets)))


with no_preview_warnings():
    automation = dg.AutomationConditionSensorDefinition(
        "follow_changes",
        target=dg.AssetSelection.all(),
        use_user_code_server=True,
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=30,
        description="Requests every asset whose inputs have changed, once a dump, for enabled datasets.",
    )
