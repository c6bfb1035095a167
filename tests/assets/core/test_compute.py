"""Where heavy work is done: what the environment says, what each worker of a cluster gets, and what is refused."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from assets.core import ray_cluster
from assets.core.compute import VARIABLE, Compute
from assets.core.ray_cluster import Shares, on_cluster
from assets.features import ray_embedding
from models.errors import ModelError
from storage.artifacts.data_root import DataRoot
from storage.embeddings.store import EmbeddingStore, publish_vectors
from storage.environment import PROJECT_ROOT
from storage.errors import InputError, OutOfReachError
from storage.images.client import FetchLimits


@pytest.mark.parametrize(
    ("given", "engine", "address"),
    [
        (None, "local", ""),
        ("", "local", ""),
        ("local", "local", ""),
        ("ray", "ray", ""),
        ("ray:auto", "ray", "auto"),
        ("ray:10.0.0.1:6379", "ray", "10.0.0.1:6379"),
    ],
)
def test_one_variable_says_where(monkeypatch: pytest.MonkeyPatch, given: str | None, engine: str, address: str) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if given is not None:
        monkeypatch.setenv(VARIABLE, given)
    found = Compute.from_environment()
    assert (found.engine, found.address) == (engine, address)


@pytest.mark.parametrize("given", ["spark", "local:6379", "ray://10.0.0.1:10001"])
def test_what_it_does_not_take_is_told(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(InputError, match=rf"REC_COMPUTE is '{given}', and takes local, ray, or ray:HOST:PORT"):
        Compute.from_environment()


def test_encoders_without_gpus_leave_a_little_of_every_processor_to_those_who_decode() -> None:
    assert Shares.of(Compute(), [(2, 0)]) == Shares(2, 2, 1.0, 0.25, 2, 0.75, 0.0, threads=1)
    assert Shares.of(Compute(cpus_per_encoder=4), [(16, 0)]) == Shares(16, 16, 1.0, 0.25, 4, 3.0, 0.0, threads=4)


@pytest.mark.parametrize("nodes", [[(2, 0)], [(1, 0), (1, 0)], [(3, 0), (0, 0), (8, 0)], [(16, 0)]])
@pytest.mark.parametrize("asked", [{}, {"cpus_per_encoder": 2}, {"workers": 8}, {"encoders": 5}, {"workers": 1}])
def test_what_is_asked_for_fits_into_the_cluster(nodes: list[tuple[float, float]], asked: dict[str, int]) -> None:
    threads, largest = asked.get("cpus_per_encoder", 1), max(cpus for cpus, _ in nodes)
    if threads > largest:
        return
    shares, there = Shares.of(Compute(**asked), nodes), sum(cpus for cpus, _ in nodes)
    assert shares.workers * shares.decoder_cpus + shares.encoders * shares.encoder_cpus <= there
    assert shares.workers * shares.worker_cpus <= there
    assert 0 < shares.encoder_cpus <= largest
    assert (shares.workers, shares.threads) == (asked.get("workers", there), threads)


def test_an_encoder_that_fits_into_no_node_is_told() -> None:
    with pytest.raises(InputError, match=r"^compute\.cpus_per_encoder is 4, and no node .* has as many processors$"):
        Shares.of(Compute(cpus_per_encoder=4), [(2, 0), (3, 0)])
    with pytest.raises(InputError, match=r"^compute\.gpus_per_encoder is 2, and no node .* has as many GPUs$"):
        Shares.of(Compute(gpus_per_encoder=2), [(8, 1), (8, 1)])


def test_gpus_are_for_encoders_and_processors_for_the_others() -> None:
    assert Shares.of(Compute(), [(16, 2), (16, 2)]) == Shares(32, 32, 1.0, 1.0, 4, 0.0, 1.0, threads=1)
    half = Compute(gpus_per_encoder=0.5)
    assert Shares.of(half, [(16, 2), (16, 2)]) == Shares(32, 32, 1.0, 1.0, 8, 0.0, 0.5, threads=1)
    asked = Compute(gpus_per_encoder=0.5, encoders=3, workers=10)
    assert Shares.of(asked, [(32, 4)]) == Shares(32, 10, 1.0, 1.0, 3, 0.0, 0.5, threads=1)


def test_fetchers_together_ask_no_more_than_one_would() -> None:
    limits = FetchLimits(1.0, 1, 1, concurrency=64, host_concurrency=16, retries=0)
    assert (limits.shared_by(4).concurrency, limits.shared_by(4).host_concurrency) == (16, 4)
    assert limits.most_fetchers == 16
    assert limits.shared_by(16).host_concurrency == 1


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"compute is ray, which is not installed: pip install --editable \.\[ray\]"):
        next(on_cluster(Compute(engine="ray"), DataRoot(tmp_path), iter))


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"compute is ray, and no cluster is reachable at 127\.0\.0\.1:1 "):
        next(on_cluster(Compute(engine="ray", address="127.0.0.1:1"), DataRoot(tmp_path), iter))


def test_a_store_behind_a_url_is_no_folder_that_nodes_share(tmp_path: Path) -> None:
    root = DataRoot.at("memory://group", tmp_path)
    with pytest.raises(InputError, match=r"^compute is ray and REC_DATA a URL; it must be a folder that all nodes"):
        next(on_cluster(Compute(engine="ray"), root, iter))


@pytest.mark.process
def test_nothing_imports_ray_unasked() -> None:
    modules = (
        "pipeline.definitions, assets.core.ray_cluster, assets.features.ray_embedding, assets.serving.ray_recommend, "
        "models.encoders.clip"
    )
    script = f"import sys, {modules}; assert not [name for name in sys.modules if name.split('.')[0] == 'ray']"
    subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, check=True)


@pytest.mark.process
def test_workers_need_the_code_alone(tmp_path: Path) -> None:
    """Not the catalogue, which lies beside the packages, nor the environment of the run."""
    for package in ray_cluster.PACKAGES:
        shutil.copytree(PROJECT_ROOT / package.__name__, tmp_path / package.__name__)
    modules = "assets, assets.features.ray_embedding, assets.serving.ray_recommend, assets.training.distributed"
    script = f"import {modules}; print(assets.__file__)"
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


def test_vectors_of_workers_are_counted_and_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root, identity = DataRoot(tmp_path), {"encoder": "of this test"}
    store, told = EmbeddingStore(root, identity), list[int]()

    def published(*keys: str) -> int:
        return publish_vectors(root, identity, list(keys), np.ones((len(keys), 2), np.float32))

    counts = (published(*keys) for keys in (("a", "b"), ("c",)))
    assert list(ray_embedding._counted(store, ["a", "b", "c", "broken"], counts, told.append)) == [2, 1]
    assert told == [2, 1, 1]
    assert "1 of 4 have no vector: they cannot be decoded, or theirs is not finite" in caplog.text
    assert store.new(["a", "b", "c", "broken"]) == ["broken"]

    monkeypatch.setattr(ray_embedding, "SEEN_WITHIN_S", 0)
    with pytest.raises(OutOfReachError, match=r"^2 vectors that other nodes of the Ray cluster have published below"):
        list(ray_embedding._counted(store, ["d", "e"], iter([2]), told.append))


@pytest.mark.ray
def test_a_cluster_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cluster after another, started for each piece of work, on this machine."""
    compute, root = Compute(engine="ray"), DataRoot(tmp_path)

    # Both are pickled by what they say and not by their names, for workers do not know this module.
    def packages(shares: Shares) -> Iterator[str]:
        import sys

        sent = [Path(place) for place in sys.path if "_ray_pkg_" in place]
        yield from [name for name in ("assets", "models", "storage") if any((at / name).is_dir() for at in sent)]

    def failing(shares: Shares) -> Iterator[int]:
        yield shares.encoders
        raise ModelError("image_weights are unavailable")

    assert list(on_cluster(compute, root, packages)) == ["assets", "models", "storage"]

    found = on_cluster(compute, root, failing)
    assert next(found) >= 1
    with pytest.raises(ModelError, match=r"^image_weights are unavailable$"):
        next(found)

    # One machine has one file system: a node that does not see the folder is played.
    monkeypatch.setattr(ray_cluster, "_is_there", lambda path: False)
    with pytest.raises(InputError, match=r"^1 of 1 nodes of the Ray cluster do not see what lies below REC_DATA; "):
        next(on_cluster(compute, root, packages))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
