"""models → leaderboard, recommendations → report."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset import Stage, dataset_asset
from assets.evaluation.address import report_url
from assets.evaluation.costs import Costs, headline
from assets.features.pictures import pictures_of
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from assets.settings import EvaluationSettings, RecommendationSettings, ReportSettings
from assets.training.assets import NAMES
from models.zoo import BEST_MODEL
from storage.history import Run, append_run, read_history, with_run
from storage.io_managers import Made, link
from storage.models import SavedModel, SavedModels
from storage.publish import publish_bytes
from storage.schemas import SCHEMAS
from storage.tables import Embeddings, facts_of


@dataset_asset(
    group="evaluation",
    kinds={"pytorch", "parquet"},
    code_version="2",
    reuse=True,
    inputs=dict.fromkeys(NAMES, SavedModels),
    beside=lambda stage: over_time(stage),
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


def columns_as_dict(table: pa.Table, key: str, value: str) -> dict:
    """One column of a table by another."""
    return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))


@dataset_asset(
    group="evaluation",
    kinds={"jinja", "html"},
    code_version="2",
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
    from assets.evaluation.over_time import history_picture
    from assets.evaluation.report import Findings, render

    lineage = stage.root.lineage(["recommendations", "leaderboard"], stage.dataset.name)
    board = stage.manifest("leaderboard").facts
    run = Run.of(stage.run, lineage, cast(float | None, board.get(f"recall@20/{BEST_MODEL}")))
    history = with_run(read_history(stage.root, stage.dataset.name), run)
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
        models={
            f"{model.main.config['model']} ({loss})": model.of_loss(loss)[0]
            for model in (gated_lightgcn, lightgcn, bpr_mf)
            for loss in model.losses()
        },
        gated=gated_lightgcn,
        tuning=tuning.to_pandas(),
        comparisons=cast(list[dict[str, Any]], board["comparisons"]),
        encoders=encoders,
        lineage=lineage,
        history=history,
    )
    target = stage.root.path("report", stage.dataset.name, ".html")
    page = render(findings, pictures_of(stage), config.report_users)
    publish_bytes(target, page.encode())
    facts = {"open": link(report_url(stage.dataset.name)), **history_picture(history)}
    return Made(target, facts, published=lambda: append_run(stage.root, stage.dataset.name, run))


def over_time(stage: Stage) -> dict[str, Any]:
    """The runs of the dataset up to now, as a picture."""
    from assets.evaluation.over_time import history_picture

    return history_picture(read_history(stage.root, stage.dataset.name))
