"""splits, interaction_graph, embeddings, item_graph → one asset a model → tuning, the table of their searches."""

import functools
import time
from collections.abc import Callable
from typing import Any, cast

import dagster as dg
import pyarrow as pa

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import GPU, AssetFunction, dataset_asset
from assets.core.asset_result import AssetResult
from assets.core.settings import AskedSettings, AssetSettings, EaseSettings, ItemKnnSettings, ModelSettings
from assets.interactions.splits import VALIDATION, Parts
from assets.training.inputs import inputs_of
from models.model_spec import BEST_MODEL, COUNTED, LEARNED, NOT_ASKED, ModelSpec
from models.training.search_spaces import COUNTED_SPACES, hash_space
from storage.artifacts.saved_models import SavedModels, read_trials
from storage.schemas import SCHEMAS

BLENDED = ("ease", "lightgcn", BEST_MODEL)  # the first with one of the others
SEARCHED = (*LEARNED, *COUNTED_SPACES)  # models whose settings are searched
MODEL: dict[str, Any] = {
    "group": "training",
    "code_version": "4",
    "io_manager": "models",
    "reuse": True,
    "core_alone": True,
}


def asset_of(name: str, **options: Any) -> Callable[[AssetFunction], dg.AssetsDefinition]:
    """The decorator of the asset that makes a model, or leaves it out where the dataset does not ask for it."""

    def outside(config: AskedSettings) -> dict[str, str]:
        searched = {"searched": hash_space(name)} if name in SEARCHED else {}
        return {"asked_for": str(config.asks_for(name))} | searched

    def decorate(function: AssetFunction) -> dg.AssetsDefinition:
        @functools.wraps(function)
        def make(context: AssetContext, config: AskedSettings, **inputs: Any) -> AssetResult:
            if config.asks_for(name):
                return function(context, config, **inputs)
            return AssetResult(SavedModels((), NOT_ASKED), {"skipped": NOT_ASKED})

        return dataset_asset(**MODEL, name=name, outside=outside, **options)(make)

    return decorate


def learned(name: str, kind: ModelSpec) -> dg.AssetsDefinition:
    """The asset that searches the settings of one learned model, and trains it."""

    @asset_of(name, kinds={"pytorch", "safetensors"}, description=kind.about, inputs=inputs_of(kind), pool=GPU)
    def train(context: AssetContext, config: ModelSettings, **inputs: Any) -> AssetResult:
        from assets.training.fit_model import fit_all

        return fit_all(context, config, **inputs)

    return train


learned_models = [learned(name, kind) for name, kind in LEARNED.items()]


@asset_of("popularity", kinds={"numpy", "safetensors"}, description=COUNTED["popularity"])
def popularity(context: AssetContext, config: AskedSettings, splits: pa.Table) -> AssetResult:
    from assets.training.baselines import make_result, popular
    from assets.training.held_out import HeldOut

    started = time.perf_counter()
    return make_result(popular(HeldOut.of(Parts.of(splits), VALIDATION)), time.perf_counter() - started)


@asset_of("ease", kinds={"scipy", "safetensors"}, description=COUNTED["ease"])
def ease(context: AssetContext, config: EaseSettings, splits: pa.Table) -> AssetResult:
    from assets.training.counted_model import fit_counted

    return fit_counted(context, config, splits)


@asset_of("item_knn", kinds={"scipy", "safetensors"}, description=COUNTED["item_knn"])
def item_knn(context: AssetContext, config: ItemKnnSettings, splits: pa.Table) -> AssetResult:
    from assets.training.counted_model import fit_counted

    return fit_counted(context, config, splits)


@asset_of("blend", kinds={"pytorch", "safetensors"}, inputs=dict.fromkeys(BLENDED, SavedModels))
def blend(context: AssetContext, config: AskedSettings, splits: pa.Table, **models: SavedModels) -> AssetResult:
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


@dataset_asset(group="training", kinds={"parquet"}, code_version="4", reuse=True, core_alone=True, deps=SEARCHED)
def tuning(context: AssetContext, config: AssetSettings) -> AssetResult:
    """Every configuration that was tried of every model under every loss, and which of them was chosen on validation.

    It is made of what the models keep of their searches, which all have the same number of trials and epochs.
    """
    rows: list[dict[str, Any]] = []
    for name in SEARCHED:
        manifest = context.manifest(name)
        seconds: Any = manifest.facts.get("trial_seconds", {})
        trials = read_trials(context.root.artefact(manifest))
        rows += [row | {"seconds": seconds[row["loss"]][row["trial"]]} for row in trials]
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["tuning"])
    return AssetResult(table, {"trials": len(rows), "seconds_of_all": sum(row["seconds"] for row in rows)})
