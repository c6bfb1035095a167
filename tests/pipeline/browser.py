"""A page in headless Chromium, as a person would see it, and everything that it complains of."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-background-networking"]
HEIGHT = 900


def find_chromium() -> str | None:
    """The program of Chromium: `REC_CHROMIUM`, or what the path has."""
    return os.environ.get("REC_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Look:
    """What a browser saw of a page.

    Attributes:
        said: every message on the console but plain logs, and every error that nothing caught.
        asked: every URL that was asked for besides the page itself and what it holds (`data:`).
        scroll_width, client_width: of the document, in pixels.
        background: the colour of the page.
        broken_pictures: how many pictures could not be decoded; pictures: how many there are.
    """

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    scroll_width: int = 0
    client_width: int = 0
    background: str = ""
    pictures: int = 0
    broken_pictures: int = 0


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """A browser that starts with nothing of its user's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def look(browser: Browser, page: Path, width: int, scheme: Literal["light", "dark"], screenshot: Path) -> Look:
    """Open a page with everything unfolded, and keep a picture of all of it."""
    context = browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
    try:
        seen, tab = Look(), context.new_page()
        tab.on("console", lambda message: seen.said.append(message.text) if message.type != "log" else None)
        tab.on("pageerror", lambda error: seen.said.append(str(error)))
        tab.on("request", lambda request: seen.asked.append(request.url))
        tab.goto(page.as_uri())
        seen.asked = [url for url in seen.asked if url != page.as_uri() and not url.startswith("data:")]
        tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        seen.scroll_width = tab.evaluate("document.documentElement.scrollWidth")
        seen.client_width = tab.evaluate("document.documentElement.clientWidth")
        seen.background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        pictures = tab.evaluate("[...document.images].map(one => one.naturalWidth)")
        seen.pictures, seen.broken_pictures = len(pictures), pictures.count(0)
        screenshot.parent.mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=screenshot, full_page=True)
        return seen
    finally:
        context.close()
