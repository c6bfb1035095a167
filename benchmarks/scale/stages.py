"""The stages whose growth is measured: each makes an input of a size on disk, and times the project's own work on it.

Interactions grow with users and items in proportion, so that the mean degrees stay: 10 interactions a user and 67 an
item, as in the 5-core of 2023-Home_and_Kitchen; in the raw reviews 10.5 a user and 12 an item, as in all of 2023.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from assets.core.settings import CoreSettings
from assets.features.embed import BLOCK_ITEMS
from assets.interactions.build_core import core_interactions
from assets.interactions.splits import TEST, TRAIN, Parts, by_pair, random_split
from assets.training.held_out import HeldOut
from benchmarks.resource_usage import now, timed
from benchmarks.scale.synthetic import heavy_tailed, power_law_pairs
from models.config import RecommenderConfig, TrainerConfig
from models.ranking.ranking import Vectors, matrix_of, rank
from models.recommenders.item_graph import item_graph, nearest_items
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import TrainSet, fit
from storage.artifacts.data_root import DataRoot
from storage.artifacts.tables import read_coded_reviews, write_table
from storage.embeddings.store import SHARD_ROWS, EmbeddingStore
from storage.schemas import SCHEMAS

USERS_AN_INTERACTION, ITEMS_AN_INTERACTION = 1 / 10, 3 / 200
USERS_A_REVIEW, ITEMS_A_REVIEW = 2 / 21, 1 / 12
DIM, TEXT_DIM, PICTURE_DIM = 64, 384, 512
CUTOFFS = (20, 50)
NEIGHBOURS, KNN = 20, 10
JUDGED_USERS = 4096
STEPS = 12
STORE = {"encoder": "synthetic"}
BATCH_ROWS = 1 << 18


@dataclass(frozen=True)
class Stage:
    """One stage at any size.

    Attributes:
        unit: what its size counts; once: its size at 1×.
        make: writes the input of a size into a folder.
        measure: reads the input and gives what the work took, as `benchmarks.resource_usage.now` counts.
        scores: of a size, for work that is quadratic by nature.
    """

    name: str
    unit: str
    once: int
    make: Callable[[int, Path], None]
    measure: Callable[[Path], np.ndarray]
    scores: Callable[[int], int] | None = None


class Enough(Exception):  # noqa: N818
    """As many steps were taken as were wanted."""


def seconds_of_steps(recommender: RecommenderConfig, training: TrainerConfig, data: TrainSet, steps: int) -> np.ndarray:
    """What each of the first steps of an epoch took, as the trainer takes them: float64 [steps, 2], wall and processor.

    The first one comes with what is set up once.
    """
    moments = [now()]

    def after_step(*_: object) -> None:
        moments.append(now())
        if len(moments) > steps:
            raise Enough

    hook = register_optimizer_step_post_hook(after_step)
    try:
        fit(recommender, training, data, lambda *_: 0.0)
    except Enough:
        return np.diff(np.array(moments), axis=0)
    finally:
        hook.remove()
    raise ValueError(f"an epoch of {len(data.user):,} pairs has fewer than {steps} steps")


def lightgcn(threads: int, device: str = "cpu") -> tuple[RecommenderConfig, TrainerConfig]:
    """Two layers, d = 64, softmax with 512 shared negatives, batches of 2048."""
    training = {"loss": "softmax", "batch_size": 2048, "shared_negatives": 512, "threads": threads, "device": device}
    return RecommenderConfig.model_validate({"layers": 2, "dim": DIM}), TrainerConfig.model_validate(training)


def make_reviews(size: int, folder: Path) -> None:
    users, items = round(size * USERS_A_REVIEW), round(size * ITEMS_A_REVIEW)
    rng = np.random.default_rng(1)
    order = rng.permutation(size)
    user, item = (side[order] for side in power_law_pairs(size, users, items))
    ids = [pa.array([f"{n:0{width}X}" for n in range(kinds)]) for kinds, width in ((users, 28), (items, 10))]

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, size, BATCH_ROWS):
            part = slice(first, first + BATCH_ROWS)
            names = [of.take(pa.array(codes[part])) for of, codes in zip(ids, (user, item), strict=True)]
            rating = pa.array(rng.integers(1, 6, len(user[part])).astype(np.float32))
            time = pa.array(rng.integers(1_200_000_000_000, 1_700_000_000_000, len(user[part])))
            yield pa.record_batch([*names, rating, time], schema=SCHEMAS["reviews"])

    write_table(folder / "reviews.parquet", "reviews", pa.RecordBatchReader.from_batches(SCHEMAS["reviews"], batches()))


def measure_interactions(folder: Path) -> np.ndarray:
    def work() -> None:
        core = core_interactions(read_coded_reviews(folder / "reviews.parquet"), CoreSettings.model_validate({}))
        write_table(folder / "interactions.parquet", "interactions", core.stream())

    return timed(work)


def make_parts(size: int, folder: Path) -> None:
    user, item = power_law_pairs(size, round(size * USERS_AN_INTERACTION), round(size * ITEMS_AN_INTERACTION))
    np.save(folder / "parts.npy", np.stack([user, item, random_split(user, 0)]).astype(np.int32))


def read_parts(folder: Path) -> Parts:
    user, item, split = np.load(folder / "parts.npy")
    return Parts(user, item, split.astype(np.int8), int(user.max()) + 1, int(item.max()) + 1)


def graph_of(parts: Parts) -> sp.csr_matrix:
    """What the asset `interaction_graph` makes."""
    return normalised_adjacency(*parts.pairs(TRAIN), parts.users, parts.items)


def measure_splits(folder: Path) -> np.ndarray:
    parts = read_parts(folder)

    def work() -> None:
        order = by_pair(parts.user, parts.item)
        split = np.empty_like(parts.split)
        split[order] = random_split(parts.user[order], 0)

    return timed(work)


def measure_graph(folder: Path) -> np.ndarray:
    parts = read_parts(folder)
    return timed(lambda: graph_of(parts))


def make_train_set(size: int, folder: Path) -> None:
    make_parts(size, folder)
    sp.save_npz(folder / "graph.npz", graph_of(read_parts(folder)), compressed=False)


def measure_step(folder: Path) -> np.ndarray:
    parts = read_parts(folder)
    data = TrainSet(*parts.pairs(TRAIN), parts.users, parts.items, sp.load_npz(folder / "graph.npz"))
    return np.median(seconds_of_steps(*lightgcn(1), data, STEPS)[2:], axis=0)


def make_judged(items: int, folder: Path) -> None:
    make_parts(round(items / ITEMS_AN_INTERACTION), folder)
    parts, rng = read_parts(folder), np.random.default_rng(0)
    for side, count in (("users", parts.users), ("items", parts.items)):
        np.save(folder / f"{side}.npy", rng.standard_normal((count, DIM), np.float32))


def measure_evaluation(folder: Path) -> np.ndarray:
    parts, scorer = read_parts(folder), read_scorer(folder)

    def work() -> None:
        test = HeldOut.of(parts, TEST)
        replace(test, users=test.users[:JUDGED_USERS]).metrics(scorer, CUTOFFS)

    return timed(work)


def measure_full_ranking(folder: Path) -> np.ndarray:
    parts, scorer = read_parts(folder), read_scorer(folder)
    seen = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)
    return timed(lambda: rank(scorer, np.arange(parts.users), seen, max(CUTOFFS)))


def read_scorer(folder: Path) -> Vectors:
    torch.set_num_threads(1)
    return Vectors(np.load(folder / "users.npy"), np.load(folder / "items.npy"))


def make_texts(size: int, folder: Path) -> None:
    """Vectors like those of texts: around the centres of groups of 50 on average, of very different sizes."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(size // 50, 1), TEXT_DIM), np.float32)
    group = heavy_tailed(size, len(centres), rng)
    np.save(folder / "texts.npy", centres[group] + rng.standard_normal((size, TEXT_DIM), np.float32))


def nearest_seconds(folder: Path, exact_up_to: int) -> np.ndarray:
    matrix = np.load(folder / "texts.npy")
    torch.set_num_threads(1)
    there = np.ones(len(matrix), bool)
    return timed(lambda: item_graph(nearest_items(matrix, there, NEIGHBOURS, exact_up_to), KNN))


def measure_item_graph(folder: Path) -> np.ndarray:
    return nearest_seconds(folder, 0)


def measure_exact_neighbours(folder: Path) -> np.ndarray:
    return nearest_seconds(folder, sys.maxsize)


def keys_of(size: int) -> list[str]:
    """As many SHA-256s."""
    return [hashlib.sha256(number.to_bytes(8)).hexdigest() for number in range(size)]


def make_store(size: int, folder: Path) -> None:
    store, rng, keys = EmbeddingStore(DataRoot(folder), STORE), np.random.default_rng(0), keys_of(size)
    for first in range(0, size, SHARD_ROWS):
        part = keys[first : first + SHARD_ROWS]
        store.add(part, rng.standard_normal((len(part), PICTURE_DIM), np.float32))
    store.flush()


def measure_lookup(folder: Path) -> np.ndarray:
    """Opening the store, which verifies every vector, and asking for all it has and a thousandth more."""
    stored = sum(len(shard.vectors) for shard in EmbeddingStore(DataRoot(folder), STORE)._shards)
    wanted = np.random.default_rng(0).permutation(keys_of(stored + stored // 1000)).tolist()

    def work() -> None:
        store = EmbeddingStore(DataRoot(folder), STORE)
        place = store.find(wanted)
        assert len(store.new(wanted)) == stored // 1000
        for first in range(0, len(wanted), BLOCK_ITEMS):
            store.take(place[first : first + BLOCK_ITEMS])

    return timed(work)


def square_of_items(size: int) -> int:
    return size * size


def users_times_items(items: int) -> int:
    return round(round(items / ITEMS_AN_INTERACTION) * USERS_AN_INTERACTION) * items


STAGES = (
    Stage("interactions", "reviews", 1_000_000, make_reviews, measure_interactions),
    Stage("splits", "interactions", 1_000_000, make_parts, measure_splits),
    Stage("graph", "interactions", 2_500_000, make_parts, measure_graph),
    Stage("item_graph", "items", 10_000, make_texts, measure_item_graph),
    Stage("training_step", "interactions", 1_000_000, make_train_set, measure_step),
    Stage("evaluation", "items, for 4,096 users", 15_000, make_judged, measure_evaluation),
    Stage("store_lookup", "vectors", 65_536, make_store, measure_lookup),
    Stage("full_ranking", "items, for 6.7 users each", 1_500, make_judged, measure_full_ranking, users_times_items),
    Stage("exact_neighbours", "items", 3_000, make_texts, measure_exact_neighbours, square_of_items),
)
