"""What the core asks the engine to do. None of it has happened until an event says so.

Effects are performed in the order given, as far as they touch the database or answer a command: an answer never
overtakes the record of what it acknowledges. Everything else runs at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ioc.model import Client, ConfigChoice, DataLink, Operation, RunClass, RunConfig, RunId, RunRecord, Severity
from ioc.runlogic.events import Command
from ioc.runlogic.subject import Subject


@dataclass(frozen=True)
class SendTransition:
    """→ `events.TransitionEnded`"""

    server: str
    operation: Operation
    config: ConfigChoice
    links: tuple[DataLink, ...]


@dataclass(frozen=True)
class ProbeRouters:
    """Look at all routers now → `events.RoutersRead` or `RoutersLost` for each host, then `events.Probed`."""

    job: int


@dataclass(frozen=True)
class ReserveRun:
    """→ `events.Reserved`"""

    job: int
    experiment: str
    title: str
    run_class: RunClass
    config_name: str
    at_least: int
    """The number is this, or more."""


class Snapshot(Enum):
    Begin = auto()
    End = auto()
    Resume = auto()


@dataclass(frozen=True)
class TakeSnapshot:
    """→ `events.SnapshotTaken` (not after Resume)"""

    job: int
    run: RunId
    which: Snapshot
    at: float | None = None
    """For Resume: when the process before this one was last known to live. For End: when the run ended; None: now."""


@dataclass(frozen=True)
class FileRouter:
    """→ `events.FilingEnded`"""

    router: str
    run: RunId
    directories: tuple[str, ...]
    """Where it worked in this run, as far as known."""


@dataclass(frozen=True)
class BackUp:
    """→ `events.BackupEnded`"""

    job: int
    server: str
    run: RunId
    config: ConfigChoice


@dataclass(frozen=True)
class OpenExperiment:
    """→ `events.ExperimentOpened`"""

    name: str


@dataclass(frozen=True)
class SaveRun:
    record: RunRecord


@dataclass(frozen=True)
class SaveRunConfigs:
    run: RunId
    configs: Sequence[RunConfig]


@dataclass(frozen=True)
class SaveSetting:
    name: str
    value: str


@dataclass(frozen=True)
class Answer:
    """A command is over; `error` is empty if it succeeded."""

    command: Command
    error: str = ""
    refused: bool = False
    """Nothing was done."""


@dataclass(frozen=True)
class Log:
    """One line for the log."""

    severity: Severity
    subject: Subject
    text: str
    client: Client = Client()


Effect = (
    SendTransition
    | ProbeRouters
    | ReserveRun
    | TakeSnapshot
    | FileRouter
    | BackUp
    | OpenExperiment
    | SaveRun
    | SaveRunConfigs
    | SaveSetting
    | Answer
    | Log
)
