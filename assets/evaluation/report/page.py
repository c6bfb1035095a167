"""Turns the findings on one dataset into one HTML page that needs nothing beside it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from assets.evaluation import plots, tables
from assets.evaluation.judge import WITHOUT_TRAIN
from assets.interactions.splits import TRAIN, Parts
from storage.layout import Manifest
from storage.models import SavedModel, SavedModels
from storage.pictures import PictureStore

THUMBNAIL_PIXELS = 96
SHOWN_ITEMS = 8
UNTRAINED = "untrained"


@dataclass(frozen=True)
class Findings:
    """What the report is made from.

    Attributes:
        leaderboard, recommendations: the tables of those names.
        user_ids: the id of every user number.
        titles: the title of every item by its id.
        picture_keys: the key of its picture in the store, or None, by item id.
        picture_status: how many pictures ended with which status.
        item_ids: the id of every item number.
        models: fits whose training is drawn, by the name to show.
        gated: the gated LightGCN.
        tuning: the table of that name.
        comparisons: differences between models, as `assets.evaluation.board.Comparison` has them.
        encoders: facts of the embedding tables by asset.
        lineage: manifests of everything upstream, sources first.
    """

    dataset: str
    leaderboard: pd.DataFrame
    recommendations: pa.Table
    user_ids: pa.Array
    parts: Parts
    titles: Mapping[str, str]
    picture_keys: Mapping[str, str | None]
    picture_status: Mapping[str, int]
    item_ids: Sequence[str]
    models: Mapping[str, SavedModel]
    gated: SavedModels
    tuning: pd.DataFrame
    comparisons: Sequence[Mapping[str, Any]]
    encoders: Mapping[str, Mapping[str, str]]
    lineage: Sequence[Manifest]


def render(findings: Findings, pictures: PictureStore, users: int) -> str:
    """The page, with the histories and recommendations of `users` users."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    with_value = {made.asset: made.facts["with_value"] for made in findings.lineage if "with_value" in made.facts}
    configs = {name: model.config for name, model in findings.models.items()}
    board = findings.leaderboard
    share = findings.gated.best()[0].tensors["visual_share"]
    return environment.get_template("report.html.j2").render(
        dataset=findings.dataset,
        split_rule=board["split_rule"].iloc[0],
        untrained=[a for a, facts in findings.encoders.items() if facts["weights"] == UNTRAINED and with_value[a]],
        without=[asset for asset, count in with_value.items() if not count],
        encoders=findings.encoders,
        numbers=dataset_numbers(findings),
        columns=[f"{metric.replace('_', ' ')}@{k}" for metric, k in tables.HEADLINE],
        boards=tables.boards(board),
        apart=tables.leaderboard_rows(board[board["block"] == "open"], WITHOUT_TRAIN),
        skipped=tables.skipped(board),
        strata=tables.stratum_rows(board),
        verdict=tables.verdict(findings.comparisons),
        tuned=list(tables.tuned_rows(findings.tuning)),
        curves=[plots.loss_curves(configs), plots.validation_curves(configs)],
        gate=plots.share_histogram(share),
        gate_facts=gate_facts(share),
        users=user_stories(findings, pictures, users),
        lineage=findings.lineage,
    )


def dataset_numbers(findings: Findings) -> list[tuple[str, str]]:
    """The dataset in numbers, as (what, how many)."""
    rows = {manifest.asset: manifest.rows for manifest in findings.lineage}
    parts = findings.parts
    status = findings.picture_status
    degree = np.bincount(parts.item)
    top = np.sort(degree)[::-1][: max(len(degree) // 10, 1)].sum() / degree.sum()
    numbers = [
        ("reviews read", rows["reviews"]),
        ("interactions in the core", rows["interactions"]),
        ("train / validation / test", " / ".join(f"{count:,}" for count in np.bincount(parts.split, minlength=3))),
        ("users", parts.users),
        ("items", parts.items),
        ("sparsity", f"{1 - len(parts.user) / (parts.users * parts.items):.2%}"),
        ("share of the most popular tenth of the items", f"{top:.0%}"),
        ("items with a picture", f"{status.get('ok', 0):,} of {sum(status.values()):,}"),
        *((f"items without a picture: {reason}", count) for reason, count in status.items() if reason != "ok"),
    ]
    return [(name, value if isinstance(value, str) else f"{value:,}") for name, value in numbers]


def gate_facts(share: np.ndarray) -> dict[str, str]:
    """The gate in words; `share` is NaN where an item has neither picture nor text."""
    there = share[~np.isnan(share)]
    both = there[(there > 0) & (there < 1)]
    return {
        "items with both": f"{len(both):,}",
        "with a picture alone": f"{(there == 1).sum():,}",
        "with a text alone": f"{(there == 0).sum():,}",
        "with neither": f"{len(share) - len(there):,}",
        "median share of the picture, of items with both": f"{np.median(both):.2f}" if len(both) else "–",
    }


def user_stories(findings: Findings, pictures: PictureStore, count: int) -> list[dict[str, Any]]:
    """The train history of some users beside what they are recommended; users are shown by number, never by id.

    They are taken at even distances from the users with train items, ordered by how many they have.
    """
    user, item = findings.parts.pairs(TRAIN)
    known, sizes = np.unique(user, return_counts=True)
    by_size = known[np.argsort(-sizes, kind="stable")]
    chosen = by_size[np.unique(np.linspace(0, len(by_size) - 1, count).astype(int))]
    ids = findings.user_ids.take(pa.array(chosen))
    theirs = findings.recommendations.filter(pc.is_in(findings.recommendations["user_id"], value_set=ids)).to_pandas()
    stories = []
    for number, user_id in zip(chosen, ids.to_pylist(), strict=True):
        history = [findings.item_ids[i] for i in item[user == number][:SHOWN_ITEMS]]
        recommended = theirs[theirs["user_id"] == user_id].nsmallest(SHOWN_ITEMS, "rank")["item_id"].tolist()
        stories.append({"number": int(number), "history": history, "recommended": recommended})
    shown = {item_id for story in stories for item_id in story["history"] + story["recommended"]}
    cards = item_cards(shown, findings, pictures)
    for story in stories:
        for part in ("history", "recommended"):
            story[part] = [cards[item_id] for item_id in story[part]]
    return stories


def item_cards(item_ids: set[str], findings: Findings, pictures: PictureStore) -> dict[str, dict[str, str | None]]:
    """Title and thumbnail (a data URI, or None) of items."""
    keys = {item_id: findings.picture_keys[item_id] for item_id in item_ids}
    thumbnails = {key: thumbnail(content) for key, content in pictures.read(filter(None, keys.values()))}
    return {
        item_id: {"title": findings.titles.get(item_id) or item_id, "picture": thumbnails.get(key or "")}
        for item_id, key in keys.items()
    }


def thumbnail(content: bytes) -> str:
    """A small JPEG of a picture, as a data URI."""
    with Image.open(BytesIO(content)) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
