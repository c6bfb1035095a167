"""A dataset that is no longer in the catalogue: its files stay, others run, and naming it is told in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.definitions import assemble
from storage.catalogue import Catalogue, load_catalogue
from storage.environment import PROJECT_ROOT
from storage.files.atomic import sha256_of
from tests.pipeline.in_process import Pipeline, failures

SMALL = {"raw_reviews": {"sample_users": 60, "sample_items": 60}}
SENTENCE = "there is no dataset 'quick' in the catalogue"


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A pipeline that has made something of `quick`, and knows it no longer."""
    pipeline = Pipeline(tmp_path)
    assert pipeline.run("quick", "+key:reviews", SMALL).success
    left = {name: entry for name, entry in load_catalogue().entries.items() if name != "quick"}
    pipeline.definitions = assemble(pipeline.root, Catalogue(left))
    return pipeline


def test_its_files_stay_and_others_run(pipeline: Pipeline) -> None:
    files = (path for path in pipeline.root.root.glob("[!.]*/**/*") if path.is_file())  # those of work are nobody's
    before = {path: sha256_of(path) for path in files}
    result = pipeline.run("quick", "key:reviews")
    assert failures(result) == {"reviews": f"Dataset quick: {SENTENCE}."}
    result = pipeline.run("sample", "+key:reviews", SMALL)
    assert result.success, failures(result)
    assert {path: sha256_of(path) for path in before} == before
    assert pipeline.root.artefact(pipeline.root.manifest("reviews", "quick")).is_file()


@pytest.mark.process
def test_the_command_line_refuses_it_before_anything_is_paid_for(tmp_path: Path) -> None:
    catalogue = tmp_path / "mine.yaml"
    catalogue.write_text('datasets: {sample: {format: amazon2023, reviews: "sample:", metadata: "sample:"}}\n')
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.commands", "check", "quick"],
        cwd=PROJECT_ROOT,
        env=os.environ | {"REC_DATASETS": str(catalogue)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"Dataset quick: {SENTENCE}.\n")
