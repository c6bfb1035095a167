"""Embedding the sample with the real encoders: what is kept, what is encoded, and what `kill -9` costs."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from storage.artifacts.tables import read_table
from storage.files.atomic import sha256_of
from tests.pipeline.in_process import Pipeline, failures

PROJECT = Path(__file__).parents[2]
ASSETS = ("image_embeddings", "text_embeddings")
EXACT = {
    "image_embeddings": {"image_precision": "fp32", "image_batch": 32, "image_workers": 1},
    "text_embeddings": {"text_precision": "fp32", "text_batch": 8},
}

# Runs one embedding asset in a process of its own, counts what its real encoder gives, and kills it on the way.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from models.encoders.clip import ImageEncoder
from models.encoders.sbert import TextEncoder
from storage.embeddings import store
from tests.pipeline.in_process import Pipeline, failures

folder, asset, settings, die_after = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
store.SHARD_ROWS = 32
count = 0

def counted(kind):
    encode = kind.encode
    def counting(self, *given):
        global count
        for keys, vectors in encode(self, *given):
            if die_after and count >= die_after:
                os.kill(os.getpid(), signal.SIGKILL)
            count += len(vectors)
            yield keys, vectors
    kind.encode = counting

counted(ImageEncoder)
counted(TextEncoder)
result = Pipeline(Path(folder)).run("sample", asset, {asset: settings})
assert result.success, failures(result)
print("encoded", count)
"""


def embed(folder: Path, asset: str, die_after: int = 0) -> subprocess.CompletedProcess[str]:
    given = [str(folder), asset, json.dumps(EXACT[asset]), str(die_after)]
    return subprocess.run([sys.executable, "-c", SCRIPT, *given], cwd=PROJECT, capture_output=True, text=True)


def without_vectors(sample: Pipeline, folder: Path) -> Path:
    """A copy of the sample's data from before it was embedded."""
    sample.copy(folder)
    for gone in ("embeddings", *ASSETS):
        shutil.rmtree(folder / gone)
    return folder


def kept_rows(folder: Path) -> int:
    return sum(pa.ipc.open_file(path).read_all().num_rows for path in folder.glob("embeddings/*/*.arrow"))


@pytest.mark.process
@pytest.mark.parametrize("asset", ASSETS)
def test_after_kill_9_finished_shards_are_not_encoded_again_and_the_result_is_the_same(
    sample: Pipeline, tmp_path: Path, asset: str
) -> None:
    undisturbed = without_vectors(sample, tmp_path / "undisturbed")
    whole = embed(undisturbed, asset)
    assert whole.returncode == 0, whole.stderr
    total = int(whole.stdout.split()[-1])
    disturbed = without_vectors(sample, tmp_path / "disturbed")
    assert embed(disturbed, asset, die_after=50).returncode == -signal.SIGKILL
    kept = kept_rows(disturbed)
    assert 32 <= kept < total
    assert not (disturbed / asset / "sample.parquet").exists()
    again = embed(disturbed, asset)
    assert int(again.stdout.split()[-1]) == total - kept, again.stderr
    assert sha256_of(disturbed / asset / "sample.parquet") == sha256_of(undisturbed / asset / "sample.parquet")


def test_what_is_kept_is_not_encoded_again_even_if_the_table_is_gone(sample: Pipeline, tmp_path: Path) -> None:
    pipeline, folder = sample.copy(tmp_path), tmp_path
    before = {asset: sha256_of(folder / asset / "sample.parquet") for asset in ASSETS}
    for asset in ASSETS:
        shutil.rmtree(folder / asset)
    assert pipeline.run("sample", " or ".join(f'key:"{asset}"' for asset in ASSETS)).success
    for asset in ASSETS:
        found = pipeline.metadata(asset, "sample")
        assert (found["encoded"], found["hit_rate"]) == (0, 1.0)
        assert sha256_of(folder / asset / "sample.parquet") == before[asset]


def test_the_table_names_the_content_of_its_vectors(sample: Pipeline) -> None:
    pictures = read_table(sample.root.path("item_images", "sample", ".parquet")).to_pylist()
    keys = {row["item_id"]: [row["sha256"]] if row["status"] == "ok" else [] for row in pictures}
    rows = read_table(sample.root.path("image_embeddings", "sample", ".parquet")).to_pylist()
    assert [row["content"] for row in rows] == [keys[row["item_id"]] for row in rows]
    assert [row["has_value"] for row in rows] == [bool(keys[row["item_id"]]) for row in rows]


def test_embeddings_say_how_it_went(sample: Pipeline) -> None:
    pictures, texts = (sample.metadata(asset, "sample") for asset in ASSETS)
    for found, unit in ((pictures, "pictures"), (texts, "texts")):
        assert found["encoded"] + found["from_store"] <= found["with_value"]  # equal contents are encoded once
        assert found["missing"] and sum(found["missing"].values()) == found["without_value"]
        assert found[f"{unit}_per_s"] > 0
        assert 0 <= found["share_waiting"] <= 1
        assert found["norms"].startswith("![](data:image/png;base64,")
        assert found["neighbours"].count("\n") >= 4
    assert pictures["contact_sheet"].startswith("![](data:image/jpeg;base64,")
    assert texts["missing"].keys() <= {"no_text", "no_metadata"}


@pytest.mark.process
def test_collecting_is_refused_while_a_run_is_live(tmp_path: Path) -> None:
    script = """
import dagster as dg

@dg.job
def job(): ...

with dg.DagsterInstance.get() as instance:
    print(instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id)
"""
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path / "home"), "REC_DATA": str(tmp_path / "data")}

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=PROJECT, env=environment, capture_output=True, text=True
        )

    assert ran("-m", "pipeline.cli.commands", "home").returncode == 0
    idle = ran("-m", "pipeline.cli.commands", "collect")
    assert idle.stdout == "0 vectors deleted (0 bytes), 0 kept.\n", idle.stderr
    run_id = ran("-c", script).stdout.strip()
    refused = ran("-m", "pipeline.cli.commands", "collect")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Nothing was collected: run {run_id} is live;")


def test_pictures_that_are_gone_are_one_sentence_and_no_table_of_zeros(sample: Pipeline, tmp_path: Path) -> None:
    pipeline = Pipeline(without_vectors(sample, tmp_path / "copy"))
    for shard in (tmp_path / "copy" / "item_images" / "sample").glob("*.parquet"):
        shard.write_bytes(shard.read_bytes()[:1000])
    result = pipeline.run("sample", 'key:"image_embeddings"')
    assert not result.success
    assert "in no sound shard; materialize item_images again" in failures(result)["image_embeddings"]
    assert not (tmp_path / "copy" / "image_embeddings" / "sample.parquet").exists()
    assert pipeline.run("sample", 'key:"item_images" or key:"image_embeddings"').success
    assert pipeline.metadata("image_embeddings", "sample")["missing"].keys() == {"missing"}
