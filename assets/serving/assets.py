"""models → model_choice → served_model, new_item_model → current → recommendations, new_item_scores."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import GPU, dataset_asset
from assets.core.asset_result import AssetResult
from assets.core.settings import (
    BEST,
    AssetSettings,
    ListSettings,
    PromotionSettings,
    RecommendationSettings,
    RefitSettings,
    ServingSettings,
)
from assets.interactions.build_core import user_ids_of
from assets.interactions.splits import Parts
from assets.serving.model_choice import (
    candidates,
    choice_table,
    choose,
    has_row,
    in_words,
    margin_over_next,
    row_of,
    row_version,
)
from assets.serving.promotion import candidate, chosen
from models.model_spec import NAMES, NOT_ASKED, PLACING_MODEL
from storage.artifacts.arrays import NearestItems
from storage.artifacts.releases import (
    NEW_ITEM_MODEL,
    SERVED_MODEL,
    Promoted,
    find_pointer,
    find_release,
    prune,
    read_release,
)
from storage.artifacts.saved_models import SavedModels, read_configs, read_models
from storage.artifacts.tables import Embeddings
from storage.errors import InputError
from storage.raw.availability import unavailable_of
from storage.schemas import SCHEMAS

logger = logging.getLogger(__name__)


def placing_version(choice: pa.Table) -> str:
    """The version of what the model that places new items depends on in the table `model_choice`."""
    return row_version(row_of(choice, PLACING_MODEL)) if has_row(choice, PLACING_MODEL) else NOT_ASKED


REFITTED: dict[str, Any] = {
    "group": "serving",
    "kinds": {"pytorch", "safetensors"},
    "code_version": "1",
    "io_manager": "models",
    "reuse": True,
    "core_alone": True,
    "pool": GPU,
}


@dataset_asset(
    group="serving", kinds={"json"}, code_version="1", io_manager="tables", reuse=True, core_alone=True, deps=NAMES
)
def model_choice(context: AssetContext, config: ServingSettings) -> AssetResult:
    """Every evaluated model by its NDCG@20 on validation, and which of them is served; the test split has no say."""
    root = context.root
    trained = {name: read_configs(root.artefact(context.manifest(name))) for name in NAMES}
    trained = {name: found for name, found in trained.items() if found[1] != NOT_ASKED}
    found = candidates(trained, config.explain)
    best = choose(found, config.serve)
    other, margin = margin_over_next(found, best)
    facts: dict[str, Any] = {"served": best.model, "choice": in_words(best, other, margin, config.serve)}
    facts |= {"validation_ndcg@20": best.validation, "next_best": other, "margin": margin}
    return AssetResult(choice_table(found, best), facts)


@dataset_asset(**REFITTED, parts_read={"model_choice": lambda choice, _: row_version(row_of(choice))})
def served_model(
    context: AssetContext,
    config: RefitSettings,
    model_choice: pa.Table,
    splits: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    item_graph: NearestItems,
) -> AssetResult:
    """The chosen model fitted anew to all interactions, train, validation and test together: what users get.

    Its settings and its number of epochs are those that validation found for the evaluated model.
    """
    from assets.serving.refit import difference, fit_anew, forget_checkpoints
    from assets.training.train_set import everything

    row = row_of(model_choice)
    content = {"image_embeddings": image_embeddings, "text_embeddings": text_embeddings, "item_graph": item_graph}
    data = everything(splits, **content)
    model, seconds = fit_anew(context, config, row["model"], row["values"], data)
    evaluated = read_models(context.root.artefact(context.manifest(row["model"]))).best()[0]
    facts = {"model": row["model"], "loss": row["loss"], "epochs": row["epochs"], "interactions": len(data.user)}
    facts |= {"train_s": seconds, "differs_from_evaluated_by": difference(model, evaluated)}
    return AssetResult(SavedModels((model,)), facts, published=lambda: forget_checkpoints(context))


@dataset_asset(**REFITTED, parts_read={"model_choice": lambda choice, _: placing_version(choice)})
def new_item_model(
    context: AssetContext,
    config: RefitSettings,
    model_choice: pa.Table,
    splits: pa.Table,
    item_index: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
) -> AssetResult:
    """The gated LightGCN whose items have no vector of their own, fitted anew to all interactions.

    It places items that nobody has yet by their picture and text. There are such items if the setting `items` is `all`.
    """
    from assets.serving.refit import fit_anew, forget_checkpoints
    from assets.training.train_set import everything

    if item_index["in_core"].to_numpy().all():
        reason = "no item is outside of the core; the setting items: all numbers those with metadata alone"
        return AssetResult(SavedModels((), reason), {"skipped": reason})
    if not has_row(model_choice, PLACING_MODEL):
        reason = f"{PLACING_MODEL} places new items, and the setting models does not ask for it"
        return AssetResult(SavedModels((), reason), {"skipped": reason})
    row = row_of(model_choice, PLACING_MODEL)
    data = everything(splits, image_embeddings=image_embeddings, text_embeddings=text_embeddings)
    model, seconds = fit_anew(context, config, PLACING_MODEL, row["values"], data)
    facts = {"model": PLACING_MODEL, "loss": row["loss"], "epochs": row["epochs"], "train_s": seconds}
    return AssetResult(SavedModels((model,)), facts, published=lambda: forget_checkpoints(context))


@dataset_asset(
    group="serving",
    kinds={"json"},
    code_version="2",
    io_manager="releases",
    core_alone=True,
    reads_more=True,
    deps=("model_choice", SERVED_MODEL, NEW_ITEM_MODEL),
)
def current(context: AssetContext, config: PromotionSettings) -> AssetResult:
    """The release that is served: the model fitted last, unless its validation metric collapsed or it was taken back.

    Recommendations, scores of new items and exported vectors read models through it.
    """
    root, name, choice = context.root, context.dataset.name, context.manifest("model_choice").facts
    pointer = find_pointer(root, name)
    served = find_release(root, name, pointer.version) if pointer else None
    before = find_pointer(root.published, name) if root.variant else None
    models = {model: context.manifest(model) for model in (SERVED_MODEL, NEW_ITEM_MODEL)}
    new = candidate(name, str(choice["served"]), float(str(choice["validation_ndcg@20"])), models)
    wanted = context.manifest("model_choice").recipe.settings
    release = chosen(new, served, pointer, config, named=wanted["serve"] != BEST or bool(wanted["explain"]))
    if before and new.version in before.withdrawn and not config.force:  # a variant serves what is published then
        release = read_release(root.published, name, before.version)
    taken_back = new.version != release.version
    said = f"{release.model} is served, of the release before: the one that was made last was taken back"
    if served and served.model and release.model != served.model:
        logger.warning(f"{name} was served by {served.model}; from now on it is served by {release.model}")
    facts = {
        "serves": release.model,
        "choice": said if taken_back else choice["choice"],
        "validation_ndcg@20": release.validation,
        "of_the_candidate": new.validation,
        "of_the_one_before": served.validation if served else "none",
        "moved": served is None or release.version != served.version,
        "taken_back": taken_back,
    }
    return AssetResult(release, facts, published=lambda: prune(root, name, config.keep_versions, NAMES))


@dataset_asset(group="serving", kinds={"parquet"}, code_version="1", reads_more=True)
def unavailable_items(context: AssetContext, config: AssetSettings, raw_metadata: Path) -> AssetResult:
    """Items that the dataset declares unavailable: by a key of the metadata (`available`), or in a list of ids."""
    dataset = context.dataset
    table, facts = unavailable_of(raw_metadata, dataset.format, dataset.available, dataset.unavailable)
    return AssetResult(table, facts)


@dataset_asset(
    group="serving",
    kinds={"pytorch", "parquet"},
    code_version="5",
    io_manager="versions",
    reuse=True,
    core_alone=True,
)
def recommendations(
    context: AssetContext,
    config: RecommendationSettings,
    splits: pa.Table,
    interactions: pa.Table,
    item_index: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    item_graph: NearestItems,
    unavailable_items: pa.Table,
    current: Promoted,
) -> AssetResult:
    """The best items for every user by the served model, without those that the user has and those not available.

    With `explain`, each row says what the items of the history, the pictures and the texts add to its score.
    """
    from assets.serving.ray_recommend import batches_on_cluster
    from assets.serving.recommend import NewItems, Recommending, explainer_of, owned, place_items, places_for
    from assets.training.scorers import scorer_of
    from assets.training.train_set import everything

    model = current.models(SERVED_MODEL).main
    item_ids, explainer = item_index["item_id"].combine_chunks(), None
    if config.explain:
        content = {"image_embeddings": image_embeddings, "text_embeddings": text_embeddings, "item_graph": item_graph}
        explainer = explainer_of(model, everything(splits, **content))
        if explainer is None:
            raise InputError(
                f"explain asks for reasons, and {current.release.model} cannot give any; set explain for the dataset "
                f"in the catalogue, so that a model is chosen that can, or name one by serve"
            )
    parts, gone = Parts.of(splits), numbers_of(unavailable_items, item_ids)
    has = owned(parts)
    placing, new_items = current.models(NEW_ITEM_MODEL), None
    if config.new_items == "mixed":
        if not placing.fits:
            raise InputError(f"new_items is 'mixed', and {placing.skipped}")
        found = place_items(placing.main, item_index, image_embeddings, text_embeddings, gone)
        new_items = NewItems(*found, most=places_for(config.new_item_share, config.top_k))
    recommending = Recommending(
        seen=has,
        scorer=scorer_of(model, has),
        user_ids=user_ids_of(interactions),
        item_ids=item_ids,
        top_k=config.top_k,
        explainer=explainer,
        unavailable=gone[gone < parts.items],
        new_items=new_items if new_items and len(new_items.numbers) else None,
    )
    batches = batches_on_cluster(context, recommending) if context.compute.on_ray else recommending.batches()
    rows = pa.RecordBatchReader.from_batches(SCHEMAS["recommendations"], batches)
    facts = {"model": current.release.model, "loss": model.config["loss"], "score": model.config["score"]}
    facts |= {"users": parts.users, "unavailable_items": len(gone)}
    facts |= {"new_items": len(new_items.numbers) if new_items else 0}
    about = {"release": current.release.version}  # its own version, though another release recommend the same
    return AssetResult(rows, facts, about)


def numbers_of(listed: pa.Table, item_ids: pa.Array) -> np.ndarray:
    """The numbers of the items of a table, int64, sorted; those that have none are left out."""
    found = pc.is_in(item_ids, value_set=listed["item_id"].combine_chunks())
    return np.flatnonzero(found.to_numpy(zero_copy_only=False))


@dataset_asset(
    group="serving",
    kinds={"pytorch", "parquet"},
    code_version="2",
    reuse=True,
)
def new_item_scores(
    context: AssetContext,
    config: ListSettings,
    splits: pa.Table,
    interactions: pa.Table,
    item_index: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    unavailable_items: pa.Table,
    current: Promoted,
) -> AssetResult:
    """The best of the items that nobody has yet for every user: they are placed by their content.

    Items are only there if the setting `items` is `all`.
    """
    from assets.serving.recommend import new_item_batches, place_items

    parts, models = Parts.of(splits), current.models(NEW_ITEM_MODEL)
    if not models.fits:
        return AssetResult(SCHEMAS["new_item_scores"].empty_table(), {"skipped": models.skipped, "new_items": 0})
    item_ids = item_index["item_id"].combine_chunks()
    gone = numbers_of(unavailable_items, item_ids)
    new, scorer, _ = place_items(models.main, item_index, image_embeddings, text_embeddings, gone)
    users = np.arange(parts.users)
    ids = user_ids_of(interactions), item_ids.take(pa.array(new))
    rows = pa.RecordBatchReader.from_batches(
        SCHEMAS["new_item_scores"], new_item_batches(scorer, users, parts.users, ids, config.top_k)
    )
    config_of = models.main.config
    facts = {"model": PLACING_MODEL, "loss": config_of["loss"], "score": config_of["score"]}
    return AssetResult(rows, facts | {"new_items": len(new)})
