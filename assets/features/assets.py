"""items, item_index → item_images → image_embeddings; items, item_index → text_embeddings."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset import Stage, dataset_asset
from assets.settings import ImageEncoderSettings, PictureSettings, TextEncoderSettings
from models.encoders.weights import UNTRAINED, local_path
from storage.attempts import Attempts
from storage.client import FetchLimits
from storage.fetch import Again, Source, Wanted, fetch_pictures
from storage.io_managers import Made
from storage.pictures import PictureStore
from storage.publish import sha256_of
from storage.statuses import OK
from storage.tables import embedding_table

WANTED_ROWS = 4096


@dataset_asset(group="features", kinds={"jpeg", "parquet"}, code_version="2", deps=["raw_metadata"])
def item_images(stage: Stage, config: PictureSettings, items: pa.Table, item_index: pa.Table) -> Made:
    """The first usable pictures of every item, kept by their content; an item without one says why."""
    limits = FetchLimits(
        timeout_s=config.picture_timeout_s,
        max_bytes=config.picture_max_bytes,
        max_pixels=config.picture_max_pixels,
        concurrency=config.picture_concurrency,
        host_concurrency=config.picture_host_concurrency,
        retries=config.picture_retries,
    )
    again: Again = "everything" if config.force else "failed" if config.picture_retry_failed else "passing"
    source = Source(picture_folder(stage), is_local(stage))
    with stage.progress(len(item_index), "items") as progress:
        attempts = Attempts(pictures_of(stage))
        wanted = wanted_pictures(items, item_index)
        fetched = fetch_pictures(wanted, source, attempts, limits, progress, config.pictures_per_item, again)
    by_status = {row["values"]: row["counts"] for row in pc.value_counts(fetched.table["status"]).to_pylist()}
    with_picture = pc.sum(pc.and_(pc.equal(fetched.table["status"], OK), pc.equal(fetched.table["position"], 0)))
    facts = {
        "by_status": by_status,
        "share_with_picture": (with_picture.as_py() or 0) / max(len(item_index), 1),
        "asked": fetched.asked,
        "from_store": fetched.from_store,
    }
    return Made(fetched.table, facts)


@dataset_asset(
    group="features",
    kinds={"pytorch", "parquet"},
    code_version="1",
    reuse=True,
    outside=lambda config: local_weights(config.image_weights, "image_weights"),
)
def image_embeddings(stage: Stage, config: ImageEncoderSettings, item_index: pa.Table, item_images: pa.Table) -> Made:
    """What every item looks like: the vector that the image tower of CLIP gives to its picture."""
    from models.encoders.clip import ImageEncoder

    encoder = ImageEncoder(config.image_encoder, config.image_weights, config.device, config.image_batch)
    keys = item_images["sha256"].to_pylist()
    distinct = set(filter(None, keys))
    vectors: dict[str, np.ndarray] = {}
    with stage.progress(len(distinct), "pictures") as progress:
        for batch, encoded in encoder.encode(pictures_of(stage).read(distinct), progress.advance):
            vectors.update(zip(batch, encoded, strict=True))
    has_value = np.array([key in vectors for key in keys])
    matrix = np.zeros((len(keys), encoder.dimension), dtype=np.float32)
    for row in np.flatnonzero(has_value):
        matrix[row] = vectors[keys[row]]
    return _embeddings(item_index, matrix, has_value, config.image_encoder, config.image_weights, len(distinct))


@dataset_asset(
    group="features",
    kinds={"pytorch", "parquet"},
    code_version="1",
    reuse=True,
    outside=lambda config: local_weights(config.text_encoder, "text_encoder"),
)
def text_embeddings(stage: Stage, config: TextEncoderSettings, item_index: pa.Table, items: pa.Table) -> Made:
    """What is written about every item: the vector that SBERT gives to its text."""
    from models.encoders.sbert import TextEncoder

    encoder = TextEncoder(config.text_encoder, config.device, config.text_batch)
    text_of = dict(zip(items["item_id"].to_pylist(), items["text"].to_pylist(), strict=True))
    texts = [text_of.get(item_id) or "" for item_id in item_index["item_id"].to_pylist()]
    has_value = np.array([bool(text) for text in texts])
    matrix = np.zeros((len(texts), encoder.dimension), dtype=np.float32)
    there = [text for text in texts if text]
    with stage.progress(len(there), "texts") as progress:
        matrix[has_value] = encoder.encode(there, progress.advance)
    return _embeddings(item_index, matrix, has_value, config.text_encoder, config.text_encoder, len(there))


def local_weights(place: str, setting: str) -> dict[str, str]:
    """The checksum of weights that a setting names by their path: other weights at the same path are other weights."""
    path = None if place == UNTRAINED else local_path(place, setting)
    return {} if path is None else {f"{setting} sha256": sha256_of(path)}


def _embeddings(
    item_index: pa.Table, matrix: np.ndarray, has_value: np.ndarray, encoder: str, weights: str, encoded: int
) -> Made:
    about = {"encoder": encoder, "weights": weights, "dimension": str(matrix.shape[1]), "normalised": "true"}
    facts = {**about, "encoded": encoded, "with_value": int(has_value.sum()), "without_value": int((~has_value).sum())}
    return Made(embedding_table(item_index, matrix, has_value), facts, about)


def wanted_pictures(items: pa.Table, item_index: pa.Table) -> Iterator[Wanted]:
    """The items of the index in their order, with the places of their pictures; some at a time are in memory."""
    places = items["image_urls"].take(pc.index_in(item_index["item_id"], items["item_id"]))
    for start in range(0, len(item_index), WANTED_ROWS):
        ids = item_index["item_id"].slice(start, WANTED_ROWS).to_pylist()
        for item_id, pictures in zip(ids, places.slice(start, WANTED_ROWS).to_pylist(), strict=True):
            yield Wanted(item_id, pictures or [])


def is_local(stage: Stage) -> bool:
    """Whether a dataset's metadata lie on this machine, so that its owner says which pictures they name."""
    return urlsplit(stage.dataset.metadata).scheme not in ("http", "https")


def picture_folder(stage: Stage) -> Path | None:
    """Where relative picture paths of a dataset are looked up: as the catalogue says, or beside local metadata."""
    if stage.dataset.images:
        return Path(stage.dataset.images)
    return stage.root.artefact(stage.manifest("raw_metadata")).parent if is_local(stage) else None


def pictures_of(stage: Stage) -> PictureStore:
    """The pictures kept for a dataset."""
    return PictureStore(stage.root.path("item_images", stage.dataset.name))
