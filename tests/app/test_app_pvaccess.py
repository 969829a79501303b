"""The whole IOC by PVAccess: beside Channel Access, through reloads, and switched off."""

from __future__ import annotations

from tests.app.site import RunningIoc


async def pvget(ioc: RunningIoc, pv: str, wait: str = "30") -> str:
    """What pvget prints of a PV; empty if nobody serves it."""
    shown = await ioc.epics.arun("pvget", "-w", wait, pv)
    return shown.stdout if shown.returncode == 0 else ""


async def test_a_command_by_pvput(ioc: RunningIoc) -> None:
    """pvput takes a server one step further, and is refused with the reason where that is impossible."""
    done = await ioc.epics.arun("pvput", "-w", "30", "T:ECC:CoBo0:Describe", "1")
    assert done.returncode == 0, done.stderr
    assert "Described" in await pvget(ioc, "T:ECC:CoBo0:State")
    assert await ioc.get("T:ECC:CoBo0:State") == "Described"
    refused = await ioc.epics.arun("pvput", "-w", "30", "T:Run:Start", "1")
    assert refused.returncode == 1
    assert "ECC server CoBo0 is Described, but must be Ready" in refused.stdout + refused.stderr


async def test_observables_come_and_go(ioc: RunningIoc) -> None:
    """A reload adds and removes PVs here too."""
    ioc.write(observables=[{"name": "energy", "units": "MeV"}])
    assert await pvget(ioc, "T:Obs:gas:Value")
    assert await ioc.put("T:IOC:Reload")
    assert await pvget(ioc, "T:Obs:energy:Value")
    assert not await pvget(ioc, "T:Obs:gas:Value", wait="1")


async def test_it_can_be_switched_off(ioc: RunningIoc) -> None:
    """With `pva: false` the PVs are served by Channel Access alone; with true again, by both."""
    ioc.write(prefix="U:", pva=False)
    assert await ioc.put("T:IOC:Reload")
    await ioc.until("State", "Idle", prefix="U:")
    assert not await pvget(ioc, "U:State", wait="1")
    ioc.write()
    assert await ioc.put("U:IOC:Reload")
    assert await pvget(ioc, "T:State")
