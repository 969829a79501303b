"""The enums of the domain.

The numbers of `EccState` and `Transition` are those of the ECC server's wire protocol (GET software, ``GetState``);
`RunState`, `RunClass` and `SystemState` are numbered as the PV interface lists them.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Literal


class EccState(IntEnum):
    """State of one ECC server, numbered as on the wire. We add Unknown: it cannot be read."""

    Off = 0
    Idle = 1
    Described = 2
    Prepared = 3
    Ready = 4
    Running = 5
    Paused = 6
    Unknown = 7


class SystemState(IntEnum):
    """The state that all ECC servers share."""

    Off = 0
    Idle = 1
    Described = 2
    Prepared = 3
    Ready = 4
    Running = 5
    Paused = 6
    Mixed = 7
    Unknown = 8


class Transition(IntEnum):
    """The transition that an ECC server performs now, numbered as on the wire."""

    NoTransition = 0
    Describing = 1
    Preparing = 2
    Configuring = 3
    Starting = 4
    Stopping = 5
    Pausing = 6
    Resuming = 7
    BreakingUp = 8
    Undoing = 9

    @property
    def label(self) -> str:
        """The name shown to users (``None`` cannot be the name of a Python enum member)."""
        return "None" if self is Transition.NoTransition else self.name


class Operation(StrEnum):
    """Operations of ECC servers and of the run: the SOAP operations that change a state, and Reset."""

    Describe = "Describe"
    Prepare = "Prepare"
    Configure = "Configure"
    Start = "Start"
    Stop = "Stop"
    Pause = "Pause"
    Resume = "Resume"
    Breakup = "Breakup"
    Undo = "Undo"
    Reset = "Reset"
    """One step back. Not a SOAP operation: Undo, Breakup or Stop is sent, depending on the state."""


SystemOperation = Literal[Operation.Describe, Operation.Prepare, Operation.Configure, Operation.Reset]
"""Operations of all ECC servers together."""
RunOperation = Literal[Operation.Start, Operation.Stop, Operation.Pause, Operation.Resume]
"""Operations of a run."""


class Role(StrEnum):
    """What an ECC server drives; determines its place in the order of a step."""

    CoBo = "cobo"
    MuTAnT = "mutant"


class LinkType(StrEnum):
    """Protocol between a data source and a data router, as the ECC server spells it."""

    TCP = "TCP"
    FDT = "FDT"
    ICE = "ICE"
    ZBUF = "ZBUF"


class Severity(IntEnum):
    """EPICS alarm severity."""

    NO_ALARM = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


class RunState(IntEnum):
    """State of the current run."""

    Stopped = 0
    Starting = 1
    Running = 2
    Paused = 3
    Stopping = 4
    Filing = 5
    Failed = 6


class AutoState(IntEnum):
    """What automatic runs are doing."""

    Off = 0
    Waiting = 1
    """The next start is blocked, or waits for an observable."""
    Starting = 2
    Running = 3
    Stopping = 4
    Filing = 5
    Pause = 6
    """Between two runs."""


class NextStep(IntEnum):
    """What the shift does next; Wait if there is nothing to press."""

    Wait = 0
    Describe = 1
    Prepare = 2
    Configure = 3
    Start = 4
    Stop = 5
    Resume = 6
    Reset = 7


class RunClass(IntEnum):
    """Purpose of a run, chosen by the shift."""

    Testing = 0
    Production = 1
    Beam = 2
    Pulser = 3
    Junk = 4


class RunQuality(IntEnum):
    """Quality of the data of a run, as rated by the shift."""

    Unknown = 0
    Good = 1
    Check = 2
    """Somebody has to look at it."""
    Bad = 3


class DocumentState(StrEnum):
    """State of a run in the database (column ``runs.state``)."""

    Starting = "starting"
    Running = "running"
    Stopping = "stopping"
    Filing = "filing"
    Complete = "complete"
    Failed = "failed"
    Orphaned = "orphaned"


class ValueType(StrEnum):
    """Type of an observable."""

    Float = "float"
    Integer = "integer"
    String = "string"
    Enum = "enum"


class Action(StrEnum):
    """What an interlock does while it is tripped."""

    Alarm = "alarm"
    """It says so, and marks the run."""
    Block = "block"
    """It forbids Start."""
    Hold = "hold"
    """It forbids Start, and pauses the run if every ECC server supports Resume."""
    Stop = "stop"
    """It forbids Start, and stops the run."""


class InterlockState(IntEnum):
    """State of an interlock."""

    Ok = 0
    Waiting = 1
    """Outside its limits, but not for long enough."""
    Tripped = 2
    Bypassed = 3


class PartnerState(IntEnum):
    """State of another data acquisition that runs with ours."""

    Unknown = 0
    """It has not been asked yet."""
    Offline = 1
    Halted = 2
    Beginning = 3
    Active = 4
    Ending = 5


class OnEnd(StrEnum):
    """The reaction if a partner ends by itself during a run."""

    Alarm = "alarm"
    """An alarm is raised, and the run continues."""
    Stop = "stop"
    """The run is stopped."""
