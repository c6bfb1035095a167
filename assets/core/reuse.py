"""What an asset is made of, and the artefact that is used again because it was made of just this."""

from collections.abc import Mapping

import dagster as dg

from assets.core.asset_context import AssetContext, common_numbering, refuse_failed
from assets.core.asset_result import Basis
from assets.core.settings import AssetSettings, TunedSettings
from assets.core.ui_metadata import manifest_metadata, shown_version
from storage.artifacts.data_root import Manifest, Recipe

# Settings that make nothing again: they say how an asset is made, and where a search or a training begins.
IMMATERIAL = {"force", "promote", "retune", "warm_start", "device", "processes", "image_batch", "image_workers"}
IMMATERIAL |= {"text_batch"}

WHOLE, CORE = "item_index", "the core"  # of the items: what integer ids may count by


def find_basis(
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


def reuse_artefact(
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
