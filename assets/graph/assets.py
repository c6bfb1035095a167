"""splits → interaction_graph."""

import pyarrow as pa

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import dataset_asset
from assets.core.asset_result import AssetResult
from assets.core.settings import AssetSettings
from assets.interactions.splits import TRAIN, Parts


@dataset_asset(group="graph", kinds={"scipy"}, code_version="1", io_manager="arrays", core_alone=True)
def interaction_graph(context: AssetContext, config: AssetSettings, splits: pa.Table) -> AssetResult:
    """The symmetric normalised user-item adjacency of the train split alone, that LightGCN propagates over."""
    from models.recommenders.propagation import normalised_adjacency

    parts = Parts.of(splits)
    user, item = parts.pairs(TRAIN)
    graph = normalised_adjacency(user, item, parts.users, parts.items)
    return AssetResult(graph, {"users": parts.users, "items": parts.items, "train_edges": len(user)})
