"""What `make` calls to mend things: clear away what the dead left, put back what was, make what is out of date."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

from storage.artifacts.data_root import DataRoot
from storage.catalogue import load_catalogue
from storage.errors import InputError

EVERY = "*"  # in place of a dataset's name: all enabled ones


def doctor(_: str) -> None:
    """Report runs whose process is gone as failed, and clear away what they left behind."""
    from dagster import DagsterInstance

    from pipeline.runs.doctor import diagnose

    with DagsterInstance.get() as instance:
        for sentence in diagnose(instance, DataRoot.from_environment()):
            print(sentence)


def restore(name: str) -> None:
    """Put back the generation before of every table of a dataset that has failed a check."""
    from storage.artifacts.previous_version import find_failed_tables, restore_previous
    from storage.files.locks import dataset_lock

    root = DataRoot.from_environment()
    try:
        with dataset_lock(root.work, name, "of make restore"):
            restored = [restore_previous(root, asset, name) for asset in find_failed_tables(root, name)]
    except InputError as error:
        raise InputError(f"Dataset {name}: {error}.") from error
    if not restored:
        raise InputError(f"Dataset {name}: no table has failed a check; there is nothing to put back.")
    for manifest in restored:
        print(f"{manifest.asset} of {name}: the generation before is back ({manifest.rows or 0:,} rows).")
    print(f"What follows is built on it again: `make catch-up DATASET={name}`.")


def rollback(name: str) -> None:
    """Serve the models and recommendations before the ones that are served now."""
    from storage.artifacts.releases import roll_back
    from storage.files.locks import dataset_lock

    root = DataRoot.from_environment()
    try:
        with dataset_lock(root.work, name, "of make rollback"):
            pointer = roll_back(root, name)
    except InputError as error:
        raise InputError(f"Dataset {name}: {error}.") from error
    print(f"{name} is served by release {pointer.version} again; {pointer.withdrawn[-1]} is taken back.")
    if pointer.recommendations:
        print(f"Recommendations: {pointer.recommendations}")
        if rows := rows_of_unavailable(root, name, pointer.recommendations):
            print(
                f"{rows:,} rows of these lists are of items that are not available any more; "
                f"`make run DATASET={name}` makes them anew with the same model."
            )
    else:
        print(f"It has no recommendations yet: `make run DATASET={name}` makes them.")


def rows_of_unavailable(root: DataRoot, dataset: str, lists: str) -> int:
    """How many rows of lists that were made earlier are of items that are not available now."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = root.find_manifest("unavailable_items", dataset)
    if found is None:
        return 0
    gone = pq.read_table(root.artefact(found))["item_id"].combine_chunks()
    batches = pq.ParquetFile(root.root / lists).iter_batches(columns=["item_id"])
    return sum(pc.sum(pc.is_in(batch["item_id"], value_set=gone)).as_py() or 0 for batch in batches)


def catch_up(name: str) -> None:
    """Make what is out of date of a dataset, or of every enabled one: what automation will not ask for by itself."""
    from pipeline.cli.stale_assets import out_of_date
    from pipeline.definitions import defs

    catalogue, failed = load_catalogue(), []
    root = replace(DataRoot.from_environment(), dumps=catalogue.local_files)
    for dataset in catalogue.enabled if name == EVERY else [name]:
        stale = out_of_date(defs, root, dataset)
        if catalogue.dataset(dataset).unavailable and not stale:  # a list that nobody has to be told of when it changes
            subprocess.run(materialize(dataset, ["unavailable_items"]))
            stale = out_of_date(defs, root, dataset)
        print(f"{dataset}: {', '.join(stale) or 'nothing'} is out of date.", flush=True)
        if stale and subprocess.run(materialize(dataset, stale)).returncode:
            failed.append(why_failed(dataset))
    if failed:
        raise InputError("\n".join(failed))


def why_failed(dataset: str) -> str:
    """Why the last run of a dataset failed, in one sentence."""
    from dagster import DagsterInstance

    from pipeline.runs.failure_reason import last_run, reason_of

    with DagsterInstance.get() as instance:
        run_id = last_run(instance, dataset)
        if run_id is None:
            return f"Dataset {dataset}: the run did not start; what Dagster says above tells why."
        reason = reason_of(instance, run_id)
    return reason or (
        f"Dataset {dataset}: run {run_id} ended without recording why; what Dagster says above tells it, and "
        f"`make doctor` clears away what the run left behind."
    )


def materialize(dataset: str, assets: Sequence[str]) -> list[str]:
    """The command that makes some assets of a dataset in one run."""
    selection = " or ".join(f'key:"{asset}"' for asset in assets)
    dagster = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "pipeline.definitions"]
    return [*dagster, "--partition", dataset, "--select", selection]
