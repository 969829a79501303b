"""The state machine of an ECC server, pure: no clock, no wire. Its table is that of GET's ``getEccSoapServer``."""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    """State of the server, as its GetState numbers it."""

    OFF = 0
    IDLE = 1
    DESCRIBED = 2
    PREPARED = 3
    READY = 4
    RUNNING = 5
    PAUSED = 6


TRANSITION = {
    "Describe": 1,
    "Prepare": 2,
    "Configure": 3,
    "Start": 4,
    "Stop": 5,
    "Pause": 6,
    "Resume": 7,
    "Breakup": 8,
    "Undo": 9,
}
"""Operations that change the state, with the number that GetState shows meanwhile and that a failure answers."""

TARGET = {
    ("Describe", State.IDLE): State.DESCRIBED,
    ("Prepare", State.DESCRIBED): State.PREPARED,
    ("Configure", State.PREPARED): State.READY,
    ("Start", State.READY): State.RUNNING,
    ("Stop", State.RUNNING): State.READY,
    ("Stop", State.PAUSED): State.READY,
    ("Pause", State.RUNNING): State.PAUSED,
    ("Resume", State.PAUSED): State.RUNNING,
    ("Breakup", State.READY): State.PREPARED,
    ("Breakup", State.RUNNING): State.PREPARED,
    ("Breakup", State.PAUSED): State.PREPARED,
    ("Breakup", State.OFF): State.OFF,
    ("Undo", State.DESCRIBED): State.IDLE,
    ("Undo", State.PREPARED): State.DESCRIBED,
}
"""Where each operation leads; what is not in this table is ignored."""

DURATION = {
    "Describe": 0.3,
    "Prepare": 5.0,
    "Configure": 1.0,
    "Start": 0.1,
    "Stop": 0.5,
    "Pause": 0.5,
    "Resume": 0.1,
    "Breakup": 0.5,
    "Undo": 0.1,
}
"""How long each takes in reality, in seconds."""


class Verdict(Enum):
    """What becomes of a requested operation."""

    BEGUN = "begun"
    IGNORED = "undefined in this state: nothing happens, and the server answers as if it had"
    BUSY = "another transition runs: refused"


class Machine:
    """State and transition of one server."""

    def __init__(self) -> None:
        self.state = State.IDLE
        self.transition = 0
        """Number of the transition that runs, 0 if none does."""
        self.target = State.IDLE
        """Where the transition that runs leads."""

    def begin(self, operation: str) -> Verdict:
        """Ask for an operation; if it has BEGUN, `finish` must follow."""
        if self.transition:
            return Verdict.BUSY
        target = TARGET.get((operation, self.state))
        if target is None:
            return Verdict.IGNORED
        self.target = target
        self.transition = TRANSITION[operation]
        return Verdict.BEGUN

    def finish(self, *, succeeded: bool) -> None:
        """End the transition that runs; a failed one leaves the state as it was."""
        self.transition = 0
        if succeeded:
            self.state = self.target

    def force(self, state: State) -> None:
        """Be in `state`, whatever led there; a transition that runs ends there too if it succeeds."""
        self.state = state
        self.target = state
