"""Effects: the work that the core requests from the engine. Nothing counts as done until an event reports it.

Effects are performed in the order given, as far as they touch the database or answer a command: an answer never
overtakes the record of what it acknowledges. Everything else runs at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from ioc.model import (
    Client,
    ConfigChoice,
    DataLink,
    HookPoint,
    Operation,
    RunClass,
    RunConfig,
    RunId,
    RunInterval,
    RunQuality,
    RunRecord,
    Scalar,
    Severity,
)
from ioc.runlogic.subject import Subject

if TYPE_CHECKING:
    from ioc.runlogic.events import Command


class Effect:
    """Any effect."""


@dataclass(frozen=True)
class SendTransition(Effect):
    """→ `events.TransitionEnded`"""

    server: str
    operation: Operation
    config: ConfigChoice
    links: tuple[DataLink, ...]


@dataclass(frozen=True)
class ProbeRouters(Effect):
    """Look at all routers now → `RoutersRead` or `RoutersLost` for each host, then `Ended[ProbeRouters, None]`"""

    job: int


@dataclass(frozen=True)
class ReserveRun(Effect):
    """Take a run number → `Ended[ReserveRun, RunRecord]`"""

    job: int
    experiment: str
    title: str
    run_class: RunClass
    config_name: str
    at_least: int
    """Lowest number allowed."""


class Snapshot(Enum):
    Begin = auto()
    End = auto()
    Resume = auto()


@dataclass(frozen=True)
class TakeSnapshot(Effect):
    """Record the observables of a run → `Ended[TakeSnapshot, None]`"""

    job: int
    run: RunId
    which: Snapshot
    at: float | None = None
    """For Resume: when the previous process was last known to run. For End: when the run ended; None: now."""


@dataclass(frozen=True)
class BeginPartner(Effect):
    """Begin the run of a partner → `Ended[BeginPartner, str]`: why it refused, empty if it is Active.

    After a refusal it has not begun. After an error it is not known whether it has.
    """

    job: int
    partner: str
    number: int
    title: str


@dataclass(frozen=True)
class EndPartner(Effect):
    """End the run of a partner → `Ended[EndPartner, None]`. A `BeginPartner` in progress is cancelled, and ends
    first."""

    partner: str


@dataclass(frozen=True)
class FileRouter(Effect):
    """→ `Ended[FileRouter, FilingReport]`"""

    router: str
    run: RunId
    directories: tuple[str, ...]
    """Where it worked in this run, as far as known."""
    may_be_gone: tuple[str, ...] = ()
    """Those of them that need not exist any more."""


@dataclass(frozen=True)
class BackUp(Effect):
    """→ `Ended[BackUp, ConfigBackup]`"""

    job: int
    server: str
    run: RunId
    config: ConfigChoice


@dataclass(frozen=True)
class RunHook(Effect):
    """→ `Ended[RunHook, HookOutcome]`"""

    job: int
    """The job that waits for it; 0: none."""
    point: HookPoint
    name: str
    record: RunRecord
    """The run that it is told about. Before a start, the run that would be next, which does not exist yet."""


@dataclass(frozen=True)
class AbortHook(Effect):
    """End a hook that is under way; its end is of no interest."""

    point: HookPoint
    name: str


@dataclass(frozen=True)
class RestartUnit(Effect):
    """Restart a program on its host → `Ended[RestartUnit, None]`"""

    subject: Subject
    """The ECC server or data router."""
    unit: str


@dataclass(frozen=True)
class OpenExperiment(Effect):
    """→ `Ended[OpenExperiment, RunRecord]`: its last run, if any"""

    name: str


@dataclass(frozen=True)
class SetManual(Effect):
    """Set manual observables → `Ended[SetManual, None]`"""

    values: tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True)
class SaveRun(Effect):
    record: RunRecord


@dataclass(frozen=True)
class SaveVerdict(Effect):
    """Store the comment or the quality of a run; None leaves it as it is.

    `SaveRun` stores neither: anybody may change them at any time in a finished run (``runs edit``).
    """

    run: RunId
    comment: str | None = None
    quality: RunQuality | None = None


@dataclass(frozen=True)
class SaveRunConfigs(Effect):
    run: RunId
    configs: Sequence[RunConfig]


@dataclass(frozen=True)
class SaveInterval(Effect):
    """Store a bad time of a run, or its end; one that ends where it began was none."""

    interval: RunInterval


@dataclass(frozen=True)
class SaveSetting(Effect):
    name: str
    value: str


@dataclass(frozen=True)
class Answer(Effect):
    """A command is over; `error` is empty if it succeeded."""

    command: Command
    error: str = ""
    refused: bool = False
    """Nothing was done."""


@dataclass(frozen=True)
class Log(Effect):
    """One line for the log."""

    severity: Severity
    subject: Subject
    text: str
    client: Client = Client()
    run: RunId | None = None
    """The run that it is about; None: the open run, if any."""
