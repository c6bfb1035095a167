"""The same assets on a real Ray cluster of two nodes: the same tables, and nothing of it outlives its run."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from assets.core.compute import Compute
from pipeline.definitions import assemble
from storage.artifacts.data_root import DataRoot
from storage.environment import PROJECT_ROOT
from storage.files.atomic import sha256_of
from tests.pipeline.cluster import cluster_of, wait_until, working
from tests.pipeline.in_process import Pipeline, failures

pytestmark = pytest.mark.ray

ON_RAY = ("item_images", "image_embeddings", "text_embeddings", "recommendations")
EXPLAINED = {"recommendations": {"explain": True}}
SERVED = {"model_choice": {"serve": "gated_lightgcn"}}

# Encodes all pictures of the sample as one asset run does, a batch of four at a time with a real CLIP; every batch that
# is encoded leaves a line in a file, by a class of this script, for the project's own does not count.
ENCODING = """
import sys
from functools import partial
from pathlib import Path

from assets.core.ray_cluster import on_cluster
from assets.core.compute import Compute
from assets.features.ray_embedding import encode_pictures
from assets.core.settings import ImageEncoderSettings
from storage.embeddings.store import EmbeddingStore
from storage.artifacts.data_root import DataRoot
from storage.images.store import PictureStore

address, folder, lines = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
IDENTITY = {"encoder": "of this test"}

def counting(work, lines, shares):
    import assets.features.ray_embedding as on_ray

    class Counted(on_ray.PictureEncoder):
        def __call__(self, rows):
            encoded = super().__call__(rows)
            with open(lines, "a") as file:
                file.write(f"{len(encoded['key'])}\\n")
            return encoded

    on_ray.PictureEncoder = Counted
    yield from work(shares)

if __name__ == "__main__":
    root, pictures = DataRoot(folder), PictureStore(folder / "item_images" / "sample")
    keys = sorted({attempt.sha256 for attempt, _ in pictures.attempts() if attempt.sha256})
    new = EmbeddingStore(root, IDENTITY).new(keys)
    config = ImageEncoderSettings(image_encoder="ViT-B-32", image_weights="untrained", image_precision="fp32")
    work = partial(encode_pictures, pictures.batches(new, 4), config, root, IDENTITY, 16)
    for count in on_cluster(Compute(engine="ray", address=address), root, partial(counting, work, lines)):
        print("published", count, flush=True)
    print("all", len(keys), flush=True)
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with cluster_of([1, 1]) as cluster:
        yield cluster


class Encoding:
    """One process that encodes the sample's pictures on a cluster, and what it has done so far."""

    def __init__(self, cluster: Cluster, folder: Path):
        self.folder, self.lines = folder, folder / "encoded.txt"
        self.command = [sys.executable, "-c", ENCODING, cluster.address, str(folder), str(self.lines)]

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(self.command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)

    @property
    def encoded(self) -> int:
        return sum(map(int, self.lines.read_text().split())) if self.lines.exists() else 0

    @property
    def published(self) -> dict[str, bytes]:
        """The vector of every content that is in a shard."""
        import pyarrow as pa

        found = {}
        for path in self.folder.glob("embeddings/*/*.arrow"):
            rows = pa.ipc.open_file(path).read_all()
            for key, vector in zip(rows["content"].to_pylist(), rows["vector"].combine_chunks(), strict=True):
                found[key] = vector.values.to_numpy().tobytes()
        return found


def with_pictures(sample: Pipeline, folder: Path) -> Path:
    shutil.copytree(sample.root.root / "item_images", folder / "item_images")
    return folder


def test_every_table_is_what_one_machine_makes_of_it(sample: Pipeline, cluster: Cluster, tmp_path: Path) -> None:
    local, spread = tmp_path / "local", tmp_path / "spread"
    explained = sample.copy(tmp_path / "explained")  # by a model that can
    served = explained.run("sample", "key:model_choice or key:served_model or key:current", SERVED)
    assert served.success, failures(served)
    for folder in (local, spread):
        shutil.copytree(explained.root.root, folder)
        for asset in ON_RAY:
            shutil.rmtree(folder / asset)
        shutil.rmtree(folder / "embeddings")
    compute = Compute(engine="ray", address=cluster.address)
    for folder, given in ((local, Compute()), (spread, compute)):
        pipeline = Pipeline(folder)
        pipeline.definitions = assemble(DataRoot(folder), pipeline.catalogue, given)
        result = pipeline.run("sample", " or ".join(f'key:"{asset}"' for asset in ON_RAY), EXPLAINED)
        assert result.success, failures(result)
    for asset in ON_RAY:
        one, other = (root.artefact(root.manifest(asset, "sample")) for root in map(DataRoot, (local, spread)))
        assert sha256_of(one) == sha256_of(other), asset
    wait_until(lambda: not working(cluster), 120)


@pytest.mark.long
def test_a_node_that_is_lost_costs_no_more_than_its_unfinished_batches(
    sample: Pipeline, cluster: Cluster, tmp_path: Path
) -> None:
    undisturbed = Encoding(cluster, with_pictures(sample, tmp_path / "undisturbed"))
    assert undisturbed.start().wait(timeout=300) == 0
    expected = undisturbed.published
    assert undisturbed.encoded == len(expected) > 100

    encoding = Encoding(cluster, with_pictures(sample, tmp_path / "disturbed"))
    process = encoding.start()
    wait_until(lambda: encoding.published, 240)
    unfinished = encoding.encoded - len(encoding.published)
    [other] = (node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    cluster.remove_node(other, allow_graceful=False)
    assert process.wait(timeout=300) == 0
    assert encoding.published == expected
    in_flight = 2 * 4 * 4  # encoders, calls that Ray Data has in progress at each, pictures of a call
    assert encoding.encoded - len(expected) <= unfinished + in_flight


@pytest.mark.long
def test_after_a_lost_driver_what_is_published_is_not_encoded_again(
    sample: Pipeline, cluster: Cluster, tmp_path: Path
) -> None:
    encoding = Encoding(cluster, with_pictures(sample, tmp_path))
    process = encoding.start()
    wait_until(lambda: encoding.published, 240)
    process.kill()
    wait_until(lambda: not working(cluster), 120)
    kept, before = len(encoding.published), encoding.encoded
    again = encoding.start()
    assert again.wait(timeout=300) == 0
    total = int(again.stdout.read().split()[-1])
    assert 0 < kept < total == len(encoding.published)
    assert encoding.encoded - before == total - kept


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_cancelled_leaves_no_task_behind(
    sample: Pipeline, cluster: Cluster, tmp_path: Path, number: signal.Signals
) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    shutil.copytree(sample.root.root, data)
    shutil.rmtree(data / "image_embeddings")
    shutil.rmtree(data / "embeddings")
    home.mkdir()
    slow = '{"ops": {"image_embeddings": {"config": {"image_encoder": "ViT-B-32", "image_precision": "fp32"}}}}'
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "pipeline.definitions"]
    command += ["--select", "image_embeddings", "--partition", "sample", "--config-json", slow]
    environment = {**os.environ, "REC_DATA": str(data), "DAGSTER_HOME": str(home)}
    environment["REC_COMPUTE"] = f"ray:{cluster.address}"
    process = subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_until(lambda: any("Encoder" in title for title in working(cluster)), 240)
    process.send_signal(number)
    wait_until(lambda: not working(cluster), 120)
    said = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert "image_embeddings" in said
