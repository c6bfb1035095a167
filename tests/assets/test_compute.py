"""Where heavy work is done: what the environment says, what each worker of a cluster gets, and what is refused."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets import cluster
from assets.cluster import Shares, on_cluster
from assets.compute import VARIABLE, Compute
from models.errors import ModelError
from storage.client import FetchLimits
from storage.errors import InputError
from storage.layout import PROJECT_ROOT, DataRoot


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
    assert Shares.of(Compute(), cpus=2, gpus=0) == Shares(2, 0.25, 2, 0.75, 0.0, threads=1)
    assert Shares.of(Compute(cpus_per_encoder=4), cpus=16, gpus=0) == Shares(16, 0.25, 4, 3.75, 0.0, threads=4)
    assert Shares.of(Compute(cpus_per_encoder=4), cpus=2, gpus=0).encoders == 1


def test_gpus_are_for_encoders_and_processors_for_the_others() -> None:
    assert Shares.of(Compute(), cpus=32, gpus=4) == Shares(32, 1.0, 4, 0.0, 1.0, threads=1)
    assert Shares.of(Compute(gpus_per_encoder=0.5), cpus=32, gpus=4) == Shares(32, 1.0, 8, 0.0, 0.5, threads=1)
    asked = Compute(gpus_per_encoder=0.5, encoders=3, workers=10)
    assert Shares.of(asked, cpus=32, gpus=4) == Shares(10, 1.0, 3, 0.0, 0.5, threads=1)


def test_fetchers_together_ask_no_more_than_one_would() -> None:
    limits = FetchLimits(1.0, 1, 1, concurrency=64, host_concurrency=16, retries=0)
    assert (limits.shared_by(4).concurrency, limits.shared_by(4).host_concurrency) == (16, 4)
    assert limits.shared_by(100).host_concurrency == 1  # less is none at all


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"compute is ray, which is not installed: pip install --editable \.\[ray\]"):
        next(on_cluster(Compute(engine="ray"), DataRoot(tmp_path), iter))


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"compute is ray, and no cluster can be had at 127\.0\.0\.1:1 "):
        next(on_cluster(Compute(engine="ray", address="127.0.0.1:1"), DataRoot(tmp_path), iter))


def test_a_store_behind_a_url_is_no_folder_that_nodes_share(tmp_path: Path) -> None:
    root = DataRoot.at("memory://team", tmp_path)
    with pytest.raises(InputError, match=r"^compute is ray and REC_DATA a URL; it must be a folder that all nodes"):
        next(on_cluster(Compute(engine="ray"), root, iter))


def test_nothing_imports_ray_unasked() -> None:
    modules = (
        "pipeline.definitions, assets.cluster, assets.features.on_ray, assets.serving.on_ray, models.encoders.clip"
    )
    script = f"import sys, {modules}; assert not [name for name in sys.modules if name.split('.')[0] == 'ray']"
    subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, check=True)


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
        raise ModelError("image_weights cannot be had")

    assert list(on_cluster(compute, root, packages)) == ["assets", "models", "storage"]

    found = on_cluster(compute, root, failing)
    assert next(found) >= 1
    with pytest.raises(ModelError, match=r"^image_weights cannot be had$"):
        next(found)

    # One machine has one file system: a node that does not see the folder is played.
    monkeypatch.setattr(cluster, "_is_there", lambda path: False)
    with pytest.raises(InputError, match=r"^1 of 1 nodes of the Ray cluster do not see what lies below REC_DATA; "):
        next(on_cluster(compute, root, packages))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
