"""The commands around a run: what each of them says, in this process, and whole runs in processes of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
from dagster._core.secrets.env_file import get_env_var_dict

from pipeline.cli.commands import main, variables_of
from pipeline.tags import PARTITION
from storage.environment import PROJECT_ROOT
from tests.pipeline.in_process import Pipeline

PROJECT = Path(__file__).parents[2]


def python(*arguments: str, **environment: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    given = os.environ | {name: str(value) for name, value in environment.items()}
    return subprocess.run([sys.executable, *arguments], cwd=PROJECT, env=given, capture_output=True, text=True)


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `python -m pipeline.cli.commands` with these arguments and this environment, in this process."""

    def run(*arguments: str, **environment: str | Path) -> Ended:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["commands", *arguments])
            for name, value in environment.items():
                patch.setenv(name, str(value))
            status = main()
        return Ended(status, *capsys.readouterr())

    return run


Command = Callable[..., Ended]


@pytest.mark.process
def test_importing_the_definitions_loads_no_heavy_library() -> None:
    script = (
        "import sys, pipeline.definitions; print(sorted({'torch','transformers','open_clip','ray'} & set(sys.modules)))"
    )
    assert python("-c", script).stdout.strip() == "[]"


NO_WEIGHTS = PROJECT_ROOT / "tests" / "broken" / "none.safetensors"


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        ("smaple", "Dataset smaple: there is no dataset 'smaple' in the catalogue"),
        ("no_file", "Dataset no_file: 'reviews' names "),
        (
            "wrong_key",
            "Dataset wrong_key: datasets.yaml, dataset wrong_key: there is no setting 'reviewz'; the closest",
        ),
        (
            "wrong_setting",
            "Dataset wrong_setting: the catalogue's settings have 'usercore', which no asset has; the closest to it: "
            "user_core",
        ),
        ("wrong_setting_value", "Dataset wrong_setting_value: the setting 'user_core' is 'many'"),
        ("no_weights", f"Dataset no_weights: image_weights is '{NO_WEIGHTS}', and nothing is there."),
        ("no_text_weights", "Dataset no_text_weights: text_encoder 'somebody/unheard-of' cannot be loaded"),
    ],
)
def test_check_ends_with_one_sentence_alone(command: Command, dataset: str, sentence: str) -> None:
    ended = command("check", dataset)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(sentence)
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("images: nowhere", "'images' names {folder}/nowhere, and there is no such folder."),
        ("settings: {image_encoder: Vit-B32}", "image_encoder is 'Vit-B32', and open_clip has no such architecture."),
        ("settings: {device: 'cuda:99'}", "device is 'cuda:99', and this machine has none of that name."),
        ("settings: {processes: 3}", "the setting 'processes' is 3: it must divide dim, which is 64."),
        ("settings: {split_points: [5]}", "the setting 'split_points' is [5]: it holds two times, the"),
    ],
)
def test_what_would_only_fail_later_is_refused_before(
    command: Command, tmp_path: Path, entry: str, sentence: str
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        f"datasets:\n  shop:\n    format: amazon2023\n    reviews: 'sample:'\n    metadata: 'sample:'\n    {entry}\n"
    )
    ended = command("check", "shop", REC_DATASETS=own, REC_DATA=tmp_path / "data")
    assert ended.stderr.startswith(f"Dataset shop: {sentence.format(folder=tmp_path)}")
    assert ended.stderr.count("\n") == 1


def test_surroundings_that_cannot_be_are_refused_before(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = command("check", "sample", REC_DATA=tmp_path / "file")
    told = f"Dataset sample: {tmp_path}/file cannot be a folder (File exists); let REC_DATA name another.\n"
    assert ended.stderr == told
    ended = command("check", "sample", REC_COMPUTE="rayy")
    assert ended.stderr.startswith("Dataset sample: REC_COMPUTE is 'rayy', and takes local, ray, or ray:HOST:PORT")


@pytest.mark.parametrize("name", ["restore", "rollback", "catch-up"])
def test_a_name_that_is_misspelt_is_told_by_whatever_takes_one(command: Command, name: str) -> None:
    ended = command(name, "sampel")
    told = "Dataset sampel: there is no dataset 'sampel' in the catalogue; the closest to it: sample.\n"
    assert (ended.returncode, ended.stderr) == (1, told)


def test_check_lets_the_sample_pass(command: Command) -> None:
    assert command("check", "sample") == (0, "", "")


@pytest.mark.process
def test_a_process_of_its_own_says_the_same() -> None:
    well = python("-m", "pipeline.cli.commands", "check", "sample")
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    ended = python("-m", "pipeline.cli.commands", "check", "smaple")
    told = "Dataset smaple: there is no dataset 'smaple' in the catalogue; the closest to it: sample.\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)


def test_a_catalogue_that_is_no_yaml_is_one_sentence(command: Command, tmp_path: Path) -> None:
    broken = tmp_path / "mine.yaml"
    broken.write_text("datasets: {sample: [")
    ended = command("check", "sample", REC_DATASETS=broken)
    assert ended.stderr == "Dataset sample: mine.yaml, line 1: this is not YAML.\n"


@pytest.mark.process
def test_several_at_once_prepare_one_home(tmp_path: Path) -> None:
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path / "home")}
    started = [
        subprocess.Popen([sys.executable, "-m", "pipeline.cli.commands", "home"], cwd=PROJECT, env=environment)
        for _ in range(4)
    ]
    assert [process.wait() for process in started] == [0] * 4
    script = "from dagster import DagsterInstance; print(len(DagsterInstance.get().get_run_records()))"
    assert python("-c", script, DAGSTER_HOME=tmp_path / "home").stdout.strip() == "0"


def test_bare_commands_use_the_projects_home_unless_another_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a home, größer"
    (tmp_path / ".env").write_text(variables_of(home))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert get_env_var_dict(str(tmp_path)) == {"DAGSTER_HOME": str(home), "GOMP_SPINCOUNT": "7"}
    monkeypatch.setenv("DAGSTER_HOME", "/somewhere/else")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    assert get_env_var_dict(str(tmp_path)) == {"DAGSTER_HOME": "/somewhere/else", "GOMP_SPINCOUNT": "1000"}


def test_the_settings_of_somebody_elses_home_are_left_alone(command: Command, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert command("home", DAGSTER_HOME=tmp_path).returncode == 0
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_why_tells_a_run_that_never_began_from_one_that_recorded_no_reason(command: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert command("home", DAGSTER_HOME=home).returncode == 0
    said = command("why", "sample", DAGSTER_HOME=home).stderr
    assert said == "Dataset sample: the run did not start; what Dagster says above tells why.\n"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        job = Pipeline(tmp_path / "data").definitions.resolve_job_def("refresh")
        run = instance.create_run_for_job(job, tags={PARTITION: "sample"}, status=dg.DagsterRunStatus.STARTED)
    said = command("why", "sample", DAGSTER_HOME=home).stderr
    assert said.startswith(f"Dataset sample: run {run.run_id} ended without recording why; ")


@pytest.mark.process
def test_a_run_by_the_dagster_command_line_and_what_is_said_of_it(tmp_path: Path) -> None:
    where = {"DAGSTER_HOME": tmp_path / "home", "REC_DATA": tmp_path / "data"}
    assert python("-m", "pipeline.cli.commands", "home", **where).returncode == 0

    def run(dataset: str) -> subprocess.CompletedProcess[str]:
        selection = ["--select", "*report", "--partition", dataset]
        return python("-m", "dagster", "asset", "materialize", "-m", "pipeline.definitions", *selection, **where)

    ended = run("quick")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "reviews quick: 9," in ended.stderr  # progress is seen in the terminal
    shown = python("-m", "pipeline.cli.commands", "show", "quick", **where)
    assert shown.returncode == 0, shown.stderr
    assert "Leaderboard of quick" in shown.stdout
    assert "gated_lightgcn" in shown.stdout
    assert "Check failed" not in shown.stdout
    assert shown.stdout.rstrip().endswith(str(tmp_path / "data" / "report" / "quick.html"))

    failed = run("empty")
    assert failed.returncode != 0
    said = python("-m", "pipeline.cli.commands", "why", "empty", **where)
    assert said.returncode == 1
    assert said.stderr == (
        "Dataset empty: the file of 'reviews', empty.jsonl, holds not one review in the format amazon2023; "
        "it is empty.\n"
    ), failed.stderr[-2000:]


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_waits_for_a_server_says_so_and_ends_when_told(tmp_path: Path, number: signal.Signals) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("datasets: {shop: {format: amazon2023, reviews: 'http://127.0.0.1:9/r', metadata: 'sample:'}}")
    (tmp_path / "home").mkdir()
    places = {"REC_DATASETS": own, "REC_DATA": tmp_path / "data", "DAGSTER_HOME": tmp_path / "home"}
    arguments = ["asset", "materialize", "-m", "pipeline.definitions", "--select", "raw_reviews", "--partition", "shop"]
    program = f"""
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored for what it runs beside itself
sys.argv[1:] = {arguments}
runpy.run_module("dagster", run_name="__main__")
"""
    run = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=os.environ | {name: str(place) for name, place in places.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    assert any("tried again in 60 s, if the run is not ended before" in line for line in run.stdout)
    run.send_signal(number)
    rest, _ = run.communicate(timeout=300)
    assert run.returncode != 0
    assert "tried again in" not in rest  # it ended in the wait, not after the next try
