"""docs/simulator.md is complete and true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ioc.sim import ObservablePlan, PartnerPlan, RouterPlan, ServerPlan, SimulatorError, Site, SitePlan
from ioc.sim.ecc_state import OPERATIONS
from ioc.sim.ecc_wire import Behaviour

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
COMMANDS: list[dict[str, Any]] = [json.loads(text) for text in re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE)]


@pytest.fixture
def plan(tmp_path: Path) -> SitePlan:
    """The site that the page's commands speak of."""
    return SitePlan(
        str(tmp_path),
        servers=(ServerPlan("CoBo0", ("CoBo[0]",)),),
        routers=(RouterPlan("data0"),),
        observables=(ObservablePlan("GAS:P1:Pressure", "float", "Torr"),),
        partners=(PartnerPlan("FRIBDAQ"),),
    )


async def test_every_documented_command_works(plan: SitePlan) -> None:
    """Every command of the table, in its order, is carried out by a running simulator."""
    assert len(COMMANDS) > 25
    async with Site(plan) as site:
        for command in COMMANDS:
            assert (await site.control(command))["ok"], command


async def test_every_command_is_documented(plan: SitePlan) -> None:
    """Every verb that a part names when it refuses one is in the table."""
    async with Site(plan) as site:
        parts = {"ecc": "CoBo0", "router": "data0", "source": "CoBo[0]", "slow_controls": "GAS:P1:Pressure"}
        parts["partner"] = "FRIBDAQ"
        for part, name in parts.items():
            with pytest.raises(SimulatorError) as refused:
                await site.control({part: name, "do": "?"})
            verbs = set(str(refused.value).rpartition(" knows ")[2].split(", "))
            documented = {command["do"] for command in COMMANDS if part in command}
            assert verbs == documented - ({"stop", "start"} if part == "slow_controls" else set())


def test_every_behaviour_is_documented() -> None:
    """The table has every way in which an ECC server can answer wrongly, and no other."""
    assert {command["as"] for command in COMMANDS if command.get("do") == "behave"} == set(Behaviour)


def test_durations_are_documented() -> None:
    """The page has the durations that the state machine uses."""
    for name, operation in OPERATIONS.items():
        assert re.search(rf"{name}\b[A-Za-z, ]* {operation.seconds:g} s", PAGE), name
