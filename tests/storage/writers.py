"""Everything that is written below the data root, as functions that write a first or a second version of it."""

import hashlib
import random
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from assets.core.asset_result import AssetResult
from assets.core.io_managers import ArraysIOManager
from assets.exports.mmrec import IMAGE, TEXT, write_mmrec
from assets.exports.recbole import write_recbole
from assets.exports.vectors import Side, write_vectors
from storage.artifacts.arrays import NearestItems, write_nearest
from storage.artifacts.data_root import DataRoot
from storage.artifacts.history import Run, append_run
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.saved_models import FileCheckpoint, SavedModel, SavedModels, write_models
from storage.artifacts.tables import Embeddings, write_table
from storage.embeddings.store import EmbeddingStore
from storage.images.attempts import Attempts
from storage.images.decoding import Picture
from storage.images.store import PictureStore
from storage.progress import Progress
from storage.raw.download import download
from storage.raw.rejects import Rejects
from storage.raw.sample import SampleSize, write_sample
from storage.schemas import SCHEMAS

BYTES = 200_000  # of every version at least, however it is compressed

Writer = Callable[[DataRoot, int], object]


def noise(version: int, size: int = BYTES) -> bytes:
    return random.Random(version).randbytes(size)


def numbers(version: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(version).random(shape, dtype=np.float32)


def ids(version: int, count: int) -> list[str]:
    return [hashlib.sha256(f"{version} {n}".encode()).hexdigest() for n in range(count)]


def table(root: DataRoot, version: int) -> None:
    names = ids(version, BYTES // 50)
    columns = [names, names, numbers(version, len(names)), np.arange(len(names), dtype=np.int64)]
    rows = pa.table(columns, schema=SCHEMAS["reviews"])
    write_table(root.path("reviews", "shop", ".parquet"), "reviews", rows)


def rejects(root: DataRoot, version: int) -> None:
    lost = Rejects()
    for line in range(BYTES // 1000):
        lost.add(line, "not UTF-8", noise(version + line, 1000).hex())
    lost.write(root.path("reviews", "shop", ".rejects.parquet"))


def graph(root: DataRoot, version: int) -> None:
    matrix = sp.csr_matrix(numbers(version, 200, 200))
    ArraysIOManager(root).publish("interaction_graph", "shop", AssetResult(matrix))


def nearest(root: DataRoot, version: int) -> None:
    near = np.random.default_rng(version).integers(0, 2**31, (BYTES // 40, 10), dtype=np.int32)
    write_nearest(root.path("item_graph", "shop", ".npz"), NearestItems(near, near))


def model(root: DataRoot, version: int) -> None:
    fit = SavedModel({"user_vectors": numbers(version, BYTES // 256, 64)}, {"loss": "bpr", "seed": 0})
    write_models(root.path("lightgcn", "shop"), SavedModels((fit,)))


def checkpoint(root: DataRoot, version: int) -> None:
    path = root.work / "checkpoints" / "shop" / "lightgcn" / "bpr-0.safetensors"
    FileCheckpoint(path).save({"weights": numbers(version, BYTES // 256, 64)}, "{}")


def vectors(root: DataRoot, version: int) -> None:
    store = EmbeddingStore(root, {"encoder": "tiny"})
    store.add(ids(version, BYTES // 256), numbers(version, BYTES // 256, 64))
    store.flush()


def pictures(root: DataRoot, version: int) -> None:
    attempts = Attempts(PictureStore(root.path("item_images", "shop")))
    content = noise(version)
    attempts.add(f"https://shop.test/{version}", None, Picture(content, hashlib.sha256(content).hexdigest(), 9, 9))
    attempts.flush()


def manifest(root: DataRoot, version: int) -> None:
    root.write_manifest(
        Manifest(
            asset="report", dataset="shop", path="report/shop.html", bytes=0, sha256="", data_version="1",
            recipe=Recipe(code_version="1", settings={}, inputs={}), numbering={},
            facts={"picture": noise(version).hex()}, seconds=0.1,
        )
    )  # fmt: skip


def history(root: DataRoot, version: int) -> None:
    append_run(root, "shop", Run(noise(version).hex(), 1_000 + version, 9, 9, 1.0, None, "0123456789ab"))


def report(root: DataRoot, version: int) -> None:
    root.publish_bytes(root.path("report", "shop", ".html"), noise(version))


def sample(root: DataRoot, version: int) -> None:
    write_sample(root.path("raw_reviews", "shop"), "reviews", SampleSize(users=100, items=60, seed=version))


class _Dump(BaseHTTPRequestHandler):
    """Sends a version of a dump without saying how long it is."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(noise(int(self.path.removeprefix("/"))))

    def log_message(self, *_: object) -> None:
        pass


def downloaded(root: DataRoot, version: int) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Dump)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/{version}"
        target, work = root.path("raw_reviews", "shop") / "dump.jsonl", root.work / "downloads"
        download(url, target, work, 10**9, Progress("raw_reviews shop"))
    finally:
        server.shutdown()
        server.server_close()


def export(write: Callable[..., None], name: str, given: Callable[[int], tuple[Any, ...]]) -> Writer:
    """The writer of an export, which is a folder."""

    def written(root: DataRoot, version: int) -> None:
        with root.publishing(root.path(name, "shop")) as folder:
            folder.mkdir()
            write(folder, *given(version))

    return written


INTERACTIONS = pa.table(
    [[0, 1], [1, 0], ["u", "v"], ["a", "b"], [4.0, 5.0], [1_000, 2_000]], schema=SCHEMAS["interactions"]
)
SPLITS = pa.table([[0, 1], [1, 0], [0, 2]], schema=SCHEMAS["splits"])


def for_mmrec(version: int) -> tuple[Any, ...]:
    names = pa.array(ids(0, BYTES // 512))
    view = Embeddings(numbers(version, len(names), 64), np.ones(len(names), bool), {"encoder": "tiny"})
    return "shop", INTERACTIONS, SPLITS, pa.array(["u", "v"]), names, {IMAGE: view, TEXT: view}


def for_recbole(version: int) -> tuple[Any, ...]:
    names = pa.array(ids(version, BYTES // 60))
    columns = [names, names, names, [[]] * len(names), [1.0] * len(names), names, [[]] * len(names)]
    return "shop", INTERACTIONS, SPLITS, names, pa.table(columns, schema=SCHEMAS["items"])


def for_vectors(version: int) -> tuple[Any, ...]:
    sides = []
    for name, count in (("user", 2), ("item", BYTES // 256)):
        known = np.ones(count, bool)
        sides.append(Side(name, pa.array(ids(0, count)), numbers(version, count, 64), known))
    return *sides, "dot", {"model": "lightgcn"}


WRITERS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (
        table, rejects, graph, nearest, model, checkpoint, vectors, pictures, manifest, history, report, sample,
        downloaded,
    )
} | {
    "mmrec": export(write_mmrec, "mmrec_export", for_mmrec),
    "recbole": export(write_recbole, "recbole_export", for_recbole),
    "vectors_export": export(write_vectors, "vectors_export", for_vectors),
}  # fmt: skip
