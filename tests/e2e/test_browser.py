"""The page in a real browser: no console message, no request, nothing that overflows, readable in the dark and by landmarks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")

OVERFLOWS = """() => [...document.querySelectorAll('body *')].filter(e => {
  if (e.closest('.scroll') || e.closest('svg') || e.closest('details:not([open])')) return false;
  const box = e.getBoundingClientRect();
  return box.width > 0 && (box.right > document.documentElement.clientWidth + 1 || box.left < -1);
}).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40))"""
LIGHTNESS = """e => { const [r, g, b] = getComputedStyle(e).getPropertyValue(PROPERTY).match(/[\\d.]+/g).map(Number);
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255; }"""


@pytest.fixture(scope="module")
def written(finished_tiny: harness.Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page.html"
    code, _, err = harness.run("report", "html", "--store", finished_tiny.store, "--out", out)
    assert code == 0, err
    return out


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def opened(request: pytest.FixtureRequest, chromium: Any, written: Path) -> Iterator[tuple[Any, list[str], list[str]]]:
    """(page, console messages, requests) of the page as opened."""
    width, scheme = request.param
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda wanted: asked.append(wanted.url))
    page.goto(written.as_uri())
    yield page, said, asked
    page.close()


def test_it_is_quiet_and_nothing_overflows(opened) -> None:
    page, said, asked = opened
    assert said == [] and [u for u in asked if not u.endswith("/page.html")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(OVERFLOWS) == []
    for number in range(page.locator("details:not([open]) > summary").count()):
        page.locator("details > summary").nth(number).click()
    assert page.evaluate(OVERFLOWS) == [], "opened parts too"


def test_text_and_figures_stand_out_from_the_page(opened) -> None:
    """Words in figures are in the page's own ink, which is light on dark and dark on light."""
    page, *_ = opened
    ink = page.locator("h1").evaluate(LIGHTNESS.replace("PROPERTY", "'color'"))
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert ink > 0.8 if dark else ink < 0.2
    words = page.locator("figure svg text").first.evaluate(LIGHTNESS.replace("PROPERTY", "'fill'"))
    assert words == pytest.approx(ink, abs=0.05)


def test_a_screen_reader_finds_its_way(opened) -> None:
    page, *_ = opened
    assert [page.locator(tag).count() for tag in ("header", "main", "h1")] == [1, 1, 1]
    assert page.get_by_role("navigation", name="Parts of this page").count() == 1
    links = page.get_by_role("navigation").get_by_role("link")
    for number in range(links.count()):
        target = links.nth(number).get_attribute("href")
        assert page.locator(f"h2{target}").count() == 1, target
    unnamed = page.evaluate(
        "[...document.querySelectorAll('svg, [role=region], section')].filter(e => !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')).length"
    )
    assert unnamed == 0
    headers = page.evaluate("[...document.querySelectorAll('th')].every(e => e.scope === 'col')")
    assert headers and page.locator("table").count() > 5
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0)"), (
        "the keyboard reaches them"
    )
