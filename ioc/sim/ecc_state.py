"""The state machine of an ECC server, pure: no clock, no wire. Its table is that of GET's ``getEccSoapServer``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """State of the server, with the numbers of GetState."""

    OFF = 0
    IDLE = 1
    DESCRIBED = 2
    PREPARED = 3
    READY = 4
    RUNNING = 5
    PAUSED = 6


@dataclass(frozen=True)
class Operation:
    """One operation that changes the state."""

    number: int
    """Number of the transition in GetState, and the error code of its failure."""
    seconds: float
    """Real duration."""
    leads: dict[State, State]
    """The new state for each state; in any other state the operation is ignored."""


OPERATIONS = {
    "Describe": Operation(1, 0.3, {State.IDLE: State.DESCRIBED}),
    "Prepare": Operation(2, 5.0, {State.DESCRIBED: State.PREPARED}),
    "Configure": Operation(3, 1.0, {State.PREPARED: State.READY}),
    "Start": Operation(4, 0.1, {State.READY: State.RUNNING}),
    "Stop": Operation(5, 0.5, dict.fromkeys((State.RUNNING, State.PAUSED), State.READY)),
    "Pause": Operation(6, 0.5, {State.RUNNING: State.PAUSED}),
    "Resume": Operation(7, 0.1, {State.PAUSED: State.RUNNING}),
    "Breakup": Operation(
        8, 0.5, {State.OFF: State.OFF, **dict.fromkeys((State.READY, State.RUNNING, State.PAUSED), State.PREPARED)}
    ),
    "Undo": Operation(9, 0.1, {State.DESCRIBED: State.IDLE, State.PREPARED: State.DESCRIBED}),
}


class Machine:
    """State and transition of one server."""

    def __init__(self) -> None:
        self.state = State.IDLE
        self.transition = 0
        """Number of the running transition, 0 if none; while one runs, every other operation is refused."""
        self.target = State.IDLE
        """Target state of the running transition."""

    def begin(self, name: str) -> bool:
        """Begin an operation; False if it is ignored in this state, otherwise `finish` must be called."""
        operation = OPERATIONS[name]
        if self.state not in operation.leads:
            return False
        self.target, self.transition = operation.leads[self.state], operation.number
        return True

    def finish(self, *, succeeded: bool) -> None:
        """End the running transition; if it failed, the state is unchanged."""
        self.transition = 0
        if succeeded:
            self.state = self.target

    def force(self, state: State) -> None:
        """Force `state`; a running transition also ends there if it succeeds."""
        self.state = self.target = state
