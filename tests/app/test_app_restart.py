"""The PVs that restart a program: who may, when, and what then happens, with a real IOC and caput."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app.site import RunningIoc
from tests.epics import Epics, eventually
from tests.fake_manager import FakeManager


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeManager:
    return FakeManager(tmp_path, monkeypatch)


@pytest.fixture
async def ioc(epics: Epics, tmp_path: Path, manager: FakeManager) -> AsyncIterator[RunningIoc]:
    """An IOC whose programs are units of systemd."""
    async with RunningIoc(tmp_path, epics, units="systemd") as running:
        yield running


async def test_a_put_restarts_the_unit_of_that_program(ioc: RunningIoc, manager: FakeManager) -> None:
    """It is answered when systemd is done, and the operator is told the next steps."""
    manager.does("sleep 0.3")
    assert await ioc.put("T:ECC:CoBo0:Restart")
    assert manager.calls[-1] == "--user restart attpc-ecc-CoBo0.service"
    assert "Describe, Prepare and Configure it" in await ioc.get("T:ECC:CoBo0:Message", "-S")
    assert await ioc.put("T:Router:CoBo1:Restart")
    assert manager.calls[-1] == "--user restart attpc-router-CoBo1.service"
    assert "was restarted" in await ioc.get("T:Router:CoBo1:Message", "-S")


async def test_a_failure_reaches_the_client(ioc: RunningIoc, manager: FakeManager) -> None:
    """caput fails, the message is an alarm, and the log has it with the user."""
    manager.does("echo Unit not found. >&2; exit 5")
    assert not await ioc.put("T:ECC:CoBo0:Restart")
    assert "cannot restart attpc-ecc-CoBo0: Unit not found." in await ioc.get("T:ECC:CoBo0:Message", "-S")
    assert await ioc.get("T:ECC:CoBo0:Message.SEVR") == "MAJOR"


async def test_while_it_lasts_nothing_else_is_done_with_the_program(ioc: RunningIoc, manager: FakeManager) -> None:
    """A second put and a transition are refused; reading PVs and other servers go on."""
    manager.does('[ "$2" != restart ] || sleep 3')
    first = asyncio.create_task(ioc.put("T:ECC:CoBo0:Restart"))
    await ioc.until("ECC:CoBo0:Restart", "Busy")
    assert "is being restarted" in await ioc.get("T:ECC:CoBo0:Message", "-S")
    assert not await ioc.put("T:ECC:CoBo0:Restart")
    assert not await ioc.put("T:ECC:CoBo0:Describe")
    assert await ioc.put("T:ECC:CoBo1:Describe")
    assert not first.done()
    assert await first


async def test_clients_without_write_access_are_denied(ioc: RunningIoc, manager: FakeManager) -> None:
    """The access rules hold for it as for every PV."""
    ioc.write(units="systemd", access=[{"pvs": "*:Restart", "write": False}, {"pvs": "*", "write": True}])
    await _reload(ioc)
    assert not await ioc.put("T:ECC:CoBo0:Restart")
    assert manager.calls == []


async def _reload(ioc: RunningIoc) -> None:
    """Restart internally with the new topology."""
    assert await ioc.put("T:IOC:Reload")
    await eventually(lambda: ioc.ready == 2)
    await ioc.until("State", "Idle")


async def test_without_units_there_is_no_such_pv(ioc: RunningIoc) -> None:
    """The topology says nothing of units: then nothing can be restarted."""
    assert await ioc.get("T:ECC:CoBo0:Restart")
    ioc.write()
    await _reload(ioc)
    assert await ioc.absent("T:ECC:CoBo0:Restart")
    assert await ioc.absent("T:Router:CoBo0:Restart")
