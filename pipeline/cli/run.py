"""`make run`: one dataset from the raw dump to its report, in one process.

What is missing for a run is made ready, what dead runs left is cleared away, and what the run lacks is said before
anything is paid for. The run itself is `dagster asset materialize`, as anybody can call it.
"""

import argparse
import json
import runpy
import sys

from pipeline.cli import commands, recover
from storage.errors import InputError


def run(dataset: str, select: str, config: str) -> None:
    """Make the selected assets of a dataset, and show what came of them.

    Args:
        select: assets, as on Dagster's command line; config: of the run, as JSON, or nothing.

    Raises:
        InputError: something is missing, or the run has failed; it says what.
    """
    commands.home("")
    recover.doctor("")
    if config:
        commands.check_config(config)
    commands.check(dataset)
    if status := materialize(dataset, select, config):
        reason = recover.why_failed(dataset)
        raise InputError(reason or f"Dataset {dataset}: the run ended with status {status}.")
    commands.show(dataset)


def materialize(dataset: str, select: str, config: str) -> int:
    """What `dagster asset materialize` ends with, called in this process: it has imported everything already."""
    words = ["asset", "materialize", "-m", "pipeline.definitions", "--select", select, "--partition", dataset]
    words += ["--config-json", config] if config else []
    sys.argv = ["dagster", *words]
    try:
        runpy.run_module("dagster", run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def ask_for_all(config: str) -> str:
    """The config of a run, as JSON, with all models asked for."""
    from models.model_spec import NAMES

    whole = json.loads(config or "{}")
    ops = whole.setdefault("ops", {})
    for model in NAMES:
        ops.setdefault(model, {}).setdefault("config", {}).setdefault("models", ["all"])
    return json.dumps(whole)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.cli.run", description=__doc__)
    parser.add_argument("dataset", nargs="?", default="sample")
    parser.add_argument("--select", default="*report", help="assets, as on Dagster's command line")
    parser.add_argument("--config-json", default="", help="of the run")
    parser.add_argument("--all-models", action="store_true", help="whatever the dataset's setting models asks for")
    given = parser.parse_args()
    try:
        config = ask_for_all(given.config_json) if given.all_models else given.config_json
        run(given.dataset, given.select, config)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
