"""The PVs of a partner."""

from __future__ import annotations

import pytest
from panel import Panel

from ioc.model import Operation, PartnerReading, PartnerState, Severity
from ioc.runlogic import events as ev
from ioc.topology.schema import Partner

AUX = Partner(name="aux", host="127.0.0.1")


async def test_state_and_alarm() -> None:
    """It must run with our runs, and only with them: everything else is an alarm."""
    panel = Panel(partners=(AUX,))
    state = panel["Partner:aux:State"]
    assert (panel.text("Partner:aux:State"), state.severity) == ("Unknown", Severity.INVALID)
    panel.bench.engine.post(ev.PartnerRead("aux", PartnerReading(active=False, controlled=False)))
    assert (panel.text("Partner:aux:State"), state.severity) == ("Halted", Severity.NO_ALARM)
    panel.bench.engine.post(ev.PartnerRead("aux", PartnerReading(active=True, controlled=False)))
    assert (panel.text("Partner:aux:State"), state.severity) == ("Active", Severity.MINOR)
    panel.bench.engine.post(ev.PartnerLost("aux", "partner aux is gone"))
    assert (panel.text("Partner:aux:State"), state.severity) == ("Offline", Severity.MAJOR)
    message = panel["Partner:aux:Message"]
    assert (panel.text("Partner:aux:Message"), message.severity) == ("partner aux is gone", Severity.MAJOR)


@pytest.mark.parametrize(
    ("active", "controlled", "severity"),
    [(True, True, Severity.NO_ALARM), (True, False, Severity.MINOR), (False, True, Severity.MAJOR)],
)
async def test_alarm_in_a_run(active: bool, controlled: bool, severity: Severity) -> None:
    """Active and ours is right, Active by itself is MINOR, Halted is MAJOR."""
    panel = Panel(partners=(AUX,))
    async with panel.bench as bench:
        await bench.to_running()
        assert panel.text("Partner:aux:State") == "Active"
        bench.engine.post(ev.PartnerRead("aux", PartnerReading(active, controlled)))
        assert panel["Partner:aux:State"].severity is severity
        bench.engine.post(ev.PartnerRead("aux", PartnerReading(active=True, controlled=True)))
        await bench.run(Operation.Stop)
        assert bench.state.partners["aux"].state is PartnerState.Halted
        assert panel["Partner:aux:State"].severity is Severity.NO_ALARM
