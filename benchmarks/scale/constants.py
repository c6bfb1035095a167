"""What the model of `benchmarks.scale.model` is computed from, each with where it comes from.

What was measured stands in `measured.json`, the last line of `benchmarks.scale.growth` and `benchmarks.scale.big_graph`
as it was printed, or here with its command. What could not be measured is named as published elsewhere, or as assumed.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent
MEASURED: dict[str, Any] = json.loads((HERE / "measured.json").read_text())
MIB, GB = 2**20, 1e9
DIM, BATCH, NEGATIVES = 64, 2048, 512  # as `benchmarks.scale.stages.lightgcn` trains

RELEASE = "[the release](https://amazon-reviews-2023.github.io/)"
FILES = "[its files](https://huggingface.co/datasets/McAuley-Lab/Amazon-Reviews-2023/tree/main/raw)"
CORES = "[its 5-core](https://amazon-reviews-2023.github.io/data_processing/5core.html)"


@dataclass(frozen=True)
class Constant:
    """A number of the model.

    Attributes:
        kind: whether this project measured it or its code says so, others published it, or it is assumed.
        source: the command that measured it (without `python -m`), or who says so.
    """

    value: float
    unit: str
    kind: Literal["measured", "counted", "published", "assumed"]
    source: str


CONSTANTS = {
    "review_bytes": Constant(223, "bytes of a review besides its texts", "published", f"the example line of {RELEASE}"),
    "review_token_bytes": Constant(
        5.28, "bytes a token of reviews", "published", f"31.4 GB of Home_and_Kitchen in {FILES}, less the above"
    ),
    "metadata_token_bytes": Constant(3.1, "bytes a token of metadata", "published", f"11.8 GB of the same in {FILES}"),
    "gzip_ratio": Constant(
        3.8, "bytes a byte gzipped", "assumed", "English prose; `benchmarks.ingest` has 5.5 on synthetic words"
    ),
    "ingest_s": Constant(
        2 * 4.1 / 0.738, "core-seconds a GB of raw reviews to the core, two busy", "measured", "`benchmarks.ingest`"
    ),
    "reading_mb": Constant(
        491, "MB at peak while reviews are read: 436 of 0.3 M, 480 of 6 M", "measured", "`benchmarks.ingest`"
    ),
    "review_row_bytes": Constant(17.6, "bytes a row of `reviews`", "measured", "`benchmarks.ingest`"),
    "core_row_bytes": Constant(15.4, "bytes a row of `interactions`", "measured", "`benchmarks.ingest`"),
    "picture_bytes": Constant(
        26_478, "bytes a picture of 240 to 500 pixels", "measured", "`du -b` of 600 photographs of products"
    ),
    "pictures_s": Constant(
        500 / 2.2, "pictures/s of a fetcher of 16 places, 50 ms away", "measured", "`benchmarks.fetch --pictures 500`"
    ),
    "pictures_cpu_s": Constant(
        32.8 / 2, "pictures/s a core, ViT-B-32 in bf16", "measured", "`benchmarks.encode --images DIR --limit 192`"
    ),
    "pictures_gpu_s": Constant(
        3200,
        "pictures/s an H200 with 16 cores that decode, ViT-B-32 in bf16; the GPU alone 19,500",
        "measured",
        "`benchmarks.encode --images DIR --limit 20480 --device cuda`",
    ),
    "texts_cpu_s": Constant(
        154 / 2, "texts/s a core, all-MiniLM-L6-v2 in bf16", "measured", "`benchmarks.encode --images DIR --limit 192`"
    ),
    "texts_gpu_s": Constant(
        1634,
        "texts/s an H200, all-MiniLM-L6-v2 in bf16, batches of 64",
        "measured",
        "`benchmarks.encode --images DIR --text-limit 20000 --device cuda`",
    ),
    "vector_bytes": Constant(
        2050 / 512, "bytes a dimension of a vector in the store", "measured", "[embeddings.md](embeddings.md)"
    ),
    "recommended_s": Constant(
        958 * 50_000 / 2, "scores/s a core, ranked and written", "measured", "`benchmarks.recommend`"
    ),
    "recommended_bytes": Constant(
        174.8, "bytes a user of `recommendations`, 20 rows", "measured", "`benchmarks.recommend`"
    ),
    "train_pair_bytes": Constant(
        56,
        "bytes a train pair: the matrix twice 8, pairs 24, their items and the order 16",
        "counted",
        "[models/training/trainer.py](../models/training/trainer.py)",
    ),
    "epochs": Constant(20, "epochs of a training", "assumed", "early stopping decides"),
}


def value(name: str) -> float:
    return CONSTANTS[name].value


@dataclass(frozen=True)
class Dataset:
    """Sizes of a dataset, and of its core."""

    name: str
    users: int
    items: int
    reviews: int
    review_tokens: int
    metadata_tokens: int
    core_users: int
    core_items: int
    core_interactions: int

    @property
    def raw(self) -> tuple[int, int, int]:
        """Reviews, users and items."""
        return self.reviews, self.users, self.items

    @property
    def of_core(self) -> tuple[int, int, int]:
        """The same of the core: interactions, users and items."""
        return self.core_interactions, self.core_users, self.core_items

    @property
    def nodes(self) -> int:
        return self.core_users + self.core_items

    @property
    def train(self) -> float:
        """Train pairs, by the share that the random rule left to train in the big graph."""
        return self.core_interactions * MEASURED["big_graph"]["train_pairs"] / MEASURED["big_graph"]["interactions"]


def categories() -> list[Dataset]:
    """All 33 and the items without one, the most reviewed first; of the latter the core is not published.

    Sizes as the release gives them, to two or three digits; of the items without a category the core is estimated by
    the shares that all others keep together.
    """
    with (HERE / "amazon2023.csv").open() as file:
        rows = [Dataset(row.pop("category"), **{k: int(v) for k, v in row.items()}) for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: -row.reviews)


def everything() -> Dataset:
    """The whole release as one dataset in which nothing is filtered: the upper end of what can be asked."""
    sizes = (54_510_000, 48_190_000, 571_540_000)
    return Dataset("one graph", *sizes, 30_140_000_000, 30_780_000_000, *sizes)
