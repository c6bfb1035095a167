"""What every stage takes for a dataset of a size, from what was measured.

A figure is a constant of `benchmarks.scale.constants` times a size of the dataset, or what `benchmarks.scale.growth`
measured at its largest size, carried on by the exponent that it found. GB are 10^9 bytes, hours are of
one core or one GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.scale.constants import BATCH, DIM, GB, MEASURED, MIB, Dataset, categories, everything, value

LARGEST, HOUR, FLOAT = 5, 3600, 4
PICTURE_DIM, TEXT_DIM, NEIGHBOURS, VIEWS = 512, 384, 20, 2


@dataclass(frozen=True)
class Cost:
    """What a stage takes: GB left on a disk, hours, peak resident GB of one process, GB over the network."""

    disk: float = 0
    core_hours: float = 0
    gpu_hours: float = 0
    memory: float = 0
    network: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        """One after the other: all adds up but the memory."""
        return Cost(
            self.disk + other.disk,
            self.core_hours + other.core_hours,
            self.gpu_hours + other.gpu_hours,
            max(self.memory, other.memory),
            self.network + other.network,
        )


def grown(stage: str, what: str, size: float) -> float:
    """What `benchmarks.scale.growth` would find at a size: seconds of one core ("time") or GB ("memory")."""
    found = MEASURED["scale"]["stages"][stage]
    last, unit = {"time": ("cpu_seconds", 1.0), "memory": ("rss_mb", MIB / GB)}[what]
    return found[last][-1] * unit * (size / found["sizes"][-1]) ** found[f"exponent_{what}"]


def raw_gb(data: Dataset) -> tuple[float, float]:
    """GB of the reviews and of the metadata before compression."""
    reviews = data.reviews * value("review_bytes") + data.review_tokens * value("review_token_bytes")
    return reviews / GB, data.metadata_tokens * value("metadata_token_bytes") / GB


def download(data: Dataset) -> Cost:
    zipped = sum(raw_gb(data)) / value("gzip_ratio")
    return Cost(disk=zipped, network=zipped)


def ingest(data: Dataset) -> Cost:
    hours = sum(raw_gb(data)) * value("ingest_s") / HOUR
    return Cost(data.reviews * value("review_row_bytes") / GB, hours, memory=value("reading_mb") * MIB / GB)


def core(data: Dataset) -> Cost:
    time, memory = (grown("interactions", what, data.reviews) for what in ("time", "memory"))
    return Cost(data.core_interactions * value("core_row_bytes") / GB, time / HOUR, memory=memory)


def pictures(data: Dataset) -> Cost:
    size = data.core_items * value("picture_bytes") / GB
    return Cost(size, 2 * data.core_items / value("pictures_s") / HOUR, network=size)


def embeddings(dimension: int, rate: str) -> Callable[[Dataset], Cost]:
    """Vectors in the store and again in the table; encoded on processors or on GPUs, of which both hours are given."""

    def cost(data: Dataset) -> Cost:
        on_cores, on_gpu = (data.core_items / value(f"{rate}_{device}_s") / HOUR for device in ("cpu", "gpu"))
        disk = 2 * data.core_items * dimension * value("vector_bytes") / GB
        memory = grown("store_lookup", "memory", data.core_items) * dimension / PICTURE_DIM
        return Cost(disk, on_cores, on_gpu, memory)

    return cost


def matrix_gb(data: Dataset) -> float:
    """The graph: a column and a weight of every train pair, both ways, and where the rows of the nodes start."""
    return (2 * data.train * 2 * FLOAT + data.nodes * FLOAT) / GB


def graph(data: Dataset) -> Cost:
    time, memory = (
        [grown(stage, w, data.core_interactions) for stage in ("splits", "graph")] for w in ("time", "memory")
    )
    return Cost(matrix_gb(data), sum(time) / HOUR, memory=max(memory))


def item_graph(data: Dataset) -> Cost:
    time, memory = (grown("item_graph", what, data.core_items) for what in ("time", "memory"))
    return Cost(VIEWS * data.core_items * NEIGHBOURS * FLOAT / GB, VIEWS * time / HOUR, memory=memory)


def vectors_gb(data: Dataset) -> float:
    return data.nodes * DIM * FLOAT / GB


def copies_of_vectors() -> float:
    """How many times the vectors of all nodes are in memory while the big graph is trained on, all else taken off."""
    big = MEASURED["big_graph"]
    rest = big["parts"]["steps"]["peak_rss_mb"] * MIB - big["train_pairs"] * value("train_pair_bytes")
    return rest / ((big["users"] + big["items"]) * DIM * FLOAT)


def epoch(data: Dataset) -> Cost:
    """One epoch of LightGCN, and the weights: every step propagates over the whole graph."""
    steps, big = data.train / BATCH, MEASURED["big_graph"]
    on_cores, on_gpu = (
        steps * step_s * data.train / big["train_pairs"]
        for step_s in (big["step_cpu_seconds"], MEASURED["big_graph_gpu"]["step_seconds"]["median"])
    )
    memory = copies_of_vectors() * vectors_gb(data) + data.train * value("train_pair_bytes") / GB
    disk = 2 * vectors_gb(data)  # of one fit: the weights, and the final vectors
    return Cost(disk, on_cores / HOUR, on_gpu / HOUR, memory)


def evaluation(data: Dataset) -> Cost:
    """All users of the core, judged among all of its items as those of the big graph were."""
    big = MEASURED["big_graph"]
    evaluation = big["parts"]["evaluation"]
    a_score = evaluation["cpu_seconds"] / (big["judged_users"] * big["items"])
    memory = evaluation["peak_rss_mb"] * MIB / GB * data.nodes / (big["users"] + big["items"])
    return Cost(core_hours=data.core_users * data.core_items * a_score / HOUR, memory=memory)


def recommendations(data: Dataset) -> Cost:
    hours = data.core_users * data.core_items / value("recommended_s") / HOUR
    return Cost(data.core_users * value("recommended_bytes") / GB, hours, memory=evaluation(data).memory)


STAGES: dict[str, Callable[[Dataset], Cost]] = {
    "download": download,
    "ingest": ingest,
    "k-core": core,
    "pictures": pictures,
    "image embeddings": embeddings(PICTURE_DIM, "pictures"),
    "text embeddings": embeddings(TEXT_DIM, "texts"),
    "splits, graph": graph,
    "item graph": item_graph,
    "training, an epoch": epoch,
    "evaluation": evaluation,
    "recommendations": recommendations,
}


def largest() -> list[Dataset]:
    """The categories with the most reviews; items without one are none."""
    return [row for row in categories() if row.name != "Unknown"][:LARGEST]


def columns() -> dict[str, dict[str, Cost]]:
    """What every stage takes, by dataset: the largest categories, all of them apart, all in one graph."""
    named = {row.name: {stage: cost(row) for stage, cost in STAGES.items()} for row in largest()}
    apart = {stage: sum(map(cost, categories()), start=Cost()) for stage, cost in STAGES.items()}
    return named | {"34 graphs": apart, "one graph": {stage: cost(everything()) for stage, cost in STAGES.items()}}
