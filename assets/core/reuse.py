"""What an asset is made of, and the artefact that is used again because it was made of just this."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from assets.core.asset_context import AssetContext, common_numbering, refuse_failed
from assets.core.settings import AssetSettings, TunedSettings
from assets.core.ui_metadata import manifest_metadata, shown_version
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Origin, Recipe

# Settings that make nothing again: they say how an asset is made, and where a search or a training begins.
IMMATERIAL = {"force", "promote", "retune", "warm_start", "device", "processes", "image_batch", "image_workers"}
IMMATERIAL |= {"text_batch", "trainings_at_once", "models"}

WHOLE, CORE = "item_index", "the core"  # of the items: what integer ids may count by


@dataclass(frozen=True)
class ReuseRules:
    """What, besides its inputs and settings, decides whether an asset is made again; see `dataset_asset`."""

    code_version: str
    reuse: bool = False
    reads_more: bool = False
    core_alone: bool = False
    outside: Callable[[Any], dict[str, str]] | None = None
    parts_read: Mapping[str, Callable[[Any, str], str]] = field(default_factory=dict)


def find_origin(
    context: AssetContext,
    upstream_assets: Sequence[str],
    settings: AssetSettings,
    rules: ReuseRules,
    loaded: Mapping[str, Any],
) -> Origin:
    """What an asset is made of; of an upstream asset in `rules.parts_read`, the version of the part counts alone.

    Raises:
        InputError: an input is not there, has not passed its checks, or is of another generation than the others.
    """
    upstream = [context.manifest(asset) for asset in sorted(upstream_assets)]
    refuse_failed(context.root, upstream)
    read = {manifest.asset: manifest.data_version for manifest in upstream}
    parts = {asset: version(loaded[asset], context.asset) for asset, version in rules.parts_read.items()}
    numbering = common_numbering(upstream)
    if rules.core_alone:
        numbering.pop(WHOLE, None)
    tuned = isinstance(settings, TunedSettings)
    recipe = Recipe(
        fixed=sorted(settings.model_fields_set - IMMATERIAL) if tuned else [],
        code_version=rules.code_version,
        settings=settings.model_dump(exclude=IMMATERIAL) | (rules.outside(settings) if rules.outside else {}),
        inputs=read | parts,
    )
    return Origin(
        asset=context.asset,
        dataset=context.dataset.name,
        recipe=recipe,
        numbering=numbering,
        run=context.run,
        read=read,
        variant=context.root.variant,
    )


def find_unchanged(root: DataRoot, rules: ReuseRules, origin: Origin) -> Manifest | None:
    """The artefact that is there, if it was made of the same and may be used again."""
    # A variant makes what its settings change, and no more.
    if not rules.reuse and (rules.reads_more or not root.variant):
        return None
    last = root.find_sound(origin.asset, origin.dataset)
    return last if last and last.recipe == origin.recipe else None


def reuse_artefact(
    context: dg.AssetExecutionContext, root: DataRoot, last: Manifest, origin: Origin
) -> dg.MaterializeResult:
    context.log.info(f"{origin.asset} {origin.dataset}: nothing has changed, used again")
    # Its inputs are what they were, number by number: so it is right for any generation that they are right for.
    now = last.model_copy(update={"numbering": origin.numbering, "read": origin.read})
    if now != last:
        root.write_manifest(now)
    return dg.MaterializeResult(
        metadata={**manifest_metadata(root, now), "reused": True}, data_version=shown_version(root, now)
    )
