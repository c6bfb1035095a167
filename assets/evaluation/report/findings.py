"""What the report is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets.interactions.splits import TRAIN, Parts
from models.ranking.ranking import Scorer
from models.recommenders.explanations import Explainer, ItemExplainer
from storage.artifacts.manifest import Manifest
from storage.artifacts.saved_models import SavedModel, SavedModels

SENT = "what is sent"  # of the model that is fitted to all interactions


@dataclass(frozen=True)
class Findings:
    """Everything that one page tells.

    Attributes:
        made_at: when the page is made, UTC.
        leaderboard, tuning, new_items, recommendations: the tables of those names (new_items: new_item_recall).
        user_ids: the id of every user number.
        timestamp: int64 [interactions], ms since the epoch, of the rows of `parts`.
        items: one row an item number, as `item_frame` makes it.
        curves: fits whose training is drawn, by the name to show.
        gated: the gated LightGCN.
        choice: which model is served, and why, as a sentence.
        evaluated: what scores by the evaluated models whose lists are shown, the served one first, by name.
        comparisons: differences between models, as `assets.evaluation.leaderboard.Comparison` has them.
        encoders: facts of the embedding tables by asset.
        lineage: manifests of everything upstream, sources first.
        explainers: of these and of what is SENT, what takes the scores of recommendations apart, if anything does.
        history: the table of that name, with this run.
        variants: what is published, and the variants of it: name, settings, served, validation, recall.
    """

    dataset: str
    made_at: datetime
    leaderboard: pd.DataFrame
    tuning: pd.DataFrame
    new_items: pd.DataFrame
    recommendations: pa.Table
    user_ids: pa.Array
    parts: Parts
    timestamp: np.ndarray
    items: pd.DataFrame
    curves: Mapping[str, SavedModel]
    gated: SavedModels
    choice: str
    evaluated: Mapping[str, Scorer]
    comparisons: Sequence[Mapping[str, Any]]
    encoders: Mapping[str, Mapping[str, str]]
    lineage: Sequence[Manifest]
    explainers: Mapping[str, Explainer | ItemExplainer | None]
    history: pa.Table
    variants: Sequence[Mapping[str, Any]]

    def manifest(self, asset: str) -> Manifest:
        """The manifest of an asset of the lineage."""
        return next(made for made in self.lineage if made.asset == asset)

    def popularity(self) -> np.ndarray:
        """Train interactions of every item of the core, int64 [items]."""
        return np.bincount(self.parts.pairs(TRAIN)[1], minlength=self.parts.items)


def curves_of(*models: SavedModels) -> dict[str, SavedModel]:
    """The first fit of every loss of some models, by the name to show."""
    return {
        f"{model.main.config['model']} ({loss})": model.of_loss(loss)[0] for model in models for loss in model.losses()
    }


def item_frame(
    item_index: pa.Table, items: pa.Table, item_images: pa.Table, has_picture: np.ndarray, has_text: np.ndarray
) -> pd.DataFrame:
    """What the report may tell of an item, one row an item of `item_index`.

    Columns: item_id, title and categories (None without metadata); status, width, height, bytes and sha256 of the first
    picture (NaN or None without one); has_picture and has_text, whether there is a vector of it.
    """
    ids = item_index["item_id"].combine_chunks()
    described = _rows_of(items, ids, ["title", "categories"])
    first = item_images.filter(pc.equal(item_images["position"], 0))
    pictures = _rows_of(first, ids, ["status", "width", "height", "bytes", "sha256"])
    views = pd.DataFrame({"item_id": ids.to_pylist(), "has_picture": has_picture, "has_text": has_text})
    return pd.concat([views, described.to_pandas(), pictures.to_pandas()], axis=1)


def names_of(items: pd.DataFrame) -> list[str]:
    """What items of such a frame are called: their title, or their id where there is none."""
    titles = items["title"].fillna("")
    return titles.where(titles != "", items["item_id"]).tolist()


def _rows_of(table: pa.Table, ids: pa.Array, columns: list[str]) -> pa.Table:
    """The rows of these items, in their order; nulls where there is none."""
    return table.select(columns).take(pc.index_in(ids, value_set=table["item_id"].combine_chunks()))
