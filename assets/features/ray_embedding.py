"""Pictures fetched and embeddings made on a Ray cluster, by the fetcher and the encoders that a single machine uses.

Workers write shards into the stores of pictures and of vectors, which all nodes share: what is fetched or encoded is
kept by whoever did it, and only counts and the rows of a table come back. A node that is lost takes with it what its
workers had not written yet; that is done again elsewhere.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.core.asset_context import AssetContext
from assets.core.ray_cluster import Shares, on_cluster
from assets.core.settings import ImageEncoderSettings, TextEncoderSettings
from assets.features.embed import Filling, OnProgress
from assets.features.encoders import image_encoder, text_encoder
from assets.features.item_pictures import select_pictures
from models.torch_warnings import allow_read_only
from storage.artifacts.data_root import DataRoot
from storage.embeddings.store import EmbeddingStore, publish_vectors
from storage.errors import OutOfReachError
from storage.images.attempts import Attempts
from storage.images.client import FetchLimits
from storage.images.fetch import Again, Fetched, Source, fetch_pictures
from storage.images.store import PictureBatch, PictureStore
from storage.progress import Progress

SHARD_VECTORS = (256, 4096)  # at least and at most, a 64th of the work in between
BLOCKS_A_FETCHER = 8
PUBLISHERS = 2
SEEN_WITHIN_S = 120  # a folder in a network shows what others wrote a minute late, or so

logger = logging.getLogger(__name__)

Rows = dict[str, Any]  # a block of Ray Data: columns as NumPy arrays


def fetch_on_cluster(
    context: AssetContext,
    places: pa.Table,
    source: Source,
    folder: Path,
    limits: FetchLimits,
    progress: Progress,
    pictures_per_item: int,
    again: Again,
) -> Fetched:
    """What `storage.images.fetch.fetch_pictures` does, by several fetchers that share the limits.

    Each takes a part of the items, and together they ask a host no more at a time than one would. A URL that items of
    two parts share may be asked once by either, and a pause that a host asks for is kept by whoever it was told.

    Args:
        places: see `assets.features.item_pictures.places_of`.
        folder: of the store of pictures.
    """
    work = partial(fetch_parts, places, source, folder, limits, pictures_per_item, again)
    parts = []
    for part in on_cluster(context.compute, context.root, work):
        parts.append(part)
        progress.advance(len(pc.unique(part.table["item_id"])))
    table = pa.concat_tables([part.table for part in parts])
    item = pc.index_in(table["item_id"], value_set=places["item_id"])
    table = table.append_column("item", item).sort_by([("item", "ascending"), ("position", "ascending")])
    return Fetched(
        table.drop_columns("item"), sum(part.asked for part in parts), sum(part.from_store for part in parts)
    )


def fetch_parts(
    places: pa.Table,
    source: Source,
    folder: Path,
    limits: FetchLimits,
    pictures_per_item: int,
    again: Again,
    shares: Shares,
) -> Iterator[Fetched]:
    from ray.data import ActorPoolStrategy, from_arrow

    fetchers = min(shares.workers, limits.most_fetchers)
    size = max(1, -(-len(places) // (fetchers * BLOCKS_A_FETCHER)))
    parts = [places.slice(start, size).combine_chunks() for start in range(0, len(places), size)]
    limits = limits.shared_by(fetchers)
    fetched = from_arrow(parts).map_batches(
        Fetcher,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(source, folder, limits, pictures_per_item, again),
        compute=ActorPoolStrategy(size=fetchers),
        num_cpus=shares.worker_cpus,
    )
    for rows in fetched.iter_batches(batch_size=None, batch_format="numpy"):
        yield from rows["fetched"]


class Fetcher:
    """Fetches the pictures of one part of the items after another."""

    def __init__(self, source: Source, folder: Path, limits: FetchLimits, pictures_per_item: int, again: Again):
        self.source, self.folder, self.limits = source, folder, limits
        self.pictures_per_item, self.again = pictures_per_item, again

    def __call__(self, part: pa.Table) -> Rows:
        attempts = Attempts(PictureStore(self.folder))  # anew, for others have written meanwhile
        progress = Progress("item_images", len(part), "items")
        wanted = select_pictures(part)
        given = (wanted, self.source, attempts, self.limits, progress, self.pictures_per_item, self.again)
        return {"fetched": _objects([fetch_pictures(*given)])}


def pictures_on_cluster(context: AssetContext, config: ImageEncoderSettings, pictures: PictureStore) -> Filling:
    """Fills the store of vectors with what an encoder of pictures says, on a cluster."""

    def fill(store: EmbeddingStore, new: Sequence[str], on_progress: OnProgress) -> Iterator[int]:
        batches = pictures.batches(new, config.image_batch)
        work = partial(encode_pictures, batches, config, context.root, store.identity, shard_vectors(len(new)))
        return _counted(store, new, on_cluster(context.compute, context.root, work), on_progress)

    return fill


def texts_on_cluster(
    context: AssetContext,
    config: TextEncoderSettings,
    longest_first: Callable[[Sequence[str]], tuple[list[str], list[str]]],
) -> Filling:
    """Fills the store of vectors with what an encoder of texts says, on a cluster.

    Args:
        longest_first: keys in the order in which they are encoded, and their texts.
    """

    def fill(store: EmbeddingStore, new: Sequence[str], on_progress: OnProgress) -> Iterator[int]:
        from models.encoders.sbert import BATCHES_A_CHUNK

        keys, texts = longest_first(new)
        size = config.text_batch * BATCHES_A_CHUNK
        chunks = [(keys[start : start + size], texts[start : start + size]) for start in range(0, len(keys), size)]
        work = partial(encode_texts, chunks, config, context.root, store.identity, shard_vectors(len(new)))
        return _counted(store, new, on_cluster(context.compute, context.root, work), on_progress)

    return fill


def shard_vectors(count: int) -> int:
    """Vectors of a shard: few enough that progress shows and little is lost, enough that files stay few."""
    least, most = SHARD_VECTORS
    return min(max(count // 64, least), most)


def _counted(
    store: EmbeddingStore, new: Sequence[str], counts: Iterator[int], on_progress: OnProgress
) -> Iterator[int]:
    """Pass on how many vectors workers have published, and know all of them in the end.

    Raises:
        OutOfReachError: some are not to be seen from here.
    """
    done = 0
    for count in counts:
        done += count
        on_progress(count)
        yield count
    if without := len(new) - done:
        logger.warning(f"{without} of {len(new)} have no vector: they cannot be decoded, or theirs is not finite")
        on_progress(without)
    last = time.monotonic() + SEEN_WITHIN_S
    store.look_again()
    while (unseen := len(store.new(new)) - without) > 0:
        if time.monotonic() > last:
            raise OutOfReachError(
                f"{unseen} vectors that other nodes of the Ray cluster have published below REC_DATA are not seen here "
                f"after {SEEN_WITHIN_S} s; run it again when the folder that they share shows the same everywhere"
            )
        time.sleep(1)
        store.look_again()


def encode_pictures(
    batches: Sequence[PictureBatch],
    config: ImageEncoderSettings,
    root: DataRoot,
    identity: Mapping[str, object],
    shard: int,
    shares: Shares,
) -> Iterator[int]:
    """Decode on processors, encode where the encoders are, and publish shards; yields the vectors of each shard."""
    import ray
    from ray.data import ActorPoolStrategy, from_items

    preprocessing = ray.get(ray.remote(num_cpus=0)(_preprocessing).remote(config))
    rows = from_items([{"batch": batch} for batch in batches], override_num_blocks=len(batches))
    decoded = rows.map_batches(
        PictureDecoder,
        batch_size=1,
        fn_constructor_args=(preprocessing,),
        compute=ActorPoolStrategy(size=shares.workers),
        num_cpus=shares.decoder_cpus,
    )
    encoded = decoded.map_batches(
        PictureEncoder,
        batch_size=None,
        fn_constructor_args=(config, shares.threads),
        compute=ActorPoolStrategy(size=shares.encoders),
        num_cpus=shares.encoder_cpus,
        num_gpus=shares.encoder_gpus,
    )
    yield from _published(encoded, root, identity, shard)


def encode_texts(
    chunks: Sequence[tuple[list[str], list[str]]],
    config: TextEncoderSettings,
    root: DataRoot,
    identity: Mapping[str, object],
    shard: int,
    shares: Shares,
) -> Iterator[int]:
    """Encode chunk by chunk where the encoders are, and publish shards; yields the vectors of each shard."""
    from ray.data import ActorPoolStrategy, from_items

    rows = from_items([{"chunk": chunk} for chunk in chunks], override_num_blocks=len(chunks))
    encoded = rows.map_batches(
        TextChunkEncoder,
        batch_size=1,
        fn_constructor_args=(config, shares.threads),
        compute=ActorPoolStrategy(size=shares.encoders),
        num_cpus=shares.encoder_cpus,
        num_gpus=shares.encoder_gpus,
    )
    yield from _published(encoded, root, identity, shard)


def _published(encoded: Any, root: DataRoot, identity: Mapping[str, object], shard: int) -> Iterator[int]:
    from ray.data import TaskPoolStrategy

    publish = partial(_publish, root, identity)
    shards = encoded.map_batches(publish, batch_size=shard, num_cpus=0, compute=TaskPoolStrategy(size=PUBLISHERS))
    for rows in shards.iter_batches(batch_size=None):
        yield int(rows["kept"].sum())


def _publish(root: DataRoot, identity: Mapping[str, object], rows: Rows) -> Rows:
    return {"kept": np.array([publish_vectors(root, identity, rows["key"].tolist(), rows["vector"])])}


class PictureDecoder:
    """Makes the pixels of a batch of pictures."""

    def __init__(self, preprocessing: Any):
        self.preprocessing = preprocessing

    def __call__(self, rows: Rows) -> Iterator[Rows]:
        from models.encoders.pixels import decode

        for batch in rows["batch"]:
            keys, pixels, _ = decode(batch, self.preprocessing)
            if keys:
                yield {"key": np.array(keys), "pixels": pixels.numpy()}


class PictureEncoder:
    """Makes the vectors of a batch of pixels."""

    def __init__(self, config: ImageEncoderSettings, threads: int):
        _take_threads(threads)
        self.encoder = image_encoder(config)

    def __call__(self, rows: Rows) -> Rows:
        import torch

        from models.encoders.pixels import Decoded

        pixels = torch.from_numpy(rows["pixels"])
        return {"key": rows["key"], "vector": self.encoder.vectors(Decoded(rows["key"].tolist(), pixels, 0))}


class TextChunkEncoder:
    """Makes the vectors of a chunk of texts."""

    def __init__(self, config: TextEncoderSettings, threads: int):
        _take_threads(threads)
        self.encoder = text_encoder(config)

    def __call__(self, rows: Rows) -> Iterator[Rows]:
        for keys, texts in rows["chunk"]:
            vectors = np.concatenate([vectors for _, vectors in self.encoder.encode(texts, lambda *_: None)])
            yield {"key": np.array(keys), "vector": vectors}


def _preprocessing(config: ImageEncoderSettings) -> Any:
    from models.encoders.clip import preprocessing_of

    return preprocessing_of(config.image_encoder, config.image_weights)


def _take_threads(threads: int) -> None:
    import torch

    allow_read_only()
    torch.set_num_threads(threads)


def _objects(values: Sequence[object]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
