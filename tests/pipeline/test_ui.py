"""The Dagster UI in a real browser, as `make ui` starts it: what a person sees, and a run started by click.

Pictures of the pages go to the folder `REC_SCREENSHOTS`, where that is set.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.definitions import defs
from tests.pipeline.ports import answers, free_ports

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PROJECT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = ["--headless=new", "--no-sandbox", "--disable-background-networking"]
GROUPS = ("ingest", "interactions", "features", "graph", "training", "evaluation")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here (apt-get install chromium)"),
]


@dataclass(frozen=True)
class Served:
    """A running UI and the folder of its instance."""

    url: str
    reports: str
    environment: dict[str, str]

    def materializations(self, asset: str) -> int:
        """How often an asset was made for the sample, as the instance knows it."""
        script = (
            "import dagster as dg\n"
            f"wanted = dg.AssetRecordsFilter(dg.AssetKey({asset!r}), asset_partitions=['sample'])\n"
            "with dg.DagsterInstance.get() as instance:\n"
            "    print(len(instance.fetch_materializations(wanted, limit=100).records))"
        )
        command = [sys.executable, "-W", "ignore", "-c", script]
        return int(subprocess.run(command, env=self.environment, capture_output=True, check=True).stdout)


def until(there: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ui")
    (folder / "home").mkdir()
    ui, reports = free_ports(2)
    environment = os.environ | {
        "DAGSTER_HOME": str(folder / "home"),
        "REC_DATA": str(folder / "data"),
        "REC_REPORT_PORT": str(reports),
        "PYTHONPATH": str(PROJECT),
    }
    python = [sys.executable, "-W", "ignore", "-m"]
    subprocess.run([*python, "pipeline.cli.commands", "home"], cwd=PROJECT, env=environment, check=True)
    select = ["asset", "materialize", "-m", "pipeline.definitions", "--select", "*splits", "--partition", "sample"]
    made = subprocess.run([*python, "dagster", *select], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    command = [*python, "pipeline.cli.serve", "--workspace", "workspace.yaml", "--port", str(ui)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{ui}/server_info"))
        yield Served(f"http://127.0.0.1:{ui}", f"http://127.0.0.1:{reports}", environment)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    for port in (ui, reports):
        socket.create_server(("127.0.0.1", port)).close()  # nobody is left there


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: "sync_api.Browser", request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["sync_api.Page"]:
    opened = browser.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(60_000)
    yield opened
    folder = Path(os.environ.get("REC_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    opened.wait_for_timeout(1_000)  # until it has come to rest
    opened.screenshot(path=folder / f"{request.node.name}.png")
    opened.close()


def test_the_asset_graph_is_grouped_by_stage(page: "sync_api.Page", served: Served) -> None:
    page.goto(f"{served.url}/asset-groups/")
    for group in GROUPS:
        page.get_by_text(group, exact=True).first.wait_for()


def test_a_stage_lists_its_assets(page: "sync_api.Page", served: Served) -> None:
    page.goto(f"{served.url}/locations/pipeline.definitions/asset-groups/interactions/list")
    for asset in ("interactions", "item_index", "splits"):
        page.locator(f"a[href*='/assets/{asset}']").first.wait_for()


def test_an_asset_shows_its_description_columns_and_code(page: "sync_api.Page", served: Served) -> None:
    page.goto(f"{served.url}/assets/interactions")
    page.get_by_text("Who interacted with what: rating filter").first.wait_for()
    page.get_by_text("Id of the reviewer as in the dump; it belongs to a person.").first.wait_for()
    page.get_by_text("int32").first.wait_for()
    page.locator("a[href*='assets/interactions/assets.py']").first.wait_for()


def test_a_partition_shows_its_first_rows_and_names_nobody(page: "sync_api.Page", served: Served) -> None:
    page.goto(f"{served.url}/assets/interactions?view=partitions&partition=sample")
    page.get_by_text("preview", exact=True).first.wait_for()
    page.get_by_text("SAMPLE-I", exact=False).first.wait_for()
    assert "SAMPLE-U" not in page.content()
    page.get_by_text("[Show Markdown]").first.click()
    page.locator("img[src^='data:image/png']").first.wait_for()


def test_the_launchpad_explains_every_setting(page: "sync_api.Page", served: Served) -> None:
    page.goto(f"{served.url}/locations/pipeline.definitions/jobs/refresh/playground")
    page.get_by_text("Launch Run").first.wait_for()
    for asset in defs.resolve_asset_graph().get_all_asset_keys():
        node = defs.get_assets_def(asset).op
        fields = node.config_schema.config_type.fields  # type: ignore[union-attr]
        assert fields["force"].description == "Make it again even if nothing has changed."
        for name, field in fields.items():
            assert len(field.description or "") > 10, f"{asset.to_user_string()}.{name}"
            assert not field.is_required, f"{asset.to_user_string()}.{name}"


def test_a_materialization_started_by_click_succeeds(page: "sync_api.Page", served: Served) -> None:
    before = served.materializations("splits")
    page.goto(f"{served.url}/assets/splits")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").click()
    page.keyboard.type("sample")
    page.get_by_text("Select all (1)").click()
    page.get_by_text("1 partition", exact=True).wait_for()
    page.get_by_text("Launch runs to materialize").click()  # anywhere else in it: the list closes
    page.get_by_role("button", name="Launch").last.click()
    until(lambda: served.materializations("splits") == before + 1)
    page.goto(f"{served.url}/runs")
    page.get_by_text("Success").first.wait_for()


def test_the_reports_are_served_beside_it(page: "sync_api.Page", served: Served) -> None:
    folder = Path(served.environment["REC_DATA"]) / "report"
    folder.mkdir()
    (folder / "sample.html").write_text("<title>sample</title><h1>A report</h1>")
    page.goto(served.reports)
    page.get_by_role("link", name="sample").click()
    page.get_by_role("heading", name="A report").wait_for()
