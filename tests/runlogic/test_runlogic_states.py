"""The table of transitions against the protocol's description, and what follows from it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ioc import states
from ioc.model import EccState, Operation, Severity, SystemState, Transition
from tests.runlogic.peers import TABLE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("operation", states.TRANSITIONS)
@pytest.mark.parametrize("state", EccState)
def test_the_table_is_that_of_the_protocol(operation: Operation, state: EccState) -> None:
    """Every operation leads from every state to where the protocol's description says, and nowhere else."""
    assert states.target(operation, state) is TABLE.get((operation, state))
    assert (state in states.sources(operation)) is ((operation, state) in TABLE)


def test_transitions_in_progress_have_the_numbers_of_the_wire() -> None:
    """Describing is 1 and Undoing is 9, in the order of the operations: also the error code of each failure."""
    assert [states.IN_PROGRESS[operation].value for operation in states.IN_PROGRESS] == list(range(1, 10))
    assert Transition.NoTransition.value == 0


@pytest.mark.parametrize(
    ("state", "operation"),
    [
        (EccState.Off, None),
        (EccState.Idle, None),
        (EccState.Described, Operation.Undo),
        (EccState.Prepared, Operation.Undo),
        (EccState.Ready, Operation.Breakup),
        (EccState.Running, Operation.Stop),
        (EccState.Paused, Operation.Stop),
        (EccState.Unknown, None),
    ],
)
def test_reset_is_one_step_back(state: EccState, operation: Operation | None) -> None:
    """Reset picks the operation that leads one step back from each state."""
    assert states.sent(Operation.Reset, state) is operation
    assert states.target(Operation.Reset, state) is (states.target(operation, state) if operation else None)


@pytest.mark.parametrize(
    ("servers", "whole", "severity"),
    [
        ([], SystemState.Unknown, Severity.INVALID),
        (["Off", "Off"], SystemState.Off, Severity.MAJOR),
        (["Idle", "Idle"], SystemState.Idle, Severity.NO_ALARM),
        (["Running"], SystemState.Running, Severity.NO_ALARM),
        (["Paused", "Paused"], SystemState.Paused, Severity.NO_ALARM),
        (["Ready", "Running"], SystemState.Mixed, Severity.MINOR),
        (["Ready", "Off"], SystemState.Mixed, Severity.MAJOR),
        (["Ready", "Unknown"], SystemState.Unknown, Severity.INVALID),
        (["Off", "Unknown"], SystemState.Unknown, Severity.INVALID),
    ],
)
def test_the_state_of_the_system(servers: list[str], whole: SystemState, severity: Severity) -> None:
    """The system has the state its servers share, is Mixed if they differ, Unknown if one cannot be read."""
    found = [EccState[name] for name in servers]
    assert states.aggregate(found) is whole
    assert states.system_severity(found) is severity


def test_the_diagram_in_the_documentation_is_that_of_the_table() -> None:
    """Generating docs/states.md again changes nothing."""
    generated = runpy.run_path(str(ROOT / "docs" / "make_states.py"))["page"]()
    assert (ROOT / "docs" / "states.md").read_text(encoding="utf-8") == generated
