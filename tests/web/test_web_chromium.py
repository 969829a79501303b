"""The page as a browser shows it: every page in every state, on a phone and on a desk, light and dark."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

from ioc.rundb import SqliteRunStore
from tests.e2e.plant import Plant
from tests.rundb.rows import execute
from tests.web.chromium import Chromium, chromium, needs_chromium, screenshot
from tests.web.serving import Web
from tests.web.test_web_http import HOSTILE, filled

__all__ = ["filled"]

pytestmark = needs_chromium
Start = Callable[..., Web]

LOOKS = [(width, dark) for width in (360, 1280) for dark in (False, True)]

FAINT = """[...document.querySelectorAll('body *')].flatMap((element) => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !element.checkVisibility() || ['OPTION', 'TITLE', 'NOSCRIPT'].includes(element.tagName)) return [];
  let under = element;
  while (under && parse(getComputedStyle(under).backgroundColor)[3] === 0) under = under.parentElement;
  const back = parse(getComputedStyle(under ?? document.body).backgroundColor);
  const front = parse(getComputedStyle(element).color);
  const [a, b] = [light(back), light(front)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  return ratio < 4.5 ? [`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`] : [];
})"""
"""Elements with a text whose contrast is below 4.5."""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
NAMELESS = """[...document.querySelectorAll('input, select, button, a, img, svg, table, section, nav')].filter((each) =>
  each.checkVisibility() && !each.labels?.length && !each.textContent.trim() && !each.ariaLabel && !each.alt
).map((each) => each.outerHTML.slice(0, 80))"""
"""What a screen reader could not name."""
TOMORROW = """(() => {
  const Real = Date;
  window.Date = class extends Real { constructor(...at) { super(...(at.length ? at : [Real.now() + 86400000])); } };
})()"""
"""Sets the clock of the page to the next day."""


async def check(browser: Chromium, address: str, *, status: int = 200) -> str:
    """Open a page in all looks; nothing is wrong with it in any. Returns its text."""
    text = ""
    for width, dark in LOOKS:
        await browser.look(width=width, dark=dark)
        await browser.open(address)
        await faultless(browser, f"{address} {width} {'dark' if dark else 'light'}", status=status)
        text = await browser.text()
        assert text
    return text


async def faultless(browser: Chromium, where: str, *, status: int = 200) -> None:
    """What is open fits into the window, can be read and heard, and has no error on the console."""
    assert await browser.run(WIDE) <= 0, where
    assert await browser.run(FAINT) == [], where
    assert await browser.run(NAMELESS) == [], where
    landmarks = "['header nav', 'main', 'footer', 'h1'].filter((each) => document.querySelectorAll(each).length !== 1)"
    assert await browser.run(landmarks) == [], where
    assert await browser.run("document.documentElement.lang") == "en"
    problems = [each for each in browser.problems if status == 200 or f"status of {status}" not in each]
    browser.problems.clear()
    assert problems == [], where


async def test_every_page_with_hostile_runs(filled: SqliteRunStore, start: Start, tmp_path: Path) -> None:
    """Titles of every kind break no page: no script of theirs runs, nothing is wider than a phone."""
    web = start()
    async with chromium() as browser:
        for page in [
            "/runs",
            "/runs?search=script",
            "/runs?search=nothing",
            "/trends",
            *(f"/runs/{n}" for n in range(6)),
        ]:
            text = await check(browser, f"{web.address}{page}")
            assert await browser.run("document.body.dataset.hacked === undefined")
            if page == "/runs/0":
                assert HOSTILE[0] in text
        assert "No run has" in await check(browser, f"{web.address}/runs?search=nothing")
        await check(browser, f"{web.address}/runs/77", status=404)
        assert "is not in experiment" in await browser.text()
        await browser.open(f"{web.address}/trends")
        assert await browser.run("document.images[0].naturalWidth") > 300, "the plot is drawn"
        await screenshot(browser, tmp_path / "trends.png")
        await browser.open(f"{web.address}/database/runs")
        assert "run_sheet" in await browser.text("body")
        assert browser.problems == []


async def test_the_states_without_an_ioc_and_without_runs(start: Start, database: Path) -> None:
    """No IOC, no database, none of our version, no runs: each is said on a page that is whole."""
    web = start()
    async with chromium() as browser:
        assert "No IOC has answered for WEB:" in await check(browser, f"{web.address}/")
        for page in ("/runs", "/trends", "/runs/0", "/database/"):
            assert "there is no run database" in await check(browser, f"{web.address}{page}", status=503)
        store = await SqliteRunStore.open(database)
        assert "no experiment yet" in await check(browser, f"{web.address}/runs", status=404)
        await store.define_observables("e1", [])
        await store.close()
        assert "has no runs yet" in await check(browser, f"{web.address}/runs")
        assert "no numeric observables" in await check(browser, f"{web.address}/trends")
        execute(database, "PRAGMA user_version = 99")
        assert "has version 99" in await check(browser, f"{web.address}/runs", status=503)


async def test_the_present(plant: Plant, live: Web) -> None:
    """The page follows the IOC by itself, says within seconds that it hangs or is gone, and that its server is gone.

    It says since when, with the date if that was on another day.
    """
    async with chromium() as browser:
        for width, dark in LOOKS:
            await browser.look(width=width, dark=dark)
            await browser.open(f"{live.address}/")
            await browser.until("document.body.dataset.health === 'live'")
            await browser.until("document.querySelector('[data-key=\"Run:State\"]').innerText.trim() === 'Stopped'")
            await faultless(browser, f"{width} {dark}")
        await browser.run("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        await browser.run("document.dispatchEvent(new Event('visibilitychange'))")
        assert await plant.put("Run:Title", "while nobody looks", "-S")
        shown = "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'));"
        assert await browser.run(f"{shown} document.body.dataset.health") == "connecting"
        await browser.until("document.querySelector('[data-key=\"Run:Title\"]').innerText === 'while nobody looks'")
        await browser.until("document.body.dataset.health === 'live'")
        assert await plant.put("Run:Title", "<script>document.body.dataset.hacked = 1</script>", "-S")
        await browser.until("document.querySelector('[data-key=\"Run:Title\"]').innerText.startsWith('<script>')")
        assert await browser.run("document.body.dataset.hacked === undefined")
        assert await browser.run("document.querySelector('[aria-live=polite]').id") == "health"
        os.kill(plant.pid, signal.SIGSTOP)
        try:
            await browser.until("document.body.dataset.health === 'gone'")
        finally:
            os.kill(plant.pid, signal.SIGCONT)
        await browser.until("document.body.dataset.health === 'live'")
        plant.stop(signal.SIGKILL)
        await browser.until("document.body.dataset.health === 'gone'")
        await browser.until("document.querySelector('[data-key=\"Run:State\"]').innerText.includes('not connected')")
        await faultless(browser, "IOC gone")
        await browser.look(width=360)
        await faultless(browser, "IOC gone on a phone")
        live.process.kill()
        live.process.wait()
        await browser.until("document.body.dataset.health === 'lost'")
        lost = re.search(r"has lost its server since (\d\d:\d\d:\d\d)\.", await browser.text("#health"))
        assert lost is not None
        await browser.run(TOMORROW)
        await browser.until(
            f"/since \\d{{4}}-\\d\\d-\\d\\d {lost[1]}\\./.test(document.querySelector('#health').innerText)"
        )
        browser.problems.clear()  # that the stream ended
        await faultless(browser, "server gone", status=-1)


async def test_the_keyboard(filled: SqliteRunStore, start: Start) -> None:
    """With Tab the first thing is a link to the content; whatever has the focus shows it."""
    web = start()
    async with chromium() as browser:
        await browser.open(f"{web.address}/runs")
        for number in range(8):
            await browser.ask("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
            await browser.ask("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
            if number == 0:
                assert await browser.run("document.activeElement.className") == "skip"
            assert await browser.run("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
        assert await browser.run("document.activeElement.closest('main') !== null")
