"""models → leaderboard, recommendations → report."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset import Stage, dataset_asset
from assets.features.pictures import pictures_of
from assets.interactions.splits import TEST, TRAIN, Parts
from assets.settings import EvaluationSettings, RecommendationSettings, ReportSettings
from storage.io_managers import Made
from storage.models import SavedModel
from storage.publish import publish_bytes
from storage.schemas import SCHEMAS
from storage.tables import facts_of


@dataset_asset(group="evaluation", kinds={"pytorch", "parquet"}, code_version="1")
def leaderboard(
    stage: Stage,
    config: EvaluationSettings,
    splits: pa.Table,
    gated_lightgcn: SavedModel,
    lightgcn: SavedModel,
    bpr_mf: SavedModel,
    popularity: SavedModel,
) -> Made:
    """Every model on the test split: full ranking over all items, five metrics at four cutoffs, with intervals."""
    from assets.evaluation.judge import judge

    parts = Parts.of(splits)
    made = stage.manifest("splits")
    common = {
        "dataset": stage.dataset.name,
        "dataset_version": made.data_version,
        "split_rule": made.recipe.settings["split"],
        "block": "controlled",
        "p_holm": None,
        "trials": 0,
        "tune_s": 0.0,
        "status": "ok",
    }
    rows = []
    for model in (gated_lightgcn, lightgcn, bpr_mf, popularity):
        train_s = stage.manifest(model.config["model"]).seconds
        judged = judge(model, parts, config.mask_validation, config.evaluation_seed)
        rows += [common | row | {"train_s": train_s} for row in judged]
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["leaderboard"])
    headline = {
        f"recall@20/{row['model']}": row["value"]
        for row in rows
        if (row["metric"], row["k"], row["stratum"]) == ("recall", 20, "all")
    }
    unseen = ~np.isin(parts.pairs(TEST)[1], parts.pairs(TRAIN)[1])
    return Made(table, {**headline, "test_interactions_with_items_unseen_in_train": float(unseen.mean())})


@dataset_asset(group="evaluation", kinds={"pytorch", "parquet"}, code_version="1")
def recommendations(
    stage: Stage,
    config: RecommendationSettings,
    splits: pa.Table,
    interactions: pa.Table,
    item_index: pa.Table,
    gated_lightgcn: SavedModel,
    popularity: SavedModel,
) -> Made:
    """The best items for every user by the gated LightGCN, without those that the user has in train.

    Users of whom train knows nothing are recommended what is popular.
    """
    parts = Parts.of(splits)
    item_ids = item_index["item_id"].combine_chunks()
    rows = pa.RecordBatchReader.from_batches(
        SCHEMAS["recommendations"],
        recommended(gated_lightgcn, popularity, parts, user_ids_of(interactions), item_ids, config.top_k),
    )
    known = len(np.unique(parts.pairs(TRAIN)[0]))
    return Made(rows, {"users_by_gated_lightgcn": known, "users_by_popularity": parts.users - known})


def user_ids_of(interactions: pa.Table) -> pa.Array:
    """The id of every user number."""
    user = interactions["user"].to_numpy()
    first = np.searchsorted(user, np.arange(int(user.max()) + 1))
    return interactions["user_id"].combine_chunks().take(pa.array(first))


def recommended(
    model: SavedModel, fallback: SavedModel, parts: Parts, user_ids: pa.Array, item_ids: pa.Array, top_k: int
) -> Iterator[pa.RecordBatch]:
    """The rows of `recommendations`, a block of users at a time; `fallback` serves users without train items."""
    from assets.evaluation.judge import scorer_of
    from models.ranking import BLOCK_USERS, matrix_of, rank

    seen = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)
    for start in range(0, parts.users, BLOCK_USERS):
        users = np.arange(start, min(start + BLOCK_USERS, parts.users))
        unknown = np.diff(seen[users].indptr) == 0
        ranking = rank(scorer_of(model), users, seen, top_k)
        popular = rank(scorer_of(fallback), users[unknown], seen, top_k)
        ranking.items[unknown], ranking.scores[unknown] = popular.items, popular.scores
        there = ranking.items >= 0
        places = np.broadcast_to(np.arange(1, ranking.items.shape[1] + 1, dtype=np.int32), there.shape)
        owners = np.broadcast_to(users[:, None], there.shape)
        columns = [
            user_ids.take(pa.array(owners[there])),
            pa.array(places[there]),
            item_ids.take(pa.array(ranking.items[there])),
            pa.array(ranking.scores[there]),
        ]
        yield pa.record_batch(columns, schema=SCHEMAS["recommendations"])


def columns_as_dict(table: pa.Table, key: str, value: str) -> dict:
    """One column of a table by another."""
    return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))


@dataset_asset(
    group="evaluation",
    kinds={"jinja", "html"},
    code_version="1",
    io_manager="files",
    deps=["image_embeddings", "text_embeddings"],
)
def report(
    stage: Stage,
    config: ReportSettings,
    leaderboard: pa.Table,
    recommendations: pa.Table,
    interactions: pa.Table,
    splits: pa.Table,
    items: pa.Table,
    item_index: pa.Table,
    item_images: pa.Table,
    gated_lightgcn: SavedModel,
    lightgcn: SavedModel,
    bpr_mf: SavedModel,
) -> Made:
    """One HTML page that can be sent to anybody: the dataset, the leaderboard, the gate, and what some users get."""
    from assets.evaluation.report import Findings, render

    encoders = {}
    for asset in ("image_embeddings", "text_embeddings"):
        encoders[asset] = facts_of(stage.root.artefact(stage.manifest(asset)))
    first_pictures = item_images.filter(pc.equal(item_images["position"], 0))
    findings = Findings(
        dataset=stage.dataset.name,
        leaderboard=leaderboard.to_pandas(),
        recommendations=recommendations,
        user_ids=user_ids_of(interactions),
        parts=Parts.of(splits),
        titles=columns_as_dict(items, "item_id", "title"),
        picture_keys=columns_as_dict(first_pictures, "item_id", "sha256"),
        picture_status=Counter(first_pictures["status"].to_pylist()),
        item_ids=item_index["item_id"].to_pylist(),
        models={model.config["model"]: model for model in (gated_lightgcn, lightgcn, bpr_mf)},
        encoders=encoders,
        lineage=stage.root.lineage(["recommendations", "leaderboard"], stage.dataset.name),
    )
    target = stage.root.path("report", stage.dataset.name, ".html")
    page = render(findings, pictures_of(stage), config.report_users)
    publish_bytes(target, page.encode())
    return Made(target)
