"""What counts as a condition, from states of the core."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ioc.model import DocumentState, InterlockState, RouterFacts, RunClass, RunId, RunRecord, RunState, Severity
from ioc.notify.conditions import conditions
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import About, Interlock, Router, Run, State, Trouble
from ioc.runlogic.turn import local
from ioc.topology.load import EXAMPLE, load

PLAN = Plan.of(load(EXAMPLE))
RECORD = RunRecord(RunId("e1", 7), DocumentState.Running, RunClass.Beam, "", 5.0, message="a\nb")
RUNNING = Run(state=RunState.Running, record=RECORD)
GOOD = State(restored=True, run=RUNNING, routers={"data0": Router()}, interlocks={"gas": Interlock()})
FULL = Router(last=RouterFacts(True, "/d", 1, 1, 7_200_000_000, 10**12, False, 0.0), mean_rate=1e6)


def ended(state: DocumentState) -> State:
    return replace(GOOD, run=replace(RUNNING, state=RunState.Failed, record=RECORD.changed(state=state)))


def being_filed(ending: DocumentState, *abouts: About) -> State:
    """A run that is not closed yet, with these troubles in their order."""
    record = RECORD.changed(state=DocumentState.Filing)
    troubles = tuple(Trouble(about, "", 0.0, f"{about.name} is wrong", Severity.MAJOR) for about in abouts)
    return replace(
        GOOD, run=Run(state=RunState.Filing, record=record, ending=ending, troubles=troubles, unfiled=frozenset({"r"}))
    )


LOST = {"run_failed": f"run 7 of e1 failed: {local(0.0)} Restart is wrong"}
UNSTARTED = {"run_failed": f"run 7 of e1 failed: {local(0.0)} Start is wrong"}

CASES = [
    (GOOD, {}),
    (ended(DocumentState.Failed), {"run_failed": "run 7 of e1 failed: a"}),
    (ended(DocumentState.Orphaned), {"run_failed": "run 7 of e1 failed: a"}),
    (ended(DocumentState.Complete), {}),
    (being_filed(DocumentState.Complete, About.Router), {}),
    (being_filed(DocumentState.Orphaned, About.Router, About.Restart, About.Filing), LOST),
    (being_filed(DocumentState.Failed, About.Start, About.Filing), UNSTARTED),
    (being_filed(DocumentState.Orphaned), {"run_failed": "run 7 of e1 failed: a"}),
    (replace(GOOD, missing=frozenset({"p"})), {"observable_gone": "the required observable p is disconnected"}),
    (replace(GOOD, routers={"data0": Router(silent=True)}), {"no_data": "router data0 writes no data in run 7"}),
    (
        replace(GOOD, interlocks={"gas": Interlock(state=InterlockState.Tripped, reason="it is 3")}),
        {"interlock_tripped": "interlock gas has tripped: it is 3"},
    ),
    (replace(GOOD, interlocks={"gas": Interlock(state=InterlockState.Bypassed)}), {}),
    (replace(GOOD, routers={"data0": FULL}), {"disk_below": "a disk will be full in 2.0 h"}),
    (replace(GOOD, restored=False, missing=frozenset({"p"})), {}),
]


@pytest.mark.parametrize(("state", "found"), CASES)
def test_conditions(state: State, found: dict[str, str]) -> None:
    """Each state has exactly these conditions; before the database was read there are none."""
    assert {subject[0]: text for subject, text in conditions(PLAN, state, [1.5, 2.5]).items()} == found
