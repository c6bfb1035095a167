"""models → leaderboard, recommendations → report."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa

from assets.dataset import Stage, dataset_asset
from assets.evaluation.costs import Costs, headline
from assets.features.pictures import pictures_of
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from assets.settings import EvaluationSettings, RecommendationSettings, ReportSettings
from assets.training.assets import NAMES
from models.zoo import BEST_MODEL
from storage.io_managers import Made
from storage.models import SavedModel, SavedModels
from storage.publish import publish_bytes
from storage.schemas import SCHEMAS
from storage.tables import Embeddings, facts_of, read_has_value


@dataset_asset(
    group="evaluation",
    kinds={"pytorch", "parquet"},
    code_version="2",
    reuse=True,
    inputs=dict.fromkeys(NAMES, SavedModels),
)
def leaderboard(
    stage: Stage,
    config: EvaluationSettings,
    splits: pa.Table,
    tuning: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    **models: SavedModels,
) -> Made:
    """Every model, loss and seed on the test split: full ranking over all items, metrics with intervals, by strata.

    Block `controlled` has all learned models under the same loss, `open` the best of each and what has no loss.
    """
    from assets.evaluation.board import as_facts, board_rows, compare, standings
    from assets.evaluation.judge import Bench, judge
    from assets.evaluation.strata import item_strata
    from assets.training.held_out import HeldOut
    from assets.training.scorers import scorer_of

    parts = Parts.of(splits)
    test = HeldOut.of(parts, TEST, *([VALIDATION] if config.mask_validation else []))
    popularity = np.bincount(parts.pairs(TRAIN)[1], minlength=parts.items)
    has_picture, has_text = (view.has_value[: parts.items] for view in (image_embeddings, text_embeddings))
    bench = Bench(test, item_strata(popularity, has_picture, has_text), config.evaluation_seed)
    judged = []
    with stage.progress(sum(len(model.fits) for model in models.values()), "fits") as progress:
        for model in models.values():
            for fit in model.fits:
                judged.append(judge(fit, scorer_of(fit, test.train, models), bench))
                progress.advance()
    found = standings(judged, models)
    compared = [one for standing in found for one in compare(standing, config.evaluation_seed)]
    rows = list(board_rows(found, compared, models, config.evaluation_seed))
    common = {
        "dataset": stage.dataset.name,
        "dataset_version": stage.manifest("splits").data_version,
        "split_rule": stage.manifest("splits").recipe.settings["split"],
    }
    costs = Costs.of(tuning, {name: stage.manifest(name).facts for name in models})
    table = pa.Table.from_pylist([common | costs.of_row(row) | row for row in rows], schema=SCHEMAS["leaderboard"])
    unseen = float((popularity[parts.pairs(TEST)[1]] == 0).mean())
    facts = {"test_interactions_with_items_unseen_in_train": unseen, "comparisons": as_facts(compared)}
    return Made(table, headline(rows) | facts)


@dataset_asset(group="evaluation", kinds={"pytorch", "parquet"}, code_version="2", inputs={BEST_MODEL: SavedModels})
def recommendations(
    stage: Stage,
    config: RecommendationSettings,
    splits: pa.Table,
    interactions: pa.Table,
    item_index: pa.Table,
    popularity: SavedModels,
    **best: SavedModels,
) -> Made:
    """The best items for every user by the best gated LightGCN, without those that the user has in train.

    The loss is the one that was best on validation. Users of whom train knows nothing are recommended what is popular.
    """
    parts = Parts.of(splits)
    model = best[BEST_MODEL].best()[0]
    item_ids = item_index["item_id"].combine_chunks()
    rows = pa.RecordBatchReader.from_batches(
        SCHEMAS["recommendations"],
        recommended(model, popularity.main, parts, user_ids_of(interactions), item_ids, config.top_k),
    )
    known = len(np.unique(parts.pairs(TRAIN)[0]))
    facts = {"model": BEST_MODEL, "loss": model.config["loss"], "score": model.config["score"]}
    return Made(rows, facts | {"users_by_the_model": known, "users_by_popularity": parts.users - known})


def user_ids_of(interactions: pa.Table) -> pa.Array:
    """The id of every user number."""
    user = interactions["user"].to_numpy()
    first = np.searchsorted(user, np.arange(int(user.max()) + 1))
    return interactions["user_id"].combine_chunks().take(pa.array(first))


def recommended(
    model: SavedModel, fallback: SavedModel, parts: Parts, user_ids: pa.Array, item_ids: pa.Array, top_k: int
) -> Iterator[pa.RecordBatch]:
    """The rows of `recommendations`, a block of users at a time; `fallback` serves users without train items."""
    from assets.training.scorers import scorer_of
    from models.ranking import BLOCK_USERS, matrix_of, rank

    seen = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)
    scorer, popular_scorer = scorer_of(model, seen), scorer_of(fallback, seen)
    for start in range(0, parts.users, BLOCK_USERS):
        users = np.arange(start, min(start + BLOCK_USERS, parts.users))
        unknown = np.diff(seen[users].indptr) == 0
        ranking = rank(scorer, users, seen, top_k)
        popular = rank(popular_scorer, users[unknown], seen, top_k)
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


@dataset_asset(
    group="evaluation",
    kinds={"jinja", "html"},
    code_version="3",
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
    tuning: pa.Table,
    gated_lightgcn: SavedModels,
    lightgcn: SavedModels,
    bpr_mf: SavedModels,
) -> Made:
    """One HTML page that can be sent to anybody: the dataset, the leaderboard, the gate, and what some users get."""
    from assets.evaluation.report.findings import Findings, item_frame
    from assets.evaluation.report.page import render

    views = {asset: stage.root.artefact(stage.manifest(asset)) for asset in ("image_embeddings", "text_embeddings")}
    has_picture, has_text = map(read_has_value, views.values())
    findings = Findings(
        dataset=stage.dataset.name,
        made_at=datetime.now(UTC),
        leaderboard=leaderboard.to_pandas(),
        tuning=tuning.to_pandas(),
        recommendations=recommendations,
        user_ids=user_ids_of(interactions),
        parts=Parts.of(splits),
        timestamp=interactions["timestamp"].to_numpy(),
        items=item_frame(item_index, items, item_images, has_picture, has_text),
        curves={
            f"{model.main.config['model']} ({loss})": model.of_loss(loss)[0]
            for model in (gated_lightgcn, lightgcn, bpr_mf)
            for loss in model.losses()
        },
        gated=gated_lightgcn,
        lightgcn=lightgcn,
        comparisons=cast(list[dict[str, Any]], stage.manifest("leaderboard").facts["comparisons"]),
        encoders={asset: facts_of(path) for asset, path in views.items()},
        lineage=stage.root.lineage(["recommendations", "leaderboard"], stage.dataset.name),
    )
    target = stage.root.path("report", stage.dataset.name, ".html")
    page = render(findings, pictures_of(stage), config.report_users)
    publish_bytes(target, page.encode())
    return Made(target)
