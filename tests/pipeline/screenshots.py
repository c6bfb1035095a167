"""The pictures of README, taken of the sample as it was last made: `python -m tests.pipeline.screenshots FOLDER`.

It needs Chromium, and a data root in which `make run` has made the sample.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser

from storage.artifacts.data_root import DataRoot
from storage.environment import PROJECT_ROOT
from tests.pipeline.browser import chromium, find_chromium
from tests.pipeline.ports import answers, free_ports

WIDTH, HEIGHT = 1400, 1100


def photograph_report(browser: Browser, report: Path, picture: Path) -> None:
    """The section of the gate, and below it the first user with recommendations."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    page.goto(report.as_uri())
    for section in ("gate", "users"):
        page.locator(f"#{section}").scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        page.evaluate("section => document.getElementById(section).scrollIntoView()", section)
        page.screenshot(path=picture.with_stem(f"{picture.stem}_{section}"))
    page.close()


def photograph_graph(browser: Browser, picture: Path) -> None:
    """The asset graph of the Dagster UI, one box a group."""
    ui, reports = free_ports(2)
    command = [sys.executable, "-W", "ignore", "-m", "pipeline.cli.serve", "--workspace", "workspace.yaml"]
    environment = os.environ | {"REC_REPORT_PORT": str(reports)}
    process = subprocess.Popen([*command, "--port", str(ui)], cwd=PROJECT_ROOT, env=environment)
    try:
        while not answers(f"http://127.0.0.1:{ui}/server_info"):
            if process.poll() is not None:
                raise SystemExit("the Dagster UI ended before it answered; its messages are above")
            time.sleep(1)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"http://127.0.0.1:{ui}/asset-groups/")
        page.get_by_text("ingest", exact=True).first.wait_for(timeout=120_000)
        page.wait_for_timeout(5_000)  # until the layout has come to rest
        page.screenshot(path=picture)
        page.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder, program = parser.parse_args().folder, find_chromium()
    report = DataRoot.from_environment().path("report", "sample", ".html")
    if program is None or not report.is_file():
        raise SystemExit("this needs Chromium (or REC_CHROMIUM) and the report of the sample: `make run` first")
    folder.mkdir(parents=True, exist_ok=True)
    with chromium(program) as browser:
        photograph_report(browser, report, folder / "report.png")
        photograph_graph(browser, folder / "asset_graph.png")


if __name__ == "__main__":
    main()
