"""models → leaderboard, new_item_recall; these and recommendations → report."""

from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import GPU, dataset_asset
from assets.core.asset_result import AssetResult, link
from assets.core.settings import EvaluationSettings, NewItemSettings, RefitSettings, ReportSettings
from assets.evaluation.compute_costs import Costs, headline
from assets.evaluation.report_address import report_url
from assets.features.item_pictures import pictures_of
from assets.interactions.build_core import user_ids_of
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from assets.serving.model_choice import row_of, row_version
from models.model_spec import NAMES, NOT_ASKED, PLACING_MODEL
from storage.artifacts.arrays import NearestItems
from storage.artifacts.data_root import DataRoot
from storage.artifacts.history import Run, append_run, read_history, with_run
from storage.artifacts.releases import SERVED_MODEL, Promoted
from storage.artifacts.saved_models import SavedModels, read_models
from storage.artifacts.tables import Embeddings
from storage.artifacts.variants import figures, find_variants
from storage.errors import InputError
from storage.schemas import SCHEMAS


def runs_so_far(context: AssetContext) -> dict[str, Any]:
    """The runs of the dataset up to now, as a picture."""
    from assets.evaluation.report.history_plot import history_picture

    return history_picture(read_history(context.root, context.dataset.name))


@dataset_asset(
    group="evaluation",
    kinds={"pytorch", "parquet"},
    code_version="2",
    reuse=True,
    core_alone=True,
    inputs=dict.fromkeys(NAMES, SavedModels),
    beside=runs_so_far,
)
def leaderboard(
    context: AssetContext,
    config: EvaluationSettings,
    splits: pa.Table,
    tuning: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    **models: SavedModels,
) -> AssetResult:
    """Every model, loss and seed on the test split: full ranking over all items, metrics with intervals, by strata.

    Block `controlled` has all learned models under the same loss, `open` the best of each and what has no loss.
    """
    from assets.evaluation.evaluate import Bench, evaluate_fit
    from assets.evaluation.leaderboard import as_facts, board_rows, compare, standings
    from assets.evaluation.strata import item_strata
    from assets.training.held_out import HeldOut
    from assets.training.scorers import scorer_of

    parts, models = Parts.of(splits), {name: one for name, one in models.items() if one.skipped != NOT_ASKED}
    test = HeldOut.of(parts, TEST, *([VALIDATION] if config.mask_validation else []))
    popularity = np.bincount(parts.pairs(TRAIN)[1], minlength=parts.items)
    has_picture, has_text = (view.has_value[: parts.items] for view in (image_embeddings, text_embeddings))
    bench = Bench(test, item_strata(popularity, has_picture, has_text), config.evaluation_seed)
    evaluations = []
    with context.progress(sum(len(model.fits) for model in models.values()), "fits") as progress:
        for model in models.values():
            for fit in model.fits:
                evaluations.append(evaluate_fit(fit, scorer_of(fit, test.train, models), bench))
                progress.advance()
    found = standings(evaluations, models)
    compared = [one for standing in found for one in compare(standing, config.evaluation_seed)]
    rows = list(board_rows(found, compared, models, config.evaluation_seed))
    common = {
        "dataset": context.dataset.name,
        "dataset_version": context.manifest("splits").data_version,
        "split_rule": context.manifest("splits").recipe.settings["split"],
    }
    costs = Costs.of(tuning, {name: context.manifest(name).facts for name in models})
    table = pa.Table.from_pylist([common | costs.of_row(row) | row for row in rows], schema=SCHEMAS["leaderboard"])
    unseen = float((popularity[parts.pairs(TEST)[1]] == 0).mean())
    facts = {"test_interactions_with_items_unseen_in_train": unseen, "comparisons": as_facts(compared)}
    return AssetResult(table, headline(rows) | facts)


@dataset_asset(
    group="evaluation",
    kinds={"pytorch", "parquet"},
    code_version="2",
    reuse=True,
    core_alone=True,
    pool=GPU,
    inputs={PLACING_MODEL: SavedModels},
    parts_read={"model_choice": lambda choice, _: row_version(row_of(choice))},
)
def new_item_recall(
    context: AssetContext,
    config: NewItemSettings,
    splits: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    item_graph: NearestItems,
    model_choice: pa.Table,
    **placing: SavedModels,
) -> AssetResult:
    """How well items are placed that nobody has bought yet: some are held out of training with all their interactions.

    They are then ranked for the users who have some of them, by their content through the gate, by their likeness to
    what these users have, and by popularity, to which all of them are equal. And they are mixed into the lists of the
    chosen model, trained without them: what that finds of them, and what it costs of the others.
    """
    from assets.evaluation.new_item_mixing import mixed_rows
    from assets.evaluation.new_items import Cold, Views, recall_rows, scorers, train_without, warm_data
    from assets.serving.refit import fit_anew, forget_checkpoints
    from assets.training.scorers import scorer_of
    from models.ranking.ranking import matrix_of

    views, facts = Views(image_embeddings, text_embeddings), dict[str, Any]()
    if reason := placing[PLACING_MODEL].skipped:
        facts = {"not_measured": f"{PLACING_MODEL} places new items, and was skipped: {reason}"}
        return AssetResult(SCHEMAS["new_item_recall"].empty_table(), facts)
    try:
        cold = Cold.of(Parts.of(splits), config.cold_share, config.cold_seed)
        model = train_without(cold, placing[PLACING_MODEL].best()[0], views, config.device)
    except InputError as error:  # a dataset that is too small for this is not too small for all else
        return AssetResult(SCHEMAS["new_item_recall"].empty_table(), {"not_measured": str(error)})
    rows = list(recall_rows(cold, scorers(cold, model, views), config.cold_seed))
    facts |= {"items_held_out": len(cold.items), "users": len(cold.users)}
    try:
        data, row = warm_data(cold, views, item_graph), row_of(model_choice)
        chosen = fit_anew(
            context, RefitSettings.model_validate({"device": config.device}), row["model"], row["values"], data
        )[0]
        scorer = scorer_of(chosen, matrix_of(data.user, data.item, data.users, data.items))
        rows += mixed_rows(cold, scorer, model, views, config.cold_seed)
        facts["mixed_into"] = row["model"]
    except InputError as error:
        facts["mixing_not_measured"] = str(error)
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["new_item_recall"])
    facts |= {f"{row['method']}/{row['metric']}@{row['k']}": row["value"] for row in rows}
    return AssetResult(table, facts, published=lambda: forget_checkpoints(context))


@dataset_asset(
    group="evaluation",
    kinds={"jinja", "html"},
    code_version="4",
    io_manager="files",
    reads_more=True,
)
def report(
    context: AssetContext,
    config: ReportSettings,
    leaderboard: pa.Table,
    gated_lightgcn: SavedModels,
    lightgcn: SavedModels,
    bpr_mf: SavedModels,
    new_item_recall: pa.Table,
    recommendations: pa.Table,
    interactions: pa.Table,
    splits: pa.Table,
    items: pa.Table,
    item_index: pa.Table,
    item_images: pa.Table,
    tuning: pa.Table,
    interaction_graph: sp.csr_matrix,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    item_graph: NearestItems,
    current: Promoted,
) -> AssetResult:
    """One HTML page that can be sent to anybody: the dataset, the leaderboard, the gate, and what some users get."""
    from assets.evaluation.report.findings import SENT, Findings, curves_of, item_frame
    from assets.evaluation.report.history_plot import history_picture
    from assets.evaluation.report.page import render
    from assets.serving.recommend import explainer_of
    from assets.training.scorers import scorer_of
    from assets.training.train_set import everything, train_set
    from models.ranking.ranking import matrix_of

    made = context.root.lineage(["recommendations", "leaderboard", "new_item_recall"], context.dataset.name)
    lineage = [one for one in made if one.facts.get("skipped") != NOT_ASKED]
    board = context.manifest("leaderboard").facts
    served, choice = current.release.model, context.manifest("current").facts["choice"]
    run = Run.of(context.run, lineage, cast(float | None, board.get(f"recall@20/{served}")))
    history = with_run(read_history(context.root, context.dataset.name), run)
    views: dict[str, Any] = {"image_embeddings": image_embeddings, "text_embeddings": text_embeddings}
    parts, data = train_set(splits, interaction_graph, **views, item_graph=item_graph)
    train, others = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items), evaluated_models(context, served)
    evaluated = {name: others[name].best()[0] for name in dict.fromkeys((served, "lightgcn")) if others[name].fits}
    sent = current.models(SERVED_MODEL).main
    findings = Findings(
        dataset=context.dataset.name,
        made_at=datetime.now(UTC),
        leaderboard=leaderboard.to_pandas(),
        tuning=tuning.to_pandas(),
        new_items=new_item_recall.to_pandas(),
        recommendations=recommendations,
        user_ids=user_ids_of(interactions),
        parts=parts,
        timestamp=interactions["timestamp"].to_numpy(),
        items=item_frame(item_index, items, item_images, *(view.has_value for view in views.values())),
        curves=curves_of(gated_lightgcn, lightgcn, bpr_mf),
        gated=gated_lightgcn,
        choice=str(choice),
        evaluated={name: scorer_of(model, train, others) for name, model in evaluated.items()},
        comparisons=cast(list[dict[str, Any]], board["comparisons"]),
        encoders={asset: view.about for asset, view in views.items()},
        lineage=lineage,
        explainers={name: explainer_of(model, data) for name, model in evaluated.items()}
        | {SENT: explainer_of(sent, everything(splits, **views, item_graph=item_graph))},
        history=history,
        variants=variant_rows(context.root.published, context.dataset.name),
    )
    target = context.root.path("report", context.dataset.name, ".html")
    facts = {"open": link(report_url(context.root.name(context.dataset.name))), **history_picture(history)}
    page = render(findings, pictures_of(context), config.report_users)
    context.root.publish_bytes(target, page.encode())
    return AssetResult(target, facts, published=lambda: append_run(context.root, context.dataset.name, run))


def variant_rows(root: DataRoot, dataset: str) -> list[dict[str, Any]]:
    """What is published and every variant beside it, with its settings and what it came to; none without a variant."""
    variants = find_variants(root, dataset)
    published = {"name": "published", "settings": "those of the catalogue", **figures(root, None, dataset)}
    own = [{"name": one.key, "settings": one.in_words(), **figures(root, one, dataset)} for one in variants]
    return [published, *own] if own else []


def evaluated_models(context: AssetContext, served: str) -> dict[str, SavedModels]:
    """The evaluated model that was chosen, LightGCN beside it, and what they are blended of, by name."""
    found: dict[str, SavedModels] = {}
    wanted = [served, "lightgcn"]
    for name in wanted:
        if name not in found:
            found[name] = read_models(context.root.artefact(context.manifest(name)))
            config = found[name].main.config if found[name].fits else {}
            wanted += [config[part] for part in ("first", "second") if part in config]
    return found
