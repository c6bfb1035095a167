"""Everything that other programs can use → exports: each a folder that appears whole or not at all."""

from typing import Any

import numpy as np
import pyarrow as pa

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import dataset_asset
from assets.core.asset_result import AssetResult
from assets.core.settings import AssetSettings
from assets.interactions.build_core import user_ids_of
from assets.interactions.splits import TRAIN, Parts
from storage.artifacts.releases import SERVED_MODEL, Promoted
from storage.artifacts.tables import Embeddings

EXPORT: dict[str, Any] = {
    "group": "exports",
    "code_version": "2",
    "io_manager": "files",
    "reuse": True,
    "core_alone": True,
}


@dataset_asset(**EXPORT, kinds={"csv", "numpy"})
def mmrec_export(
    context: AssetContext,
    config: AssetSettings,
    interactions: pa.Table,
    item_index: pa.Table,
    splits: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
) -> AssetResult:
    """The dataset as a folder of the MMRec toolbox: interactions with their split, features, and maps of the ids."""
    from assets.exports.mmrec import IMAGE, TEXT, write_mmrec

    user_ids, item_ids = user_ids_of(interactions), core_ids(item_index)
    views = {IMAGE: image_embeddings, TEXT: text_embeddings}
    target = context.root.path(context.asset, context.dataset.name)
    with context.root.publishing(target) as partial:
        partial.mkdir()
        write_mmrec(partial, context.dataset.name, interactions, splits, user_ids, item_ids, views)
    facts = {"interactions": len(interactions), "users": len(user_ids), "items": len(item_ids)}
    with_feature = {name[0]: int(view.has_value[: len(item_ids)].sum()) for name, view in views.items()}
    return AssetResult(target, facts | {"items_with_feature": with_feature})


@dataset_asset(**EXPORT, kinds={"csv"})
def recbole_export(
    context: AssetContext,
    config: AssetSettings,
    interactions: pa.Table,
    item_index: pa.Table,
    splits: pa.Table,
    items: pa.Table,
) -> AssetResult:
    """The dataset as atomic files of RecBole: all interactions, the same by parts of the split, and the items."""
    from assets.exports.recbole import write_recbole

    item_ids = core_ids(item_index)
    target = context.root.path(context.asset, context.dataset.name)
    with context.root.publishing(target) as partial:
        partial.mkdir()
        write_recbole(partial, context.dataset.name, interactions, splits, item_ids, items)
    return AssetResult(target, {"interactions": len(interactions), "items": len(item_ids)})


@dataset_asset(**EXPORT, kinds={"parquet", "usearch"})
def vectors_export(
    context: AssetContext,
    config: AssetSettings,
    interactions: pa.Table,
    item_index: pa.Table,
    splits: pa.Table,
    current: Promoted,
) -> AssetResult:
    """What the served model knows of every user and item, as Parquet, with an index of the items to search.

    A model of items by items has no vectors: then there is a note in their place that says so.
    """
    from assets.exports.vectors import Side, write_vectors

    model, parts = current.models(SERVED_MODEL).main, Parts.of(splits)
    about = {name: str(model.config[name]) for name in ("model", "loss", "seed")}
    about["model_version"] = current.release.models[SERVED_MODEL].data_version
    target = context.root.path(context.asset, context.dataset.name)
    if "user_vectors" not in model.tensors:
        reason = f"{about['model']} is served, which has no vectors; 'serve' names another model"
        with context.root.publishing(target) as partial:
            partial.mkdir()
            (partial / "README.txt").write_text(f"Nothing was exported: {reason}.\n")
        return AssetResult(target, about | {"skipped": reason})
    user, item = parts.pairs(TRAIN)
    seen_users, seen_items = np.bincount(user, minlength=parts.users) > 0, np.bincount(item, minlength=parts.items) > 0
    users = Side("user", user_ids_of(interactions), model.tensors["user_vectors"], seen_users)
    items = Side("item", core_ids(item_index), model.tensors["item_vectors"], seen_items)
    with context.root.publishing(target) as partial:
        partial.mkdir()
        write_vectors(partial, users, items, model.config["score"], about)
    facts = {"users": parts.users, "items": parts.items, "dimension": items.vectors.shape[1]}
    return AssetResult(target, about | {"score": model.config["score"]} | facts)


def core_ids(item_index: pa.Table) -> pa.Array:
    """The ids of the items that interactions and models number; those with metadata alone come after them."""
    return item_index.filter(item_index["in_core"])["item_id"].combine_chunks()
