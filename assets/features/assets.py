"""items, item_index → item_images → image_embeddings; items, item_index → text_embeddings."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset import IMMATERIAL, Stage, dataset_asset
from assets.features.embed import Encoded, Told, embed, embedding_rows
from assets.features.encoders import image_encoder, image_space, text_encoder, text_space
from assets.features.looks import picture_looks, text_looks
from assets.settings import ImageEncoderSettings, PictureSettings, TextEncoderSettings
from storage.embedding_store import space_name
from storage.fetch import FetchLimits, Wanted, fetch_pictures
from storage.io_managers import Made
from storage.pictures import PictureStore
from storage.tables import read_table


@dataset_asset(group="features", kinds={"jpeg", "parquet"}, code_version="1", deps=["raw_metadata"])
def item_images(stage: Stage, config: PictureSettings, items: pa.Table, item_index: pa.Table) -> Made:
    """The first usable picture of every item, kept by its content; an item without one says why."""
    urls = dict(zip(items["item_id"].to_pylist(), items["image_urls"].to_pylist(), strict=True))
    wanted = [Wanted(item_id, urls.get(item_id, [])) for item_id in item_index["item_id"].to_pylist()]
    limits = FetchLimits(
        config.picture_timeout_s, config.picture_max_bytes, config.picture_max_pixels, config.picture_concurrency
    )
    with stage.progress(len(wanted), "pictures") as progress:
        table = fetch_pictures(
            wanted, picture_folder(stage), pictures_of(stage), limits, _earlier(stage, config), progress
        )
    counts = {row["values"]: row["counts"] for row in pc.value_counts(table["status"]).to_pylist()}
    return Made(table, {"by_status": counts, "share_with_picture": counts.get("ok", 0) / max(len(table), 1)})


@dataset_asset(
    group="features",
    kinds={"pytorch", "parquet"},
    code_version="2",
    reuse=True,
    outside=lambda config: {"space": space_name(image_space(config))},
)
def image_embeddings(stage: Stage, config: ImageEncoderSettings, item_index: pa.Table, item_images: pa.Table) -> Made:
    """What every item looks like: the vector that the image tower of CLIP gives to its picture."""
    pictures = pictures_of(stage)

    def encode(new: Sequence[str], told: Told) -> Encoded:
        return image_encoder(config).encode(pictures.batches(new, config.image_batch), told)

    content = pictures_by_item(item_index, item_images)
    embedded = embed(
        stage,
        image_space(config),
        content,
        encode,
        lambda: image_encoder(config).dimension,
        unit="pictures",
        dtype=config.embedding_dtype,
    )
    failed = item_images.filter(pc.not_equal(item_images["status"], "ok"))["status"]
    about = {"encoder": config.image_encoder, "weights": config.image_weights}
    looks = picture_looks(embedded, content, item_index["item_id"].to_pylist(), pictures)
    return embedding_rows(item_index, content, embedded, about, {"missing": counted(failed), **looks})


@dataset_asset(
    group="features",
    kinds={"pytorch", "parquet"},
    code_version="2",
    reuse=True,
    outside=lambda config: {"space": space_name(text_space(config))},
)
def text_embeddings(stage: Stage, config: TextEncoderSettings, item_index: pa.Table, items: pa.Table) -> Made:
    """What is written about every item: the vector that SBERT gives to its text."""
    row = pc.index_in(item_index["item_id"], value_set=items["item_id"])
    texts, titles = (items[name].take(row).to_pylist() for name in ("text", "title"))
    keys = [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]
    text_of = dict(zip(keys, texts, strict=True))

    def encode(new: Sequence[str], told: Told) -> Encoded:
        longest_first = sorted(new, key=lambda key: (-len(text_of[key]), key))  # a batch wastes little padding
        for part, vectors in text_encoder(config).encode([text_of[key] for key in longest_first], told):
            yield longest_first[part], vectors

    content = pa.array([[key] if key else [] for key in keys], pa.list_(pa.string()))
    embedded = embed(
        stage,
        text_space(config),
        content,
        encode,
        lambda: text_encoder(config).dimension,
        unit="texts",
        dtype=config.embedding_dtype,
    )
    missing = pa.array(["no_metadata" if text is None else "no_text" for text in texts if not text], pa.string())
    about = {"encoder": config.text_encoder, "weights": config.text_encoder}
    looks = text_looks(embedded, titles)
    return embedding_rows(item_index, content, embedded, about, {"missing": counted(missing), **looks})


def pictures_by_item(item_index: pa.Table, item_images: pa.Table) -> pa.ListArray:
    """list<string> [n], the SHA-256 of the pictures of every item, in their order."""
    usable = item_images.filter(pc.equal(item_images["status"], "ok"))
    item = pc.index_in(usable["item_id"], value_set=item_index["item_id"]).to_numpy()
    order = np.lexsort((usable["position"].to_numpy(), item))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=len(item_index)))])
    keys = usable["sha256"].combine_chunks().take(pa.array(order))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), keys)


def counted(values: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    """How often each value stands there."""
    return {row["values"]: row["counts"] for row in pc.value_counts(values).to_pylist()}


def picture_folder(stage: Stage) -> Path | None:
    """Where relative picture paths of a dataset are looked up: as the catalogue says, or beside local metadata."""
    if stage.dataset.images:
        return Path(stage.dataset.images)
    if urlsplit(stage.dataset.metadata).scheme in ("http", "https"):
        return None
    return stage.root.artefact(stage.manifest("raw_metadata")).parent


def pictures_of(stage: Stage) -> PictureStore:
    """The pictures kept for a dataset."""
    return PictureStore(stage.root.path("item_images", stage.dataset.name))


def _earlier(stage: Stage, config: PictureSettings) -> dict[str, dict]:
    """Rows of the last item_images by item, unless everything is to be fetched again; other limits try anew."""
    last = None if config.force else stage.root.find_sound("item_images", stage.dataset.name)
    if last is None:
        return {}
    same_limits = last.recipe.settings == config.model_dump(exclude=IMMATERIAL)
    rows = read_table(stage.root.artefact(last)).to_pylist()
    return {row["item_id"]: row for row in rows if same_limits or row["status"] == "ok"}
