"""What it takes to do all of Amazon 2023: `python -m benchmarks.scale.model`.

It prints the tables of docs/scale.md, and with `--write` puts them there.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.scale.constants import BATCH, CONSTANTS, GB, MEASURED, NEGATIVES, Dataset, categories, everything, value
from benchmarks.scale.costs import FLOAT, STAGES, Cost, columns, copies_of_vectors, largest, matrix_gb, vectors_gb

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
MACHINE_CORES = 32
RANKS = (1, 2, 4, 8, 16)


def number(amount: float) -> str:
    """Three digits, or none behind the point from a hundred on; nothing where there is nothing."""
    if not amount:
        return ""
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.3g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def resource_table(what: str) -> str:
    """One resource: a row a stage, a column a dataset; stages that take none of it are left out."""
    found = columns()
    rows = [(stage, [number(getattr(costs[stage], what)) for costs in found.values()]) for stage in STAGES]
    return table(["", *(spaced(name) for name in found)], [(stage, *row) for stage, row in rows if any(row)])


def spaced(name: str) -> str:
    return name.replace("_", " ")


def sizes_table() -> str:
    """Millions, of the raw release and of the 5-core."""
    core = [sum(row.of_core[place] for row in categories()) for place in range(3)]
    sizes = {row.name: [*row.raw, *row.of_core] for row in largest()}
    sizes |= {"34 graphs": [*everything().raw, *core], "one graph": [*everything().raw, *everything().of_core]}
    head = ["millions", "reviews", "users", "items", "interactions trained on", "their users", "their items"]
    return table(head, [(spaced(name), *(number(size / 1e6) for size in row)) for name, row in sizes.items()])


def sharded_table() -> str:
    """Training dealt out by dimensions: GB of one of the processes, and MB that it gives to the sums of a step."""
    rows = [(str(ranks), *(number(gb) for data in shared() for gb in shard_gb(data, ranks))) for ranks in RANKS]
    head = ["processes", *(f"{spaced(data.name)}: {what}" for data in shared() for what in ("kept", "at peak"))]
    scores = number(FLOAT * BATCH * (NEGATIVES + 1) / 1e6)
    gradients = " and ".join(number(vectors_gb(data) * 1e3) for data in shared())
    return f"{table(head, rows)}\n\nMB that a step exchanges: {scores} of scores; all gradients would be {gradients}."


def shared() -> tuple[Dataset, Dataset]:
    """The largest category and the largest graph."""
    return largest()[0], everything()


def shard_gb(data: Dataset, ranks: int) -> tuple[float, float]:
    """GB of a process: weights, gradients and both moments of its dimensions with the whole graph; and at peak."""
    kept = 4 * vectors_gb(data) / ranks + matrix_gb(data)
    return kept, copies_of_vectors() * vectors_gb(data) / ranks + data.train * value("train_pair_bytes") / GB


def exponents_table() -> str:
    stages = MEASURED["scale"]["stages"].items()
    head = ["stage", "size is", "sizes", "core-seconds", "MB", "time", "memory", "ms a million scores"]
    rows = []
    for name, found in stages:
        quadratic = found.get("cpu_seconds_a_million_scores")
        series = [
            ", ".join(f"{x:,.{digits}f}" for x in found[key])
            for key, digits in (("sizes", 0), ("cpu_seconds", 2), ("rss_mb", 0))
        ]
        exponents = [f"{found[f'exponent_{what}']:.2f}" for what in ("time", "memory")]
        rows.append((name, found["size"], *series, *exponents, f"{quadratic * 1e3:.2f}" if quadratic else ""))
    return table(head, rows)


def big_graph_table() -> str:
    big = MEASURED["big_graph"]
    parts = [
        (name, f"{part['seconds']:,.1f}", f"{part['cpu_seconds']:,.1f}", f"{part['peak_rss_mb']:,}")
        for name, part in big["parts"].items()
    ]
    return table(["part", "seconds", "core-seconds", "MB at its peak"], parts)


def constants_table() -> str:
    rows = [(number(one.value), one.unit, one.kind, one.source) for one in CONSTANTS.values()]
    return table(["value", "", "", "from"], rows)


def answer_table() -> str:
    """Both ways to do everything, training apart from the rest."""
    found = columns()
    answers = [list(answer(found[what])) for what in ("34 graphs", "one graph")]
    return table(
        ["", "34 graphs", "one graph"], [(name, one, other) for (name, one), (_, other) in zip(*answers, strict=True)]
    )


def answer(costs: dict[str, Cost]) -> Iterator[tuple[str, str]]:
    """What all stages take together."""
    total, training = sum(costs.values(), start=Cost()), costs["training, an epoch"]
    encoding = [costs["image embeddings"], costs["text embeddings"]]
    on_cores, on_gpus = sum(one.core_hours for one in encoding), sum(one.gpu_hours for one in encoding)
    rest, epochs = total.core_hours - training.core_hours - on_cores, value("epochs")
    hungriest = max(costs, key=lambda stage: costs[stage].memory)
    yield "GB over the network", number(total.network)
    yield "GB on disk", number(total.disk)
    yield "core-hours of all but encoding and training", number(rest)
    yield f"the same in days of {MACHINE_CORES} cores", number(rest / MACHINE_CORES / 24)
    yield "encoding: core-hours, or GPU hours", f"{number(on_cores)}, or {number(on_gpus)}"
    hours = [number(each * epochs) for each in (training.core_hours, training.gpu_hours)]
    yield f"training one model for {epochs:.0f} epochs: core-hours, or GPU hours", ", or ".join(hours)
    yield "GB at peak of one process", f"{number(total.memory)} ({hungriest})"


def tables() -> dict[str, str]:
    """Every table of the page, by its mark there."""
    resources = {what: resource_table(what) for what in ("disk", "core_hours", "gpu_hours", "memory", "network")}
    return {
        "sizes": sizes_table(),
        "exponents": exponents_table(),
        "big graph": big_graph_table(),
        **resources,
        "sharded": sharded_table(),
        "constants": constants_table(),
        "answer": answer_table(),
    }


def filled(page: str) -> str:
    """The page with its tables as they are now; each stands between a mark of its name and one of its end."""
    for name, text in tables().items():
        before, found, after = page.partition(f"<!-- {name} -->\n")
        _, ended, after = after.partition("<!-- end -->")
        if not (found and ended):
            raise ValueError(f"{PAGE.name} has no place for the table {name!r}")
        page = f"{before}{found}{text}\n{ended}{after}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    if parser.parse_args().write:
        PAGE.write_text(filled(PAGE.read_text()))
    for name, text in tables().items():
        print(f"{name}\n\n{text}\n")
    found = {name: {stage: vars(cost) for stage, cost in costs.items()} for name, costs in columns().items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
