"""What README and documents tell a reader to type has no wrong word in it, as the programs' own parsers read it.

Nothing is run: test_docs_run.py does that.
"""

import ast
import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterInvalidConfigError
from dagster._cli import asset as dagster_asset
from torch.distributed.run import get_args_parser

from assets.training import distributed
from pipeline.definitions import defs
from storage.environment import PROJECT_ROOT
from tests.pipeline.documents import DOCS, PAGES, Block, blocks_of

TEST = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)+)`")
ARTEFACT = re.compile(r"data/(\w+)/")
BLOCKS = [(page, number, block) for page in (*PAGES, "README.md") for number, block in enumerate(blocks_of(page))]
COMMANDS = [
    pytest.param(page, words, id=f"{page}-{number}-{place}")
    for page, number, block in BLOCKS
    if block.kind == "bash"
    for place, words in enumerate(block.commands())
]
MATERIALIZE = [".venv/bin/dagster", "asset", "materialize", "-m", "pipeline.definitions"]
WRONG = ["--config-json", '{"ops": {"splits": {"config": {"spilt": "random"}}}}']
OF_OTHERS = {"cp", "docker", "git", "ray", "ssh"}  # programs that are not ours to check


@pytest.mark.parametrize(("page", "words"), COMMANDS)
def test_a_command_is_one_that_its_program_takes(
    page: str, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    while re.match(r"\w+=", words[0]):  # a variable for this command alone
        words = words[1:]
    program, *given = words
    match program.removeprefix(".venv/bin/"), given:
        case "make", _:
            assert_targets([word for word in given if "=" not in word])
        case "dagster", ["asset", "materialize", *rest]:
            assert_materializes(page, rest, monkeypatch)
        case "python", ["-m", "assets.training.distributed", *rest]:
            assert_trains(rest, monkeypatch)
        case "torchrun", _:
            parsed = get_args_parser().parse_args(given)
            assert (parsed.module, parsed.training_script) == (True, "assets.training.distributed")
            assert_trains(parsed.training_script_args, monkeypatch)
        case "python", ["-m", module, *_]:
            assert find_spec(module)
        case "python", [script, _user, number]:
            assert re.fullmatch(r"data/vectors_export/\w+(@\w+)?/search\.py", script)
            assert (PROJECT_ROOT / "assets/exports/search.py").is_file() and number.isdigit()
        case name, _:
            assert name in OF_OTHERS


def assert_targets(names: list[str]) -> None:
    """Every name is a target of the Makefile."""
    targets = re.findall(r"^([\w -]+):(?!=)", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(names) <= {name for line in targets for name in line.split()}


def assert_materializes(page: str, given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster finds code, assets and partition, and the run config fits them; it stops where the run would begin."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(dagster_asset, "execute_job", lambda **found: asked.append(found))
    if (own := own_datasets(page)) and (dataset := given[given.index("--partition") + 1]) in own:
        given = [word if word != dataset else "sample" for word in given]  # the catalogue of these tests has it not
    done = CliRunner().invoke(dagster_asset.asset_materialize_command, given)
    assert len(asked) == 1, (done.output, done.exception)
    (found,) = asked
    job = found["job"].get_definition().get_subset(asset_selection=set(found["asset_selection"]))
    dg.validate_run_config(job, found["run_config"])


def own_datasets(page: str) -> set[str]:
    """The datasets that a page tells its reader to add."""
    catalogues = [yaml.safe_load(block.text) for block in blocks_of(page) if block.kind.endswith(".yaml")]
    return {name for catalogue in catalogues for name in catalogue["datasets"]}


def assert_trains(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer of several processes takes these words."""
    monkeypatch.setattr(sys, "argv", ["shared", *given])
    assert distributed.arguments().model


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["make", "tets"], AssertionError),
        ([".venv/bin/dagster", "asset", "materialise"], AssertionError),
        ([*MATERIALIZE, "--select", "nothing", "--partition", "sample"], AssertionError),
        ([*MATERIALIZE, "--select", "splits", "--partition", "smaple"], AssertionError),
        ([*MATERIALIZE, "--select", "splits", "--partition", "sample", *WRONG], DagsterInvalidConfigError),
        ([".venv/bin/torchrun", "--nproc", "two", "-m", "assets.training.distributed"], SystemExit),
        ([".venv/bin/python", "-m", "assets.training.distributed", "--dataset", "sample", "--modle", "x"], SystemExit),
        ([".venv/bin/python", "-m", "benchmarks.no_such"], AssertionError),
        (["apt", "install"], AssertionError),
    ],
)  # fmt: skip
def test_a_wrong_word_is_found(
    words: list[str], error: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(error):
        test_a_command_is_one_that_its_program_takes("README.md", words, monkeypatch, tmp_path)


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=f"{page}-{number}") for page, number, block in BLOCKS if block.kind == "python"]
)
def test_python_imports_what_is_there_and_reads_what_assets_write(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("recbole"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            assert all(find_spec(alias.name) for alias in node.names)
    assets = {key.path[-1] for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert set(ARTEFACT.findall(block.text)) <= assets


def test_pages_have_something_to_type() -> None:
    assert sum("dagster asset materialize" in block.text for _, _, block in BLOCKS) >= 7
    assert sum(block.kind == "python" for _, _, block in BLOCKS) >= 5


def test_every_test_that_a_page_names_exists() -> None:
    named = [place for page in PAGES for place in TEST.findall((DOCS / page).read_text())]
    assert len(named) > 20
    assert [place for place in named if not _exists(*place.split("::"))] == []
    assert not _exists("tests/pipeline/test_docs.py", "test_that_is_not_there")


def _exists(file: str, *names: str) -> bool:
    """Whether a file has a test, by its name or by its class and its name."""
    path = PROJECT_ROOT / file
    found: list[ast.AST] = [ast.parse(path.read_text())] if path.is_file() else []
    for name in names:
        inside = [child for node in found for child in ast.iter_child_nodes(node)]
        found = [node for node in inside if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name]
    return bool(found)
