"""splits, interaction_graph, embeddings, item_graph → tuning → one asset a model."""

import logging
import shutil
import time
from typing import Any, cast

import dagster as dg
import pyarrow as pa
import scipy.sparse as sp

from assets.core.asset_context import Stage
from assets.core.asset_decorator import GPU, dataset_asset
from assets.core.io_managers import Made
from assets.core.settings import (
    EaseSettings,
    ItemKnnSettings,
    ModelSettings,
    StageSettings,
    TuningSettings,
)
from assets.interactions.splits import VALIDATION, Parts
from assets.training.inputs import inputs_of
from assets.training.model_config import chosen_version, tuned_values
from models.model_spec import BEST_MODEL, COUNTED, LEARNED, Kind
from models.training.search_spaces import searched_version
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
    outside=lambda config: {"searched": searched_version()},
)
def tuning(
    stage: Stage,
    config: TuningSettings,
    splits: pa.Table,
    interaction_graph: sp.csr_matrix,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    item_graph: NearestItems,
) -> Made:
    """Every configuration that was tried of every model under every loss, and which was chosen on validation.

    All models get the same number of trials and the same seconds; test is not looked at. Of a new dump that is much
    like the one before, what was found is kept, as the setting `retune` says.
    """
    from assets.training.held_out import HeldOut
    from assets.training.retune import found_now, kept_table
    from assets.training.search import pairs, studies
    from assets.training.train_set import train_set
    from models.training.search_spaces import COUNTED_SPACES

    parts, data = train_set(splits, interaction_graph, image_embeddings, text_embeddings, item_graph)
    found = found_now(stage, parts)
    before = kept_table(stage, config, found)
    if isinstance(before, Made):
        logger.info(f"tuning {stage.dataset.name}: {before.metadata['kept']}")  # type: ignore[index]
        return before
    logger.info(f"tuning {stage.dataset.name}: {before}, so settings are searched")
    kept, models = stage.work_folder("tuning"), (*LEARNED, *COUNTED_SPACES)
    validation = HeldOut.of(parts, VALIDATION)
    rows: list[dict[str, Any]] = []
    with stage.progress(len(pairs(config, models)), "models") as progress:
        for study in studies(config, data, validation, kept, stage.fingerprint, models):
            rows += study.rows()
            progress.advance()
    facts: dict[str, Any] = {"trials": len(rows), "search_s": sum(row["seconds"] for row in rows)}
    facts["found"] = found | facts
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["tuning"])
    return Made(table, facts, published=lambda: shutil.rmtree(kept, ignore_errors=True))


def learned(name: str, kind: Kind) -> dg.AssetsDefinition:
    """The asset that trains one learned model."""

    @dataset_asset(
        **TUNED, kinds={"pytorch", "safetensors"}, name=name, description=kind.about, inputs=inputs_of(kind), pool=GPU
    )
    def train(stage: Stage, config: ModelSettings, **inputs: Any) -> Made:
        from assets.training.fit_model import fit_all

        return fit_all(stage, config, **inputs)

    return train


learned_models = [learned(name, kind) for name, kind in LEARNED.items()]


@dataset_asset(**MODEL, kinds={"numpy", "safetensors"}, description=COUNTED["popularity"])
def popularity(stage: Stage, config: StageSettings, splits: pa.Table) -> Made:
    from assets.training.baselines import made_of, popular
    from assets.training.held_out import HeldOut

    started = time.perf_counter()
    return made_of(popular(HeldOut.of(Parts.of(splits), VALIDATION)), time.perf_counter() - started)


@dataset_asset(**TUNED, kinds={"scipy", "safetensors"}, description=COUNTED["ease"])
def ease(stage: Stage, config: EaseSettings, splits: pa.Table, tuning: pa.Table) -> Made:
    from assets.training.baselines import counted_model

    return counted_model(config, splits, tuned_values(tuning, "ease", "none"), "ease")


@dataset_asset(**TUNED, kinds={"scipy", "safetensors"}, description=COUNTED["item_knn"])
def item_knn(stage: Stage, config: ItemKnnSettings, splits: pa.Table, tuning: pa.Table) -> Made:
    from assets.training.baselines import counted_model

    return counted_model(config, splits, tuned_values(tuning, "item_knn", "none"), "item_knn")


@dataset_asset(**MODEL, kinds={"pytorch", "safetensors"}, inputs=dict.fromkeys(BLENDED, SavedModels))
def blend(stage: Stage, config: StageSettings, splits: pa.Table, **models: SavedModels) -> Made:
    """EASE and a learned model as one: each user's scores as z-scores, summed by a weight chosen on validation."""
    from assets.training.baselines import blend_of, made_of
    from assets.training.held_out import HeldOut

    started = time.perf_counter()
    blends = blend_of(BLENDED[0], BLENDED[1:], models, HeldOut.of(Parts.of(splits), VALIDATION))
    made = made_of(blends, time.perf_counter() - started)
    facts = cast(dict[str, Any], made.metadata)
    for fit in blends.fits:  # what is blended has to be trained, too
        parts = ((fit.config["first"], "none-0"), (fit.config["second"], fit.config["second_fit"]))
        trained = (cast(dict[str, float], stage.manifest(name).facts["train_s"])[one] for name, one in parts)
        facts["train_s"][fit.name] += sum(trained)
    return made
