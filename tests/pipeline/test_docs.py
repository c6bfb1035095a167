"""What the documents say to type is typed: every block of bash and of Python, page by page, in the order given.

It happens in a folder like a checkout, whose data are the sample's. Not typed are commands of `make`, which install,
those of `benchmarks.`, which need data that the project does not bring, and what MMRec and RecBole do.
"""

import ast
import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Pipeline

from storage.layout import PROJECT_ROOT

PAGES = sorted(path.name for path in (PROJECT_ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(bash|python|yaml \S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)+)`")
NOT_TYPED = re.compile(r"^make |-m benchmarks\.|MMREC/|recbole", re.MULTILINE)


@pytest.fixture(scope="module")
def checkout(sample: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the documents find what they name."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("assets", "models", "pipeline", "storage", "datasets.yaml", "pyproject.toml", "deploy"):
        (folder / name).symlink_to(PROJECT_ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copytree(sample.root.root, folder / "data")
    (folder / "shop").mkdir()
    for kind, target in (("reviews", "reviews.jsonl"), ("metadata", "meta.jsonl")):
        found = sample.root.artefact(sample.root.manifest(f"raw_{kind}", "sample"))
        (folder / "shop" / target).write_bytes(gzip.decompress(found.read_bytes()))
    home = folder / ".dagster"
    home.mkdir()
    shutil.copyfile(PROJECT_ROOT / "deploy" / "dagster.yaml", home / "dagster.yaml")
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_to_type_works(page: str, checkout: Path) -> None:
    blocks = BLOCK.findall((PROJECT_ROOT / "docs" / page).read_text())
    environment = os.environ | {
        "DAGSTER_HOME": str(checkout / ".dagster"),
        "REC_DATA": str(checkout / "data"),
        "REC_DATASETS": "",
        "PYTHONPATH": str(checkout),
    }
    for kind, text in blocks:
        if kind.startswith("yaml "):
            local = (checkout / "datasets.yaml").read_text() + text.removeprefix("datasets:\n")
            (checkout / kind.removeprefix("yaml ")).write_text(local)
            environment["REC_DATASETS"] = str(checkout / kind.removeprefix("yaml "))
            continue
        if NOT_TYPED.search(text):
            continue
        command = ["bash", "-euc", text] if kind == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_pages_have_something_to_type() -> None:
    typed = [text for page in PAGES for _, text in BLOCK.findall((PROJECT_ROOT / "docs" / page).read_text())]
    assert sum("dagster asset materialize" in text for text in typed) >= 5


def test_every_test_that_a_page_names_exists() -> None:
    named = [place for page in PAGES for place in TEST.findall((PROJECT_ROOT / "docs" / page).read_text())]
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
