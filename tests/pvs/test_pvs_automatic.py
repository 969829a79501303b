"""The PVs of automatic runs: what a client puts, and what it sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ioc import ca
from ioc.model import Operation, Severity
from tests.pvs.panel import Panel

PLAN = """\
- title: "alpha {n}"
  minutes: 5
  manual: {gas: P10}
- gb: 20
  wait_for: [{observable: pressure, low: 350, high: 420}]
"""


@pytest.fixture
async def panel() -> AsyncIterator[Panel]:
    """PVs before an engine that runs."""
    panel = Panel()
    async with panel.bench:
        await panel.bench.to_ready()
        yield panel


def test_nothing_is_claimed_before_the_database_was_read() -> None:
    """Until then, Enable, State and Done are INVALID: a sequence may be under way."""
    panel = Panel()
    shown = [panel[f"Auto:{name}"] for name in ("Enable", "State", "Done")]
    panel.tree.show(panel.bench.engine.state)
    assert [pv.severity for pv in shown] == [Severity.INVALID] * 3
    panel.tree.show(replace(panel.bench.engine.state, restored=True))
    assert [pv.severity for pv in shown] == [Severity.NO_ALARM] * 3


async def test_a_sequence_is_set_up_shown_and_ended(panel: Panel) -> None:
    """Settings show what was put; State, Done, NextIn and Message follow the runs."""
    await panel.put("Auto:RunMinutes", 10.0)
    await panel.put("Auto:RunGB", 5.0)
    await panel.put("Auto:Runs", 3)
    await panel.put("Auto:PauseSeconds", 1.5)
    shown = [panel[f"Auto:{name}"].value for name in ("RunMinutes", "RunGB", "Runs", "PauseSeconds")]
    assert shown == [10.0, 5.0, 3, 1.5]
    assert panel.text("Auto:State") == "Off"
    await panel.put("Auto:Enable", 1)
    await panel.bench.until(lambda: panel.text("Auto:State") == "Running")
    assert panel.text("Auto:Enable") == "On"
    assert panel["Auto:Message"].value == "run 0 is number 1 of 3, and ends after 10 min or at 5 GB"
    assert 0 < panel["Auto:NextIn"].value <= 600
    await panel.bench.run(Operation.Stop)
    assert (panel.text("Auto:Enable"), panel.text("Auto:State")) == ("Off", "Off")
    assert panel["Auto:Message"].value == "off: Stop by ana"
    assert panel["Auto:NextIn"].value == 0


async def test_a_refusal_is_shown_beside_the_switch(panel: Panel) -> None:
    """Auto:Message has the reason, without an alarm."""
    with pytest.raises(ca.Refused, match="RunMinutes and RunGB are both 0"):
        await panel.put("Auto:Enable", 1)
    assert "RunMinutes and RunGB are both 0" in panel["Auto:Message"].value
    assert panel["Auto:Message"].severity == Severity.NO_ALARM
    assert panel.text("Auto:Enable") == "Off"


async def test_a_plan_is_read_from_its_file(panel: Panel, tmp_path: Path) -> None:
    """Plan shows the path, Step the run; a file that changes or goes later has no effect; an empty text is no plan."""
    file = tmp_path / "night.yaml"
    file.write_text(PLAN)
    await panel.put("Auto:Plan", str(file))
    file.unlink()
    assert panel["Auto:Plan"].value == str(file)
    assert panel["Auto:Step"].value == "1 of 2: alpha {n}"
    assert panel["Auto:Message"].value == f"plan of 2 runs read from {file}"
    await panel.put("Auto:Enable", 1)
    await panel.bench.until(lambda: panel.text("Auto:State") == "Running")
    assert panel["Run:Title"].value == "alpha 1"
    assert panel.bench.recorder.calls["set_manual"] == [("gas", "P10")]
    await panel.put("Auto:Enable", 0)
    await panel.put("Auto:Plan", "")
    assert (panel["Auto:Plan"].value, panel["Auto:Step"].value) == ("", "")


async def test_a_plan_with_errors_changes_nothing(panel: Panel, tmp_path: Path) -> None:
    """Everything that is wrong is in the refusal, with the lines; so is a path that means nothing to the IOC."""
    file = tmp_path / "night.yaml"
    file.write_text("- gb: 0\n- minutes: 3\n  manual: {gaz: 1}\n")
    with pytest.raises(ca.Refused) as caught:
        await panel.put("Auto:Plan", str(file))
    assert str(caught.value) == (
        f"plan not read, nothing changed: {file}:1: run 1: gb is 0, but must be a finite number, more than 0; "
        f"{file}:3: run 2: manual.gaz is no manual observable; did you mean 'gas'?"
    )
    with pytest.raises(ca.Refused, match="must be an absolute path, on the machine of the IOC"):
        await panel.put("Auto:Plan", "night.yaml")
    assert panel["Auto:Plan"].value == ""
    assert panel.bench.state.auto.plan.runs == ()
