"""The simulated slow controls, seen with EPICS base's own tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ioc.sim import ObservablePlan, SimulatorError, Site, SitePlan, send_command
from tests.epics import Epics

PLAN = (
    ObservablePlan("GAS:P1:Pressure", "float", "Torr", 0.0, 800.0),
    ObservablePlan("HV:Cathode", "integer", "kV"),
    ObservablePlan("GAS:Valve", "enum"),
    ObservablePlan("GAS:Name", "string"),
)


@pytest.fixture
async def site(tmp_path: Path, epics: Epics) -> AsyncIterator[Site]:
    """Slow controls alone; EPICS base's tools look for them."""
    async with Site(SitePlan(str(tmp_path), observables=PLAN, speed=10.0)) as running:
        epics.env["EPICS_CA_SERVER_PORT"] = str(running.addresses.ca_port)
        yield running


async def test_types_units_and_limits(site: Site, epics: Epics) -> None:
    """Each PV has its type, a plausible value, its units and alarm limits, and no alarm."""
    assert site.addresses.ca_port
    info = await epics.acainfo(*(plan.pv for plan in PLAN))
    types = [line.split()[-1] for line in info.stdout.splitlines() if "Native data type" in line]
    assert types == ["DBF_DOUBLE", "DBF_LONG", "DBF_ENUM", "DBF_STRING"]
    pressure = await epics.acaget("-d", "DBR_CTRL_DOUBLE", "GAS:P1:Pressure")
    fields = dict(line.strip().split(":", 1) for line in pressure.stdout.splitlines() if ":" in line)
    found = {name.strip(): value.strip() for name, value in fields.items()}
    assert found["Units"] == "Torr"
    assert (found["Lo alarm limit"], found["Hi alarm limit"]) == ("0", "800")
    assert (found["Status"], found["Severity"]) == ("NO_ALARM", "NO_ALARM")
    assert 300 < float(found["Value"]) < 500
    assert 15 <= int(await epics.value("HV:Cathode")) <= 45
    assert await epics.value("GAS:Valve") == "On"
    assert await epics.value("GAS:Name") == "nominal"


async def test_value_drifts_can_be_held_and_let_go(site: Site, epics: Epics) -> None:
    """Values change by themselves; a frozen one sends nothing; one that is set keeps its value and its alarm."""
    async with epics.camonitor("GAS:P1:Pressure") as monitor:
        lines = await monitor.until(lambda lines: len(lines) >= 4)
        assert len({line.split()[3] for line in lines}) > 1
        await site.control({"slow_controls": "*", "do": "freeze"})
        frozen = await epics.value("GAS:P1:Pressure")
        assert await epics.value("GAS:P1:Pressure") == frozen
        await site.control({"slow_controls": "GAS:P1:Pressure", "do": "set", "value": 900.0})
        await monitor.until(lambda lines: "HIHI MAJOR" in lines[-1])
        assert await epics.value("GAS:P1:Pressure") == "900"
        await site.control({"slow_controls": "*", "do": "thaw"})
        await monitor.until(lambda lines: "MAJOR" not in lines[-1])


async def test_disconnect_and_return(site: Site, epics: Epics) -> None:
    """When the IOC is stopped its clients are disconnected; started again it serves on the same port."""
    async with epics.camonitor("GAS:P1:Pressure") as monitor:
        await monitor.until(lambda lines: lines)
        await site.control({"slow_controls": "*", "do": "stop"})
        await monitor.until(lambda lines: any("*** disconnected" in line for line in lines))
    await site.control({"slow_controls": "*", "do": "start"})
    assert 300 < float(await epics.value("GAS:P1:Pressure")) < 500


async def test_commands_at_the_same_time(site: Site) -> None:
    """Commands that come at the same time are carried out one after the other, each with its own answer."""
    pvs = ["X", "GAS:P1:Pressure"] * 5
    answers = await asyncio.gather(
        *(send_command(site.addresses.control_port, {"slow_controls": pv, "do": "freeze"}) for pv in pvs)
    )
    assert [answer["ok"] for answer in answers] == [False, True] * 5


async def test_wrong_commands(site: Site) -> None:
    """An unknown PV, an impossible value and an unknown verb are refused with a reason."""
    for pv, command, reason in (
        ("X", {"do": "freeze"}, "have no 'X'"),
        ("HV:Cathode", {"do": "set", "value": "much"}, "HV:Cathode"),
        ("GAS:P1:Pressure", {"do": "set", "value": []}, "GAS:P1:Pressure"),
        ("GAS:Valve", {"do": "set", "value": "Ajar"}, "must be one of Off, On, Fault"),
        ("HV:Cathode", {"do": "boil"}, "'boil'"),
        ("HV:Cathode", {"do": "set"}, "'value'"),
    ):
        with pytest.raises(SimulatorError) as refused:
            await site.control({"slow_controls": pv, **command})
        assert reason in str(refused.value)
