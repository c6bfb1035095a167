"""The sample's report in headless Chromium: at the width of a phone and of a desk, light and dark."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from tests.pipeline.browser import Look, chromium, find_chromium, look
from tests.pipeline.in_process import Pipeline

PHONE, DESK = 390, 1280


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; its tests are skipped where it is not installed."""
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium; or name it by REC_CHROMIUM)")
    with chromium(program) as found:
        yield found


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where pictures of the pages go: `REC_SCREENSHOTS`, or a folder of the test."""
    return Path(os.environ.get("REC_SCREENSHOTS") or tmp_path)


# One of them is a fast test: whatever breaks the page breaks it there first.
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (PHONE, "light"),
        pytest.param(PHONE, "dark", marks=pytest.mark.browser),
        pytest.param(DESK, "light", marks=pytest.mark.browser),
        pytest.param(DESK, "dark", marks=pytest.mark.browser),
    ],
)
def test_the_report_is_quiet_fits_and_asks_for_nothing(
    sample: Pipeline, browser: Browser, screenshots: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = sample.root.path("report", "sample", ".html")
    seen = look(browser, page, width, scheme, screenshots / f"report-{width}-{scheme}.png")
    assert seen.said == []
    assert seen.asked == []
    assert seen.client_width == width
    assert seen.scroll_width <= width
    assert seen.pictures > 100
    assert seen.broken_pictures == 0
    lightness = sum(int(part) for part in seen.background.strip("rgb()").split(",")) / 3
    assert lightness > 230 if scheme == "light" else lightness < 40


@pytest.mark.browser
def test_a_page_that_is_none_of_this_is_told_apart(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<script>console.warn('a warning'); throw new Error('an error')</script>"
        "<img src='http://127.0.0.1:9/picture.jpg'><div style='width: 2000px'>wide</div>"
    )
    seen: Look = look(browser, page, PHONE, "light", tmp_path / "bad.png")
    assert "a warning" in seen.said
    assert any("an error" in said for said in seen.said)
    assert seen.asked == ["http://127.0.0.1:9/picture.jpg"]
    assert seen.scroll_width >= 2000 > seen.client_width
    assert (seen.pictures, seen.broken_pictures) == (1, 1)
