"""Boards that go on sending after their ECC server was restarted in a run, and boards that were restarted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.plant import Plant
from tests.epics import eventually


def bytes_of(plant: Plant, router: str) -> int:
    """Size of all .graw files of a router."""
    return sum(size for path, size in plant.graw_files().items() if Path(path).parts[0] == router)


async def said(plant: Plant, words: str, pv: str = "Run:Message") -> None:
    """Wait until a message has these words."""
    async with asyncio.timeout(30):
        while True:
            if words in await plant.text(pv):
                return
            await asyncio.sleep(0.1)


async def test_a_board_that_goes_on_sending_ends_with_breakup(ready: Plant) -> None:
    """The remedy that the run's message names works: Configure alone does not end the data, Breakup does."""
    assert await ready.put("Run:Start"), await ready.text("Run:Message")
    await ready.until("Router:rn:FileCount", lambda count: int(count) >= 1)
    await ready.control(ecc="North", do="restart")
    await ready.until("ECC:North:State", "Idle")
    stopping = asyncio.create_task(ready.put("Run:Stop"))
    await said(ready, "Breakup North alone")
    for step in ("Describe", "Prepare"):
        assert await ready.put(f"ECC:North:{step}"), await ready.text("ECC:North:Message")
    assert not await ready.put("ECC:North:Configure"), "the router does not listen yet"
    assert await ready.put("ECC:North:Configure"), await ready.text("ECC:North:Message")
    await ready.until("ECC:North:State", "Ready")
    before = bytes_of(ready, "rn")
    await eventually(lambda: bytes_of(ready, "rn") > before)
    assert await ready.get("Run:State") == "Filing"
    assert await ready.put("ECC:North:Breakup"), await ready.text("ECC:North:Message")
    await ready.until_closed()
    await stopping
    recorded = ready.query("SELECT path, bytes FROM files")
    assert len(recorded) == len(ready.graw_files())
    assert {Path(path).stat().st_size - size for path, size in recorded} == {0}


async def test_the_next_steps_lead_out_of_a_start_that_failed_at_a_restarted_board(ready: Plant) -> None:
    """Its ECC server is Ready still: Reset shows that it must be restarted, and its steps lead to the next run."""
    await ready.control(ecc="North", do="break-electronics")
    assert not await ready.put("Run:Start")
    await ready.until("NextStep", "Reset")
    await said(ready, "Start failed at North", "NextAction")
    assert not await ready.put("Reset"), "Breakup fails"
    await said(ready, "Restart getEccSoapServer: ECC server North is Off, which is a fault", "NextAction")
    await ready.control(ecc="North", do="restart")
    behind = "ECC server North is Idle, the others are Prepared: bring them to the same state on their pages"
    await said(ready, behind, "NextAction")
    for step in ("Describe", "Prepare"):
        assert await ready.put(f"ECC:North:{step}"), await ready.text("ECC:North:Message")
    await ready.until("NextStep", "Configure")
    assert await ready.put("Configure"), await ready.text("Message")
    await ready.until("NextStep", "Start")
    assert await ready.put("Run:Start"), await ready.text("Run:Message")
    await ready.stop_run()
