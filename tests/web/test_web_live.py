"""The stream of the page, in front of a real IOC."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

import psutil
import yaml

from tests.e2e.plant import Plant
from tests.web.serving import Viewer, Web

VIEWERS = 200


async def connected(web: Web) -> Viewer:
    """A viewer that sees the IOC."""
    viewer = await web.viewer()
    await viewer.until(lambda: viewer.event["health"] == "live" and viewer.text("Run:State") == "Stopped")
    return viewer


async def test_a_put_is_on_the_page(plant: Plant, live: Web) -> None:
    """Viewers see what an operator puts; a new one is sent everything; values that nobody set are said to be so."""
    viewer = await connected(live)
    assert await plant.put("Run:Title", "<b>live</b>", "-S")
    await viewer.until(lambda: viewer.text("Run:Title") == "<b>live</b>")
    assert viewer.values["Obs:gas:Value"][:2] == ["not set", ""]
    assert viewer.values["Obs:beam_energy:Value"][:2] == ["not set", ""]
    await viewer.until(lambda: viewer.text("Obs:pressure:Value").endswith(" Torr"))
    await viewer.until(lambda: viewer.text("Interlock:gas:State") == "Ok")
    assert viewer.text("Obs:pressure:History") == "" or viewer.text("Obs:pressure:History").startswith("M")
    assert viewer.text("ECC:North:State") == "Idle"
    assert viewer.text("Router:rn:Online") == "Online"
    assert viewer.text("Log:Lines")
    page = live.ask("/").text
    assert "&lt;b&gt;live&lt;/b&gt;" in page
    assert "<b>live" not in page
    await viewer.close()


async def test_an_ioc_that_hangs_ends_and_comes_back(plant: Plant, live: Web) -> None:
    """Whether it hangs or is gone, the page says so and keeps the old values, marked; it follows it when it is back."""
    viewer = await connected(live)
    os.kill(plant.pid, signal.SIGSTOP)
    try:
        await viewer.until(lambda: viewer.event["health"] == "gone")
    finally:
        os.kill(plant.pid, signal.SIGCONT)
    assert "has not answered since" in viewer.event["sentence"]
    await viewer.until(lambda: viewer.event["health"] == "live")
    plant.stop(signal.SIGKILL)
    await viewer.until(lambda: viewer.event["health"] == "gone" and viewer.mark("Run:State") == "not connected")
    assert viewer.text("Run:State") == "Stopped"
    page = live.ask("/").text
    assert "has not answered since" in page
    assert 'data-health="gone"' in page
    await plant.start()
    await viewer.until(lambda: viewer.event["health"] == "live" and viewer.values["Run:State"][:2] == ["Stopped", ""])
    await viewer.close()


async def test_the_topology_may_change(plant: Plant, live: Web) -> None:
    """A new observable in the topology's file is followed when the IOC serves it, and the browser is told to reload."""
    viewer = await connected(live)
    generation = viewer.event["generation"]
    topology = plant.topology()
    topology["observables"].append({"name": "new_one", "type": "string"})
    plant.file.write_text("observables: [")  # a file with an error changes nothing
    plant.file.write_text(yaml.safe_dump(topology, sort_keys=False))
    await viewer.until(lambda: viewer.event["generation"] != generation)
    await viewer.close()
    viewer = await connected(live)
    assert viewer.mark("Obs:new_one:Value") == "not connected"
    assert await plant.put("IOC:Reload")
    await viewer.until(lambda: viewer.text("Obs:new_one:Value") == "not set")
    assert "new_one" in live.ask("/").text
    await viewer.close()


async def test_two_hundred_viewers(plant: Plant, live: Web) -> None:
    """All see the same, at most about four times a second; one that does not read costs nothing; Ctrl-C ends all."""
    process = psutil.Process(live.process.pid)
    viewers = await asyncio.gather(*(connected(live) for _ in range(VIEWERS)))
    lazy = await live.viewer()  # never reads again
    channels = await plant.get("IOC:Clients")
    assert int(channels) < 20
    before = process.memory_info().rss

    async def see(viewer: Viewer, title: str) -> None:
        await viewer.until(lambda: viewer.text("Run:Title") == title)

    for number in range(5):
        title = f"title {number}"
        assert await plant.put("Run:Title", title, "-S")
        await asyncio.gather(*(see(viewer, title) for viewer in viewers))
    for viewer in viewers:
        spans = [end - begin for begin, end in zip(viewer.times, viewer.times[4:], strict=False)]
        assert not spans or sum(spans) / len(spans) > 0.5, "events come too often"
    assert process.memory_info().rss - before < 60e6
    code, out, err, _ = await asyncio.to_thread(live.end)
    assert (code, out, err) == (0, "", "")
    for viewer in [*viewers, lazy]:
        await viewer.close()


async def test_no_ioc_ever(start: Callable[..., Web]) -> None:
    """Where no IOC answers, the page says what to look at, and nothing is shown as if it were known."""
    web = start()
    viewer = await web.viewer()
    await viewer.until(lambda: viewer.event["health"] == "never")
    assert "No IOC has answered for WEB:IOC:Heartbeat" in viewer.event["sentence"]
    assert {mark for _, mark, _ in viewer.values.values()} == {"not connected"}
    began = time.monotonic()
    await viewer.read()
    assert time.monotonic() - began < 30, "the stream goes on"
    await viewer.close()
