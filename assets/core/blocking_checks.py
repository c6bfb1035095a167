"""Which checks of an asset are blocking: nothing is built on it, in this run or another, while one of them fails.

Written down here rather than collected from the modules that define the checks, so that a process that imports none of
them still knows what has to have passed. `dataset_check` refuses a blocking check that is missing here.
"""

BLOCKING: dict[str, frozenset[str]] = {
    "reviews": frozenset({"reviews_not_collapsed", "reviews_usable"}),
    "items": frozenset({"items_not_collapsed", "items_unique", "items_usable"}),
    "interactions": frozenset({"core_holds", "interactions_not_collapsed", "interactions_unique"}),
    "image_embeddings": frozenset({"image_embeddings_cover", "image_embeddings_sound"}),
    "text_embeddings": frozenset({"text_embeddings_cover", "text_embeddings_sound"}),
    "item_index": frozenset({"core_described", "item_index_dense"}),
    "splits": frozenset({"splits_complete", "splits_in_time"}),
    "interaction_graph": frozenset({"graph_of_train_alone"}),
    "leaderboard": frozenset({"metrics_in_range"}),
    "recommendations": frozenset({"fit_to_send"}),
}


def blocking_checks(asset: str) -> frozenset[str]:
    """The names of the blocking checks of an asset; empty where it has none."""
    return BLOCKING.get(asset, frozenset())
