"""What the documents say to type is typed: every block of bash and of Python, page by page, in the order given.

It happens in a folder like a checkout, whose data are the sample's. Not typed are commands of `make`, which install,
those of `benchmarks.`, which need data that the project does not bring, and what MMRec and RecBole do.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage.environment import PROJECT_ROOT
from tests.pipeline.documents import PAGES, blocks_of
from tests.pipeline.in_process import Pipeline

pytestmark = pytest.mark.docs

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
    environment = os.environ | {
        "DAGSTER_HOME": str(checkout / ".dagster"),
        "REC_DATA": str(checkout / "data"),
        "REC_DATASETS": "",
        "PYTHONPATH": str(checkout),
    }
    for block in blocks_of(page):
        if block.kind.endswith(".yaml"):
            local = (checkout / "datasets.yaml").read_text() + block.text.removeprefix("datasets:\n")
            (checkout / block.kind).write_text(local)
            environment["REC_DATASETS"] = str(checkout / block.kind)
            continue
        if NOT_TYPED.search(block.text):
            continue
        command = ["bash", "-euc", block.text] if block.kind == "bash" else [sys.executable, "-c", block.text]
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
