"""What `make` calls around a run: prepare Dagster's home, check what a run needs, say what came of it, tidy up.

Each ends with one sentence, on standard error and with exit status 1, where something cannot be used.
"""

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.cli import recover
from pipeline.cli.instance import initialise, instance_settings, is_in_postgres
from storage.artifacts.data_root import DataRoot
from storage.artifacts.variants import figures, find_variants, select_variants
from storage.artifacts.variants import forget as forget_variant
from storage.catalogue import Dataset, load_catalogue
from storage.environment import PROJECT_ROOT, path_named
from storage.errors import InputError
from storage.files.atomic import publish_bytes
from storage.files.locks import dataset_lock
from storage.raw.sources import check_local

SHOWN = {("recall", 10): "Recall@10", ("recall", 20): "Recall@20", ("ndcg", 10): "NDCG@10", ("ndcg", 20): "NDCG@20"}


def home(_: str) -> None:
    """Make DAGSTER_HOME ready for use, once, whoever else is doing the same right now.

    The settings of a home that is not the project's own are left alone.
    """
    settings = instance_settings()
    folder = path_named("DAGSTER_HOME")
    if folder is None:
        raise InputError("DAGSTER_HOME names no folder; `make` sets it.")
    os.environ["DAGSTER_HOME"] = str(folder)  # Dagster takes no other
    own = folder == PROJECT_ROOT / ".dagster"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "dagster.yaml"
        if not file.exists() or (own and file.read_text() != settings):
            publish_bytes(file, settings.encode())
        if is_in_postgres() or not (folder / "history").exists():
            initialise()
    variables = PROJECT_ROOT / ".env"
    if own or variables.exists():  # also one that an earlier version has written
        variables.write_text(variables_of(PROJECT_ROOT / ".dagster"))


def variables_of(home: Path) -> str:
    """The file `.env` that bare `dagster` commands read, whose variables yield to those that are set already.

    Dagster lets such a file win over the environment: with a plain value, a run of another DAGSTER_HOME would be
    recorded in this one, and nobody would find it.
    """
    return f"DAGSTER_HOME=${{DAGSTER_HOME:-{home}}}\nGOMP_SPINCOUNT=${{GOMP_SPINCOUNT:-1000}}\n"


def check(name: str) -> None:
    """Refuse a run that lacks its dataset, its files or its weights, before any expensive work."""
    from models.errors import ModelError

    try:
        dataset = load_catalogue().dataset(name)
        from assets.core.compute import Compute
        from assets.core.effective_settings import require_possible, resolve_settings
        from assets.core.settings import ALL_SETTINGS

        check_local(dataset, "reviews")
        check_local(dataset, "metadata")
        if dataset.images and not Path(dataset.images).is_dir():
            raise InputError(f"'images' names {dataset.images}, and there is no such folder")
        if dataset.unavailable and not Path(dataset.unavailable).is_file():
            raise InputError(f"'unavailable' names {dataset.unavailable}, and there is no such file")
        for kind in ALL_SETTINGS:
            resolve_settings(kind, dataset, {})
        require_possible(dataset)
        Compute.from_environment()
        root = DataRoot.from_environment()
        root.require_folders()
        root.pull(name, ["item_index"])
        _check_devices(dataset)
        _check_weights(dataset)
        if index := root.find_manifest("item_index", name):
            print(f"{name}, by the last run: {index.facts.get('outlook', 'no outlook yet')}.")
    except (InputError, ModelError) as error:
        raise InputError(f"Dataset {name}: {error}.") from error


def check_config(given: str) -> None:
    """Refuse the config of a run that names an asset or a setting that is not there, before the run begins."""
    from assets.core.effective_settings import require_valid
    from pipeline.definitions import defs
    from pipeline.resources import require_known

    try:
        config = json.loads(given)
        ops = config.get("ops", {})
        if config.keys() - {"ops", "resources", "execution", "loggers"}:
            raise ValueError("a key of another place")
        settings = {asset: op.get("config", {}) for asset, op in ops.items()}
    except (ValueError, AttributeError):
        raise InputError('The config is no JSON of the form {"ops": {ASSET: {"config": {SETTING: VALUE}}}}.') from None
    try:
        require_known(ops, {key.path[-1] for key in defs.resolve_asset_graph().materializable_asset_keys}, ())
        for asset, values in settings.items():
            require_valid(asset, values)
    except InputError as error:
        raise InputError(f"The run does not begin: {error}.") from None


def _check_weights(dataset: Dataset) -> None:
    """Load what is named on a hub; a path or `untrained` is not worth the seconds."""
    from assets.core.effective_settings import resolve_settings
    from assets.core.settings import ImageEncoderSettings, TextEncoderSettings
    from models.encoders.weights import UNTRAINED, local_path, require_architecture

    image, _ = resolve_settings(ImageEncoderSettings, dataset, {})
    text, _ = resolve_settings(TextEncoderSettings, dataset, {})
    require_architecture(image.image_encoder)
    if image.image_weights != UNTRAINED and local_path(image.image_weights, "image_weights") is None:
        from models.encoders.clip import checkpoint_of

        checkpoint_of(image.image_encoder, image.image_weights)
    if local_path(text.text_encoder, "text_encoder") is None:
        from models.encoders.sbert import TextEncoder

        TextEncoder(text.text_encoder, "cpu", text.text_batch)


def _check_devices(dataset: Dataset) -> None:
    """Look for a device that a setting names; that asks for torch, which is not worth the seconds otherwise."""
    device = dataset.settings.get("device", "auto")
    if device not in ("auto", "cpu"):
        from models.device import device_of

        device_of(str(device))


def show(name: str) -> None:
    """Print the leaderboard of a dataset as a table, what its checks found, what is served, and where the report lies.

    Of a variant, where that is what the last run made.
    """
    root = replace(DataRoot.from_environment(), variant=_variant_of_last_run(name))
    root.pull(name, ["leaderboard", "report", "model_choice", "current"])
    board = pq.read_table(root.artefact(root.manifest("leaderboard", name))).to_pandas()
    best = board[(board["stratum"] == "all") & (board["block"] == "open") & (board["status"] == "ok")].copy()
    best["shown"] = [SHOWN.get(key, "") for key in zip(best["metric"], best["k"], strict=True)]
    about = best.groupby("model")[["loss", "score", "n_users", "train_s"]].first()
    values = best[best["shown"] != ""].pivot_table(index="model", columns="shown", values="value")  # means over seeds
    table = about.join(values[list(SHOWN.values())]).sort_values("NDCG@20", ascending=False)
    rule = best["split_rule"].iloc[0]
    print(
        f"\nLeaderboard of {root.name(name)} (split {rule}): evaluated models, each under the loss best on validation\n"
    )
    print(table.to_string(float_format="{:.4f}".format, formatters={"train_s": "{:.1f}".format}))
    for model, status in board[board["status"] != "ok"][["model", "status"]].to_numpy():
        print(f"{model}: {status}")
    for on_progress in _failed_checks(name):
        print(f"\n{on_progress}")
    print(f"\n{'Would be served' if root.variant else 'Served'}: {root.manifest('current', name).facts['choice']}.")
    if root.variant:
        print(f"This is the variant {root.name(name)}; what is published and served stays as it was.")
    print(f"Report: {root.artefact(root.manifest('report', name))}")


def variants(name: str) -> None:
    """Print the variants of a dataset beside what is published: their settings, and what they came to."""
    root = DataRoot.from_environment()
    rows = [("published", figures(root, None, name), "")]
    rows += [(one.key, figures(root, one, name), one.in_words()) for one in find_variants(root, name)]
    for key, found, settings in rows:
        known = {"NDCG@20 on validation": found["validation"], "Recall@20 on test": found["recall"]}
        values = "".join(f", {what} {value:.4f}" for what, value in known.items() if value is not None)
        served = found["served"] or "the model as published"
        print(f"{key}: {served}{values}; {len(found['made'])} assets. {settings}".rstrip())
    if len(rows) == 1:
        print(f"There is no variant of {name}: a run with settings of its own makes one.")


def forget(name: str) -> None:
    """Delete a variant of a dataset (DATASET@VARIANT), or all of them (DATASET)."""
    dataset, _, variant = name.partition("@")
    root = DataRoot.from_environment()
    try:
        with dataset_lock(root.work, dataset, "of make forget"):
            for one in select_variants(root, dataset, variant or None):
                forget_variant(root, one)
                print(f"{one.key} is deleted.")
    except InputError as error:
        raise InputError(f"Dataset {dataset}: {error}.") from error


def _variant_of_last_run(name: str) -> str:
    """The variant that the last run of a dataset made; "" where that was none."""
    from dagster import DagsterInstance

    from pipeline.runs.failure_reason import last_run
    from pipeline.tags import VARIANT

    with DagsterInstance.get() as instance:
        run_id = last_run(instance, name)
        run = instance.get_run_by_id(run_id) if run_id else None
    return run.tags.get(VARIANT, "").partition("@")[2] if run else ""


def why(name: str) -> None:
    """Print in one sentence why the last run failed."""
    raise InputError(recover.why_failed(name))


def collect(_: str) -> None:
    """Delete the embedding vectors that no published table names, unless a run is live."""
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

    from storage.embeddings.garbage_collect import collect_vectors

    live = [DagsterRunStatus[name] for name in ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")]
    with DagsterInstance.get() as instance:
        runs = instance.get_run_records(RunsFilter(statuses=live))
    if runs:
        raise InputError(
            f"Nothing was collected: run {runs[0].dagster_run.run_id} is live; wait for it, "
            "or `make doctor` if its process is gone."
        )
    found = collect_vectors(DataRoot.from_environment())
    print(f"{found.deleted:,} vectors deleted ({found.freed_bytes:,} bytes), {found.kept:,} kept.")


def _failed_checks(name: str) -> list[str]:
    """What the checks say that did not pass in the last run of a dataset, a sentence each."""
    from dagster import DagsterInstance

    from pipeline.runs.failure_reason import find_failed_checks, last_run, sentence_of

    with DagsterInstance.get() as instance:
        run_id = last_run(instance, name)
        checks = find_failed_checks(instance, run_id) if run_id else []
    return [sentence_of(check) for check in checks]


COMMANDS: dict[str, Callable[[str], None]] = {
    "home": home, "check": check, "show": show, "why": why, "collect": collect,
    "variants": variants, "forget": forget,
    "doctor": recover.doctor, "restore": recover.restore, "rollback": recover.rollback, "catch-up": recover.catch_up,
}  # fmt: skip


OF_ONE = {"restore", "rollback", "catch-up", "variants", "forget"}


def require_dataset(name: str) -> None:
    """Raise InputError, as a sentence for a person, unless the catalogue has a dataset."""
    try:
        load_catalogue().dataset(name)
    except InputError as error:
        raise InputError(f"Dataset {name}: {error}.") from error


def status_of(work: Callable[[], None]) -> int:
    """The exit status of a command: 1 where something cannot be used, after one sentence on standard error."""
    try:
        work()
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.cli.commands", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("dataset", nargs="?", default="sample")
    parser.add_argument("--config-json", help="of the run that is checked")
    given = parser.parse_args()

    def work() -> None:
        if given.command in OF_ONE and given.dataset != recover.EVERY:
            require_dataset(given.dataset.partition("@")[0])
        if given.config_json:
            check_config(given.config_json)
        COMMANDS[given.command](given.dataset)

    return status_of(work)


if __name__ == "__main__":
    sys.exit(main())
