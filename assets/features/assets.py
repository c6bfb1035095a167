"""items, item_index → item_images → image_embeddings; items, item_index → text_embeddings."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from assets.core.asset_context import AssetContext
from assets.core.asset_decorator import GPU, dataset_asset
from assets.core.asset_result import AssetResult
from assets.core.settings import ImageEncoderSettings, ItemGraphSettings, PictureSettings, TextEncoderSettings
from assets.features.embed import Encoded, OnProgress, embed, embedding_rows, filling
from assets.features.embedding_preview import preview_pictures, preview_texts
from assets.features.encoders import image_encoder, image_space, text_encoder, text_space, without_folder
from assets.features.item_pictures import (
    is_local,
    likely_placeholders,
    picture_folder,
    pictures_by_item,
    pictures_of,
    places_of,
    select_pictures,
)
from assets.features.ray_embedding import fetch_on_cluster, pictures_on_cluster, texts_on_cluster
from storage.artifacts.arrays import NearestItems
from storage.artifacts.tables import Embeddings
from storage.embeddings.store import space_name
from storage.images.attempts import Attempts
from storage.images.client import FetchLimits
from storage.images.fetch import Again, Source, fetch_pictures
from storage.images.statuses import OK

logger = logging.getLogger(__name__)


@dataset_asset(group="features", kinds={"jpeg", "parquet"}, code_version="3", deps=["raw_metadata"], pool="downloads")
def item_images(context: AssetContext, config: PictureSettings, items: pa.Table, item_index: pa.Table) -> AssetResult:
    """The first usable pictures of every item, kept by their content; an item without one says why."""
    limits = FetchLimits(
        timeout_s=config.picture_timeout_s,
        max_bytes=config.picture_max_bytes,
        max_pixels=config.picture_max_pixels,
        concurrency=config.picture_concurrency,
        host_concurrency=config.picture_host_concurrency,
        retries=config.picture_retries,
        min_side=config.picture_min_pixels,
        excluded=frozenset(config.picture_exclude),
    )
    again: Again = "everything" if config.force else "failed" if config.picture_retry_failed else "passing"
    links = context.dataset.image_links
    source = Source(picture_folder(context), is_local(context), Path(links) if links else None)
    store, places = pictures_of(context), places_of(items, item_index)
    with context.progress(len(item_index), "items") as progress:
        how = (limits, progress, config.pictures_per_item, again)
        if context.compute.on_ray:
            fetched = fetch_on_cluster(context, places, source, store.folder, *how)
        else:
            fetched = fetch_pictures(select_pictures(places), source, Attempts(store), *how)
    by_status = count_values(fetched.table["status"])
    on_progress = ", ".join(
        f"{count:,} {status}" for status, count in sorted(by_status.items(), key=lambda pair: -pair[1])
    )
    logger.info(f"{context.asset} {context.dataset.name}: {on_progress or 'nothing'} of {len(item_index):,} items")
    with_picture = pc.sum(pc.and_(pc.equal(fetched.table["status"], OK), pc.equal(fetched.table["position"], 0)))
    facts = {
        "by_status": by_status,
        "share_with_picture": (with_picture.as_py() or 0) / max(len(item_index), 1),
        "asked": fetched.asked,
        "from_store": fetched.from_store,
        "likely_placeholders": likely_placeholders(fetched.table, config.picture_placeholder_share),
    }
    return AssetResult(fetched.table, facts)


@dataset_asset(
    group="features",
    kinds={"pytorch", "parquet"},
    code_version="3",
    reuse=True,
    pool=GPU,
    outside=lambda config: {"space": space_name(image_space(config))},
)
def image_embeddings(
    context: AssetContext, config: ImageEncoderSettings, item_index: pa.Table, item_images: pa.Table
) -> AssetResult:
    """What every item looks like: the vector that the image tower of CLIP gives to its picture."""
    pictures = pictures_of(context)

    def encode(new: Sequence[str], on_progress: OnProgress) -> Encoded:
        return image_encoder(config).encode(pictures.batches(new, config.image_batch), on_progress)

    content = pictures_by_item(item_index, item_images)
    embedded = embed(
        context,
        image_space(config),
        content,
        pictures_on_cluster(context, config, pictures) if context.compute.on_ray else filling(encode),
        lambda: image_encoder(config).dimension,
        unit="pictures",
        dtype=config.embedding_dtype,
    )
    failed = item_images.filter(pc.not_equal(item_images["status"], OK))["status"]
    about = {"encoder": config.image_encoder, "weights": without_folder(config.image_weights)}
    previews = preview_pictures(embedded, item_index["item_id"].to_pylist(), pictures)
    return embedding_rows(item_index, embedded, about, count_values(failed), previews)


@dataset_asset(
    group="features",
    kinds={"pytorch", "parquet"},
    code_version="2",
    reuse=True,
    pool=GPU,
    outside=lambda config: {"space": space_name(text_space(config))},
)
def text_embeddings(
    context: AssetContext, config: TextEncoderSettings, item_index: pa.Table, items: pa.Table
) -> AssetResult:
    """What is written about every item: the vector that SBERT gives to its text."""
    row = pc.index_in(item_index["item_id"], value_set=items["item_id"])
    texts, titles = (items[name].cast(pa.large_string()).take(row).to_pylist() for name in ("text", "title"))
    keys = [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]
    text_of = dict(zip(keys, texts, strict=True))

    def longest_first(new: Sequence[str]) -> tuple[list[str], list[str]]:
        keys = sorted(new, key=lambda key: (-len(text_of[key]), key))  # a batch wastes little padding
        return keys, [text_of[key] for key in keys]

    def encode(new: Sequence[str], on_progress: OnProgress) -> Encoded:
        keys, texts = longest_first(new)
        return ((keys[part], vectors) for part, vectors in text_encoder(config).encode(texts, on_progress))

    content = pa.array([[key] if key else [] for key in keys], pa.list_(pa.string()))
    embedded = embed(
        context,
        text_space(config),
        content,
        texts_on_cluster(context, config, longest_first) if context.compute.on_ray else filling(encode),
        lambda: text_encoder(config).dimension,
        unit="texts",
        dtype=config.embedding_dtype,
    )
    missing = pa.array(["no_metadata" if text is None else "no_text" for text in texts if not text], pa.string())
    about = dict.fromkeys(("encoder", "weights"), without_folder(config.text_encoder))
    return embedding_rows(item_index, embedded, about, count_values(missing), preview_texts(embedded, titles))


@dataset_asset(group="features", kinds={"numpy"}, code_version="1", io_manager="arrays", reuse=True)
def item_graph(
    context: AssetContext,
    config: ItemGraphSettings,
    item_index: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
) -> AssetResult:
    """The items of the core nearest to each by picture and by text; a model joins the first `knn_k` of them to a graph.

    There each pair counts both ways, and edges are weighed by the degrees of their ends. An item without a picture, or
    without a text, has no edges of that kind.
    """
    from models.recommenders.item_graph import nearest_items

    views = {"visual": image_embeddings, "textual": text_embeddings}
    core = item_index["in_core"].to_numpy()
    nearest = {name: nearest_items(view.matrix, view.has_value & core, config.knn_max) for name, view in views.items()}
    facts = {f"items_with_{name}_neighbours": int((found[:, 0] >= 0).sum()) for name, found in nearest.items()}
    return AssetResult(NearestItems(**nearest), facts)


def count_values(values: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    """How often each value stands there."""
    return {row["values"]: row["counts"] for row in pc.value_counts(values).to_pylist()}
