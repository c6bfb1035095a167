"""items, item_index → item_images → image_embeddings; items, item_index → text_embeddings."""

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset import IMMATERIAL, Stage, dataset_asset
from assets.settings import ImageEncoderSettings, PictureSettings, TextEncoderSettings
from models.encoders.weights import UNTRAINED, local_path
from storage.fetch import FetchLimits, Wanted, fetch_pictures
from storage.io_managers import Made
from storage.pictures import PictureStore
from storage.publish import sha256_of
from storage.tables import embedding_table, read_table


@dataset_asset(group="features", kinds={"jpeg", "parquet"}, code_version="1", deps=["raw_metadata"])
def item_images(stage: Stage, config: PictureSettings, items: pa.Table, item_index: pa.Table) -> Made:
    """The first usable picture of every item, kept by its content; an item without one says why."""
    urls = dict(zip(items["item_id"].to_pylist(), items["image_urls"].to_pylist(), strict=True))
    wanted = [
        Wanted(item_id, [url for places in urls.get(item_id, []) for url in places])
        for item_id in item_index["item_id"].to_pylist()
    ]
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
