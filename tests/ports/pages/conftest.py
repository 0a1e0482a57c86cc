"""A browser for pages, one a session, and what a page does in it."""

import dataclasses
import shutil

import pytest

# Graphs are drawn by WebGL, which a machine without a display computes.
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@dataclasses.dataclass
class Opened:
    """A page in the browser, and what it said and asked for meanwhile."""

    page: object
    said: list
    asked: list


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    playwright = pytest.importorskip("playwright.sync_api")
    if chromium is None:
        pytest.skip("no Chromium: pages are not opened; `apt-get install chromium` brings it")
    with playwright.sync_playwright() as run:
        started = run.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def opened(browser, tmp_path):
    """`opened(html)`: an `Opened`, once all charts are drawn. No page may say an error or ask for anything."""
    pages = []

    def opened(html, **context):
        path = tmp_path / f"page_{len(pages)}.html"
        path.write_text(html, encoding="utf-8")
        page = browser.new_context(**context).new_page()
        one = Opened(page, [], [])
        page.on("console", lambda message: one.said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: one.said.append(str(error)))
        page.on("request", lambda request: one.asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-charts=drawn]", timeout=60_000)
        pages.append(one)
        return one

    yield opened
    for one in pages:
        assert one.said == []
        assert [url for url in one.asked if not url.startswith(("file:", "data:", "blob:"))] == []
        one.page.context.close()
