"""Nothing that is read from disk is ever unpickled: by the source, by hostile files, and by watching a real run.

Processes of one run do send each other pickles, through pipes that nobody else can write to. The watch tells the two
apart by who asked for the pickle: `multiprocessing` and its kin, or anybody else.
"""

import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import torch

from assets.core.io_managers import ArraysIOManager, ModelsIOManager, PublishingIOManager, TablesIOManager
from assets.training.shared_arrays import place_arrays, read_placed
from models.encoders.clip import ImageEncoder
from models.errors import ModelError
from storage.artifacts.arrays import NearestItems
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.artifacts.saved_models import CONFIG, INDEX, WEIGHTS, FileCheckpoint, SavedModels
from storage.environment import PROJECT_ROOT
from storage.files.atomic import sha256_of
from tests.pipeline.source_rules import broken_rules

PACKAGES = ("assets", "benchmarks", "models", "pipeline", "storage")


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, ran: Path):
        self.ran = ran

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.ran),)


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The folder that the payload makes."""
    return tmp_path / "ran"


def test_the_payload_of_these_tests_works(ran: Path) -> None:
    pickle.loads(pickle.dumps(Hostile(ran)))
    assert ran.is_dir()


class TestSource:
    def test_no_module_can_run_what_a_file_holds(self) -> None:
        files = [path for package in PACKAGES for path in sorted((PROJECT_ROOT / package).rglob("*.py"))]
        assert len(files) > 100
        broken = {str(path.relative_to(PROJECT_ROOT)): broken_rules(path.read_text()) for path in files}
        # One module pickles what goes from a process to those that it has begun; the next test says what it reads.
        between_processes = {"assets/training/shared_arrays.py": ["line 10: imports pickle"]}
        assert {path: rules for path, rules in broken.items() if rules} == between_processes

    def test_what_workers_share_is_on_disk_as_numbers_alone(self, tmp_path: Path, ran: Path) -> None:
        given = {"a": np.arange(5), "b": torch.ones(3)}
        with place_arrays(given, tmp_path) as placed:
            (file,) = tmp_path.iterdir()
            content = file.read_bytes()
            numbers = content[: placed.spans[0][1]]
            assert np.frombuffer(numbers, np.int64).tolist() == [0, 1, 2, 3, 4]
            bomb = pickle.dumps(Hostile(ran))
            file.write_bytes((bomb * len(content))[: len(content)])
            found = read_placed(placed)
        assert found["a"].tobytes() == (bomb * len(content))[: placed.spans[0][1]]
        assert not ran.exists()

    @pytest.mark.parametrize(
        "line",
        [
            "import pickle", "import torch, dill", "from joblib import load", "def f():\n    import cloudpickle.compat",
            "torch.load(path)", "torch.load(path, weights_only=False)", "torch.load(path, weights_only=safe)",
            "np.load(path, allow_pickle=True)", "sp.load_npz(path, allow_pickle=flag)", "pd.read_pickle(path)",
            "yaml.load(text)", "yaml.load(text, yaml.Loader)", "yaml.load(text, Loader=yaml.FullLoader)",
            "yaml.unsafe_load(text)", "class L(yaml.Loader): ...\nyaml.load(text, L)",
            "subprocess.run(text, shell=True)", "os.system(text)", "eval(text)", "exec(text)", "__import__(name)",
        ],
    )  # fmt: skip
    def test_a_line_that_could_is_found(self, line: str) -> None:
        assert len(broken_rules(line)) == 1

    @pytest.mark.parametrize(
        "line",
        [
            "torch.load(path, weights_only=True)", "np.load(path, allow_pickle=False)", "model.eval()",
            "class L(yaml.SafeLoader): ...\nyaml.load(text, L)", "yaml.safe_load(text)", "subprocess.run([text])",
            "ast.literal_eval(text)", "re.compile(text)",
        ],
    )  # fmt: skip
    def test_a_line_that_could_not_is_let_pass(self, line: str) -> None:
        assert broken_rules(line) == []


def arrays(path: Path, payload: Hostile) -> None:
    """Every array that either reader of `.npz` asks for, as objects."""
    objects = np.array([payload], object)
    names = ("visual", "textual", "format", "shape", "data", "indices", "indptr")
    np.savez(path, **dict.fromkeys(names, objects))


def no_arrays(path: Path, payload: Hostile) -> None:
    path.write_bytes(pickle.dumps(payload))


def model_of_a_pickle(path: Path, payload: Hostile) -> None:
    (path / "bpr-0").mkdir(parents=True)
    (path / INDEX).write_text('{"fits": ["bpr-0"], "skipped": ""}')
    (path / "bpr-0" / CONFIG).write_text("{}")
    (path / "bpr-0" / WEIGHTS).write_bytes(pickle.dumps(payload))


def model_of_a_huge_header(path: Path, payload: Hostile) -> None:
    model_of_a_pickle(path, payload)
    (path / "bpr-0" / WEIGHTS).write_bytes(huge_header())


def huge_header() -> bytes:
    """Safetensors whose header announces 2^62 bytes."""
    return struct.pack("<Q", 1 << 62) + b"{}"


def table_of_a_type_that_is_a_pickle(path: Path, payload: Hostile) -> None:
    """What older versions of Arrow unpickled when they met it."""
    type_of = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(payload)}
    schema = pa.schema([pa.field("user_id", pa.string(), metadata=type_of)])
    pq.write_table(pa.table({"user_id": ["U1"]}, schema=schema), path)


READERS = {
    "npz": (ArraysIOManager, NearestItems, arrays),
    "sparse": (ArraysIOManager, sp.csr_matrix, arrays),
    "no npz": (ArraysIOManager, NearestItems, no_arrays),
    "model": (ModelsIOManager, SavedModels, model_of_a_pickle),
    "huge header": (ModelsIOManager, SavedModels, model_of_a_huge_header),
    "no parquet": (TablesIOManager, pa.Table, no_arrays),
}


def put(root: DataRoot, write: Callable[[Path, Hostile], None], payload: Hostile, vouched: bool) -> None:
    """Put a hostile file where an artefact lies; `vouched`: its manifest was made to fit."""
    path = root.root / "made" / "shop.file"
    path.parent.mkdir(parents=True)
    write(path, payload)
    found = next(path.parent.iterdir())  # numpy gives the name an ending
    found.rename(path)
    about = {"asset": "made", "dataset": "shop", "path": "made/shop.file", "data_version": "1", "seconds": 0}
    checksum = sha256_of(path) if vouched else "0" * 64
    recipe = Recipe(code_version="1", settings={}, inputs={})
    root.write_manifest(Manifest(**about, bytes=1, sha256=checksum, recipe=recipe, numbering={}, facts={}))


def load(manager: PublishingIOManager, annotation: type) -> Any:
    kind = dg.DagsterType(lambda _, __: True, name="made", typing_type=annotation)
    with dg.build_input_context(asset_key="made", partition_key="shop", dagster_type=kind) as context:
        return manager.load_input(context)


def refused(name: str, folder: Path, ran: Path, *, vouched: bool) -> str:
    """What is said of a hostile file in place of an artefact, whose payload has not run."""
    manager, annotation, write = READERS[name]
    root = DataRoot(folder / "data")
    put(root, write, Hostile(ran), vouched=vouched)
    with pytest.raises(dg.Failure) as said:
        load(manager(root), annotation)
    assert not ran.exists()
    return said.value.description or ""


class TestHostileFiles:
    @pytest.mark.parametrize("name", READERS)
    def test_in_place_of_an_artefact_is_refused(self, name: str, tmp_path: Path, ran: Path) -> None:
        assert refused(name, tmp_path, ran, vouched=False) == (
            "Dataset shop: made of shop is missing or was changed since it was made; materialize made again."
        )

    @pytest.mark.parametrize("name", READERS)
    def test_is_refused_even_if_its_manifest_vouches_for_it(self, name: str, tmp_path: Path, ran: Path) -> None:
        on_progress = refused(name, tmp_path, ran, vouched=True)
        assert on_progress.startswith("Dataset shop: made of shop cannot be read (")
        assert on_progress.endswith("); materialize made again.")

    def test_a_type_that_is_a_pickle_is_read_as_what_it_wraps(self, tmp_path: Path, ran: Path) -> None:
        root = DataRoot(tmp_path / "data")
        put(root, table_of_a_type_that_is_a_pickle, Hostile(ran), vouched=True)
        assert load(TablesIOManager(root), pa.Table).to_pylist() == [{"user_id": "U1"}]
        assert not ran.exists()

    @pytest.mark.parametrize("content", ["pickle", "huge header"])
    def test_a_checkpoint_counts_for_nothing(self, content: str, tmp_path: Path, ran: Path) -> None:
        path = tmp_path / "bpr-0.safetensors"
        path.write_bytes(pickle.dumps(Hostile(ran)) if content == "pickle" else huge_header())
        assert FileCheckpoint(path).load() is None
        assert not ran.exists()

    @pytest.mark.parametrize("name", ["clip.pt", "old.pt", "clip.safetensors"])
    def test_picture_weights_are_refused(self, name: str, tmp_path: Path, ran: Path) -> None:
        path = tmp_path / name
        if name.endswith(".pt"):
            torch.save({"a": Hostile(ran)}, path, _use_new_zipfile_serialization=name != "old.pt")
        else:
            path.write_bytes(huge_header())
        with pytest.raises(ModelError, match=r"^image_weights .* cannot be loaded into image_encoder 'tiny'"):
            ImageEncoder("tiny", str(path), "cpu", workers=1)
        assert not ran.exists()


# Python runs a module of this name when it starts: every process of the run is watched, whoever starts it.
WATCH = """
import os, sys

def watch(event, given):
    if event != "pickle.find_class":
        return
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in (__name__, "pickle", "_pickle"):
        frame = frame.f_back
    asker = frame.f_globals.get("__name__") if frame else "?"
    with open(os.environ["WATCHED"], "a") as file:
        file.write(f"{asker} {given[0]}.{given[1]}\\n")

sys.addaudithook(watch)
with open(os.environ["WATCHED"], "a") as file:
    file.write("watching\\n")
"""

RUN = """
import sys
from pathlib import Path
from tests.pipeline.in_process import Pipeline, failures

few = {"image_embeddings": {"image_batch": 4}}  # so many batches that processes beside this one decode them
for _ in range(2):  # what the first writes, the second reads
    result = Pipeline(Path(sys.argv[1])).run("quick", sys.argv[2], few)
    assert result.success, failures(result)
"""

PIPES = ("multiprocessing.", "torch.multiprocessing", "concurrent.futures.")


def watched(script: str, folder: Path, *arguments: str) -> set[str]:
    """Run a script, and tell who unpickled what, in its process and all that it started."""
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    log = folder / "watched"
    log.touch()
    path = os.pathsep.join((str(folder / "watch"), str(PROJECT_ROOT)))
    environment = os.environ | {"PYTHONPATH": path, "WATCHED": str(log)}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = set(log.read_text().splitlines())
    assert "watching" in found
    return found - {"watching"}


def from_elsewhere(found: set[str]) -> set[str]:
    """Those that no pipe between processes explains."""
    return {line for line in found if not line.startswith(PIPES)}


@pytest.mark.process
class TestWatchedRun:
    @pytest.mark.parametrize("read", ["pickle.load(open(path, 'rb'))", "np.load(path, allow_pickle=True)"])
    def test_the_watch_sees_a_pickle_that_is_read(self, read: str, tmp_path: Path, ran: Path) -> None:
        if read.startswith("np"):
            np.save(tmp_path / "file", np.array([Hostile(ran)], object))
        else:
            (tmp_path / "file.npy").write_bytes(pickle.dumps(Hostile(ran)))
        script = f"import pickle, sys\nimport numpy as np\npath = sys.argv[1]\n{read}"
        found = from_elsewhere(watched(script, tmp_path, str(tmp_path / "file.npy")))
        assert any(line.endswith("posix.mkdir") for line in found)

    def test_the_watch_tells_a_pipe_between_processes_apart(self, tmp_path: Path) -> None:
        script = (
            "import multiprocessing, pathlib\n"
            "ours, theirs = multiprocessing.Pipe()\n"
            "ours.send(pathlib.Path('a'))\n"
            "theirs.recv()"
        )
        found = watched(script, tmp_path)
        assert found == {"multiprocessing.connection pathlib.PosixPath"}
        assert from_elsewhere(found) == set()

    @pytest.mark.long
    @pytest.mark.timeout(1800)
    def test_a_run_and_its_repetition_unpickle_nothing_but_what_pipes_carry(self, tmp_path: Path) -> None:
        found = watched(RUN, tmp_path, str(tmp_path / "data"), "*")
        assert found  # the processes that decode pictures are sent pickles
        assert from_elsewhere(found) == set()
