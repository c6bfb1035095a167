"""splits, interaction_graph, embeddings, item_graph → tuning → one asset a model."""

import logging
import shutil
import time
from typing import Any, cast

import dagster as dg
import pyarrow as pa
import scipy.sparse as sp

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import GPU, dataset_asset
from assets.core.asset_result import AssetResult
from assets.core.settings import (
    AssetSettings,
    EaseSettings,
    ItemKnnSettings,
    ModelSettings,
    TuningSettings,
)
from assets.interactions.splits import VALIDATION, Parts
from assets.training.inputs import inputs_of
from assets.training.model_config import chosen_version, read_tuned_values
from models.model_spec import BEST_MODEL, COUNTED, LEARNED, ModelSpec
from models.training.search_spaces import hash_spaces
from storage.artifacts.arrays import NearestItems
from storage.artifacts.saved_models import SavedModels
from storage.artifacts.tables import Embeddings
from storage.schemas import SCHEMAS

logger = logging.getLogger(__name__)

BLENDED = ("ease", "lightgcn", BEST_MODEL)  # the first with one of the others
MODEL: dict[str, Any] = {
    "group": "training",
    "code_version": "3",
    "io_manager": "models",
    "reuse": True,
    "core_alone": True,
}
TUNED: dict[str, Any] = MODEL | {"parts_read": {"tuning": chosen_version}}


@dataset_asset(
    group="training",
    kinds={"optuna", "pytorch"},
    code_version="3",
    reuse=True,
    core_alone=True,
    pool=GPU,
    outside=lambda config: {"searched": hash_spaces()},
)
def tuning(
    context: AssetContext,
    config: TuningSettings,
    splits: pa.Table,
    interaction_graph: sp.csr_matrix,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    item_graph: NearestItems,
) -> AssetResult:
    """Every configuration that was tried of every model under every loss, and which was chosen on validation.

    All models get the same number of trials and the same seconds; test is not looked at. Of a new dump that is much
    like the one before, what was found is kept, as the setting `retune` says.
    """
    from assets.training.held_out import HeldOut
    from assets.training.retune import found_now, keep_settings
    from assets.training.search import pairs, studies
    from assets.training.train_set import train_set
    from models.training.search_spaces import COUNTED_SPACES

    parts, data = train_set(splits, interaction_graph, image_embeddings, text_embeddings, item_graph)
    found = found_now(context, parts)
    before = keep_settings(context, config, found)
    if isinstance(before, AssetResult):
        logger.info(f"tuning {context.dataset.name}: {before.metadata['kept']}")  # type: ignore[index]
        return before
    logger.info(f"tuning {context.dataset.name}: {before}, so settings are searched")
    kept, models = context.work_folder("tuning"), (*LEARNED, *COUNTED_SPACES)
    validation = HeldOut.of(parts, VALIDATION)
    rows: list[dict[str, Any]] = []
    with context.progress(len(pairs(config, models)), "models") as progress:
        for study in studies(config, data, validation, kept, context.fingerprint, models):
            rows += study.rows()
            progress.advance()
    facts: dict[str, Any] = {"trials": len(rows), "search_s": sum(row["seconds"] for row in rows)}
    facts["found"] = found | facts
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["tuning"])
    return AssetResult(table, facts, published=lambda: shutil.rmtree(kept, ignore_errors=True))


def learned(name: str, kind: ModelSpec) -> dg.AssetsDefinition:
    """The asset that trains one learned model."""

    @dataset_asset(
        **TUNED, kinds={"pytorch", "safetensors"}, name=name, description=kind.about, inputs=inputs_of(kind), pool=GPU
    )
    def train(context: AssetContext, config: ModelSettings, **inputs: Any) -> AssetResult:
        from assets.training.fit_model import fit_all

        return fit_all(context, config, **inputs)

    return train


learned_models = [learned(name, kind) for name, kind in LEARNED.items()]


@dataset_asset(**MODEL, kinds={"numpy", "safetensors"}, description=COUNTED["popularity"])
def popularity(context: AssetContext, config: AssetSettings, splits: pa.Table) -> AssetResult:
    from assets.training.baselines import make_result, popular
    from assets.training.held_out import HeldOut

    started = time.perf_counter()
    return make_result(popular(HeldOut.of(Parts.of(splits), VALIDATION)), time.perf_counter() - started)


@dataset_asset(**TUNED, kinds={"scipy", "safetensors"}, description=COUNTED["ease"])
def ease(context: AssetContext, config: EaseSettings, splits: pa.Table, tuning: pa.Table) -> AssetResult:
    from assets.training.baselines import counted_model

    return counted_model(config, splits, read_tuned_values(tuning, "ease", "none"), "ease")


@dataset_asset(**TUNED, kinds={"scipy", "safetensors"}, description=COUNTED["item_knn"])
def item_knn(context: AssetContext, config: ItemKnnSettings, splits: pa.Table, tuning: pa.Table) -> AssetResult:
    from assets.training.baselines import counted_model

    return counted_model(config, splits, read_tuned_values(tuning, "item_knn", "none"), "item_knn")


@dataset_asset(**MODEL, kinds={"pytorch", "safetensors"}, inputs=dict.fromkeys(BLENDED, SavedModels))
def blend(context: AssetContext, config: AssetSettings, splits: pa.Table, **models: SavedModels) -> AssetResult:
    """EASE and a learned model as one: each user's scores as z-scores, summed by a weight chosen on validation."""
    from assets.training.baselines import blend_of, make_result
    from assets.training.held_out import HeldOut

    started = time.perf_counter()
    blends = blend_of(BLENDED[0], BLENDED[1:], models, HeldOut.of(Parts.of(splits), VALIDATION))
    made = make_result(blends, time.perf_counter() - started)
    facts = cast(dict[str, Any], made.metadata)
    for fit in blends.fits:  # what is blended has to be trained, too
        parts = ((fit.config["first"], "none-0"), (fit.config["second"], fit.config["second_fit"]))
        trained = (cast(dict[str, float], context.manifest(name).facts["train_s"])[one] for name, one in parts)
        facts["train_s"][fit.name] += sum(trained)
    return made
