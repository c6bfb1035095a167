"""What a Ray cluster costs against one process on the same processors: `python -m benchmarks.cluster --pictures 2000`.

The same pictures go from their shards through the same encoder into a store of vectors: once in this process, once by
workers on a cluster that is started on this machine with as many processors. The rate is that from the first shard of
vectors to the last, once everything runs; what comes before it, importing and loading weights, stands apart. Both are
measured in turn, and the ratio within each round. Weights are untrained: they cost the same.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from assets.core.compute import Compute
from assets.core.ray_cluster import on_cluster
from assets.core.settings import ImageEncoderSettings
from assets.features.embed import filling
from assets.features.encoders import image_encoder
from assets.features.ray_embedding import encode_pictures
from benchmarks.slow_server import picture, pictures
from models.device import cores
from storage.artifacts.data_root import DataRoot
from storage.embeddings.store import EmbeddingStore
from storage.images.decoding import decode_picture
from storage.images.store import Attempt, PictureStore

SHARD = 64  # pictures of a batch and vectors of a shard, so that both ways are seen in steps of one size
MAX_PIXELS = 1 << 24
IDENTITY = {"encoder": "benchmark"}

Way = Callable[[DataRoot, PictureStore, list[str]], Iterator[int]]


def stored(folder: Path, count: int) -> tuple[PictureStore, list[str]]:
    """A store of `count` different pictures, and their keys."""
    store, made = PictureStore(folder), pictures()
    found = [decode_picture(picture(number, made), MAX_PIXELS) for number in range(count)]
    store.publish(
        [
            (Attempt(f"https://a.example/{n}", n, None, "ok", one.width, one.height, one.size, one.sha256), one.content)
            for n, one in enumerate(found)
        ]
    )
    return store, [one.sha256 for one in found]


def here(config: ImageEncoderSettings, root: DataRoot, store: PictureStore, keys: list[str]) -> Iterator[int]:
    """Encode in this process."""
    vectors = EmbeddingStore(root, IDENTITY, shard_rows=SHARD)
    fill = filling(lambda new, on_progress: image_encoder(config).encode(store.batches(new, SHARD), on_progress))
    return fill(vectors, keys, lambda *_: None)


def on_ray(config: ImageEncoderSettings, root: DataRoot, store: PictureStore, keys: list[str]) -> Iterator[int]:
    """Encode on a cluster of this machine."""
    work = partial(encode_pictures, store.batches(keys, SHARD), config, root, IDENTITY, SHARD)
    return on_cluster(Compute(engine="ray"), root, work)


def timed(way: Way, store: PictureStore, keys: list[str]) -> tuple[float, float]:
    """Pictures a second from the first shard to the last, and the seconds before."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        seen = [(time.perf_counter(), count) for count in way(DataRoot(Path(folder)), store, keys)]
    (first, before), (last, _) = seen[0], seen[-1]
    done = sum(count for _, count in seen)
    if done != len(keys):
        raise SystemExit(f"{done} of {len(keys)} pictures were encoded")
    return (done - before) / (last - first), first - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoder", default="ViT-B-32")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    if given.pictures <= SHARD:
        parser.error(f"--pictures must be more than the {SHARD} of a shard, for the clock starts with the first")
    asked = {"image_encoder": given.encoder, "image_precision": given.precision}
    config = ImageEncoderSettings.model_validate(asked | {"image_weights": "untrained", "image_batch": SHARD})
    ways: dict[str, Way] = {"local": partial(here, config), "ray": partial(on_ray, config)}
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        store, keys = stored(Path(folder), given.pictures)
        for number in range(given.rounds):
            found: dict[str, float] = {}
            for name, way in ways.items():
                found[f"{name}_per_s"], found[f"{name}_start_s"] = timed(way, store, keys)
            found["ratio"] = found["ray_per_s"] / found["local_per_s"]
            rounds.append(found)
            print(number, {name: round(value, 2) for name, value in found.items()}, f"load {os.getloadavg()[0]:.1f}")
    middle = {name: round(median(one[name] for one in rounds), 3) for name in rounds[0]}
    print(
        f"{given.pictures} pictures, {given.encoder}, {given.precision}, {cores()} processors, medians of {len(rounds)}"
    )
    print(json.dumps({"pictures": given.pictures, "processors": cores(), **middle}))


if __name__ == "__main__":
    main()
