"""The ECC state machine in one table, and what is derived from it: the step back, the state of the whole system.

Source of the table: measurements on ``getEccSoapServer`` (GET software, releases 2017-2021). An operation that is not
in the table for a state is silently ignored by the server, with error code 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ioc.model import EccState, Operation, Severity, SystemState, Transition

TRANSITIONS: Mapping[Operation, Mapping[EccState, EccState]] = {
    Operation.Describe: {EccState.Idle: EccState.Described},
    Operation.Prepare: {EccState.Described: EccState.Prepared},
    Operation.Configure: {EccState.Prepared: EccState.Ready},
    Operation.Start: {EccState.Ready: EccState.Running},
    Operation.Stop: {EccState.Running: EccState.Ready, EccState.Paused: EccState.Ready},
    Operation.Pause: {EccState.Running: EccState.Paused},
    Operation.Resume: {EccState.Paused: EccState.Running},
    Operation.Breakup: {
        EccState.Ready: EccState.Prepared,
        EccState.Running: EccState.Prepared,
        EccState.Paused: EccState.Prepared,
    },
    Operation.Undo: {EccState.Described: EccState.Idle, EccState.Prepared: EccState.Described},
}
"""For each SOAP operation: the state it leads to, by the state from which it starts."""

IN_PROGRESS: Mapping[Operation, Transition] = {
    Operation.Describe: Transition.Describing,
    Operation.Prepare: Transition.Preparing,
    Operation.Configure: Transition.Configuring,
    Operation.Start: Transition.Starting,
    Operation.Stop: Transition.Stopping,
    Operation.Pause: Transition.Pausing,
    Operation.Resume: Transition.Resuming,
    Operation.Breakup: Transition.BreakingUp,
    Operation.Undo: Transition.Undoing,
}
"""A server's Transition while it performs an operation; also the ErrorCode if it fails."""

_STEP_BACK: Mapping[EccState, Operation] = {
    EccState.Described: Operation.Undo,
    EccState.Prepared: Operation.Undo,
    EccState.Ready: Operation.Breakup,
    EccState.Running: Operation.Stop,
    EccState.Paused: Operation.Stop,
}


RUNNING = frozenset({EccState.Running, EccState.Paused})
"""States in which a server's electronics take data, or will after Resume."""


def sent(operation: Operation, state: EccState) -> Operation | None:
    """Return the SOAP operation for `operation`: for Reset the step back, None in Idle, Off and Unknown."""
    return _STEP_BACK.get(state) if operation is Operation.Reset else operation


def target(operation: Operation, state: EccState) -> EccState | None:
    """Return the state that `operation` leads to from `state`; None if the server would ignore it."""
    on_wire = sent(operation, state)
    return TRANSITIONS[on_wire].get(state) if on_wire else None


def sources(operation: Operation) -> tuple[EccState, ...]:
    """Return the states from which `operation` does something."""
    return tuple(state for state in EccState if target(operation, state) is not None)


def aggregate(states: Iterable[EccState]) -> SystemState:
    """Return the state that all servers share: Unknown if one cannot be read, Mixed if they differ."""
    distinct = set(states)
    if not distinct or EccState.Unknown in distinct:
        return SystemState.Unknown
    if len(distinct) > 1:
        return SystemState.Mixed
    return SystemState(distinct.pop().value)


def server_severity(state: EccState) -> Severity:
    """Return the alarm severity of one server's state. Off is a fault: restart the ECC server."""
    return {EccState.Off: Severity.MAJOR, EccState.Unknown: Severity.INVALID}.get(state, Severity.NO_ALARM)


def system_severity(states: Iterable[EccState]) -> Severity:
    """Return the alarm severity of the system's state: a server that is Off is not hidden by Mixed."""
    distinct = set(states)
    whole = aggregate(distinct)
    if whole is SystemState.Unknown:
        return Severity.INVALID
    if EccState.Off in distinct:
        return Severity.MAJOR
    return Severity.MINOR if whole is SystemState.Mixed else Severity.NO_ALARM
