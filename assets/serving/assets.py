"""current, splits → recommendations; current, item_index, embeddings → new_item_scores."""

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from assets.dataset import dataset_asset
from assets.interactions.core import user_ids_of
from assets.interactions.splits import TRAIN, Parts
from assets.settings import RecommendationSettings
from assets.stage import Stage
from models.zoo import BEST_MODEL, PLACING_MODEL
from storage.arrays import NearestItems
from storage.io_managers import Made
from storage.releases import Promoted, show_recommendations
from storage.schemas import SCHEMAS
from storage.tables import Embeddings


@dataset_asset(
    group="serving",
    kinds={"pytorch", "parquet"},
    code_version="4",
    io_manager="versions",
    reuse=True,
    core_alone=True,
)
def recommendations(
    stage: Stage,
    config: RecommendationSettings,
    splits: pa.Table,
    interactions: pa.Table,
    item_index: pa.Table,
    interaction_graph: sp.csr_matrix,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    item_graph: NearestItems,
    current: Promoted,
) -> Made:
    """The best items for every user by the best gated LightGCN, without those that the user has in train.

    The loss is the one that was best on validation. Users of whom train knows nothing are recommended what is popular.
    With `explain`, each row says what the items of the history, the pictures and the texts add to its score.
    """
    from assets.serving.on_ray import batches_on_cluster
    from assets.serving.recommend import Recommending, explainer_of
    from assets.training.fit import train_set
    from assets.training.scorers import scorer_of
    from models.ranking import matrix_of

    made_of = (interaction_graph, image_embeddings, text_embeddings, item_graph) if config.explain else ()
    parts, data = train_set(splits, *made_of)
    model = current.models(BEST_MODEL).best()[0]
    seen = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)
    recommending = Recommending(
        seen,
        scorer_of(model, seen),
        scorer_of(current.models("popularity").main, seen),
        user_ids_of(interactions),
        item_index["item_id"].combine_chunks(),
        config.top_k,
        explainer_of(model, data) if config.explain else None,
    )
    batches = batches_on_cluster(stage, recommending) if stage.compute.on_ray else recommending.batches()
    rows = pa.RecordBatchReader.from_batches(SCHEMAS["recommendations"], batches)
    known = int((np.diff(seen.indptr) > 0).sum())
    facts = {"model": BEST_MODEL, "loss": model.config["loss"], "score": model.config["score"]}
    facts |= {"users_by_the_model": known, "users_by_popularity": parts.users - known}
    about = {"release": current.release.version}  # its own version, though another release recommend the same
    return Made(rows, facts, about, published=lambda: show_recommendations(stage.root, stage.dataset.name))


@dataset_asset(
    group="serving",
    kinds={"pytorch", "parquet"},
    code_version="1",
    reuse=True,
)
def new_item_scores(
    stage: Stage,
    config: RecommendationSettings,
    splits: pa.Table,
    interactions: pa.Table,
    item_index: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    current: Promoted,
) -> Made:
    """The best of the items outside of the core for every user with train items: new ones, placed by their content.

    The model is the gated LightGCN whose items have no vector of their own, so that a picture and a text are all that
    it takes. Items are only there if the setting `items` is `all`.
    """
    from assets.serving.recommend import new_item_batches, placed_new_items

    parts = Parts.of(splits)
    model = current.models(PLACING_MODEL).best()[0]
    new, scorer = placed_new_items(model, item_index, image_embeddings, text_embeddings)
    users = np.unique(parts.pairs(TRAIN)[0]).astype(np.int64)
    ids = user_ids_of(interactions), item_index["item_id"].combine_chunks().take(pa.array(new))
    rows = pa.RecordBatchReader.from_batches(
        SCHEMAS["new_item_scores"], new_item_batches(scorer, users, parts.users, ids, config.top_k)
    )
    facts = {"model": PLACING_MODEL, "loss": model.config["loss"], "score": model.config["score"]}
    return Made(rows, facts | {"new_items": len(new)})
