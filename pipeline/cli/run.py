"""`make run`: one dataset from the raw dump to its report, in one process.

It prepares Dagster's home, clears away what dead runs left, and checks what the run needs before any expensive work.
The run itself is a plain `dagster asset materialize`.
"""

import argparse
import json
import runpy
import sys
from functools import partial

from pipeline.cli import commands, recover
from storage.errors import InputError


def run(dataset: str, select: str, config: str, all_models: bool = False) -> None:
    """Make the selected assets of a dataset, and show what came of them.

    Args:
        select: assets, as on Dagster's command line; config: of the run, as JSON, or nothing.
        all_models: whether all models are asked for, whatever the dataset's setting `models` says.

    Raises:
        InputError: something is missing, or the run has failed; it says what.
    """
    commands.home("")
    recover.doctor("")
    if config:
        commands.check_config(config)
    commands.check(dataset)
    if materialize(dataset, select, ask_for_all(config) if all_models else config):
        raise InputError(recover.why_failed(dataset))
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
    return commands.status_of(partial(run, given.dataset, given.select, given.config_json, given.all_models))


if __name__ == "__main__":
    sys.exit(main())
