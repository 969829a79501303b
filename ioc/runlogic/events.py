"""What can happen to the core: news from the world, and what somebody asks for.

A command carries a `token`; exactly one `effects.Answer` with the same token follows, at once or later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ioc.model import (
    Client,
    ConfigBackup,
    ConfigChoice,
    EccReading,
    FilingReport,
    Operation,
    RouterFacts,
    RunClass,
    RunId,
    RunRecord,
)
from ioc.runlogic.state import Configured


class SystemStep(StrEnum):
    """Commands to all ECC servers together."""

    Describe = "Describe"
    Prepare = "Prepare"
    Configure = "Configure"
    Reset = "Reset"


class ServerAction(StrEnum):
    """Commands to one ECC server alone."""

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


class RunAction(StrEnum):
    """Commands to the run."""

    Start = "Start"
    Stop = "Stop"
    Pause = "Pause"
    Resume = "Resume"


@dataclass(frozen=True)
class Command:
    """What all commands have in common."""

    token: int
    client: Client


@dataclass(frozen=True)
class SystemCommand(Command):
    step: SystemStep


@dataclass(frozen=True)
class ServerCommand(Command):
    server: str
    action: ServerAction


@dataclass(frozen=True)
class RunCommand(Command):
    action: RunAction


@dataclass(frozen=True)
class Organize(Command):
    router: str


@dataclass(frozen=True)
class SetExperiment(Command):
    name: str


@dataclass(frozen=True)
class SetTitle(Command):
    title: str


@dataclass(frozen=True)
class SetClass(Command):
    run_class: RunClass


@dataclass(frozen=True)
class SetNextNumber(Command):
    number: int


@dataclass(frozen=True)
class CopyPrevious(Command):
    """Title and class of the run before; the manual observables are copied by whoever sends this."""

    previous: RunRecord | None


@dataclass(frozen=True)
class SelectConfig(Command):
    server: str
    config: ConfigChoice


@dataclass(frozen=True)
class ServerRead:
    """GetState answered."""

    server: str
    reading: EccReading


@dataclass(frozen=True)
class ServerLost:
    """GetState could not be had."""

    server: str
    reason: str


@dataclass(frozen=True)
class ConfigsRead:
    """GetConfigIDs answered."""

    server: str
    offers: tuple[ConfigChoice, ...]


@dataclass(frozen=True)
class ConfigsLost:
    """GetConfigIDs could not be had, or its answer not be read."""

    server: str
    reason: str


@dataclass(frozen=True)
class TransitionEnded:
    """The outcome of a `effects.SendTransition`: the reply came or never will, and the state was read afterwards."""

    server: str
    operation: Operation
    error: str
    """The reply's error, or why there was none; empty if the server answered success."""
    reading: EccReading | None
    """The state read afterwards; None if it cannot be read."""
    sources: tuple[str, ...] = ()
    """After Describe: the sources that the hardware description knows."""
    config_digest: str = ""
    """After Configure."""


@dataclass(frozen=True)
class RoutersRead:
    """A host answered for its routers."""

    facts: Mapping[str, RouterFacts]


@dataclass(frozen=True)
class RoutersLost:
    """A host could not be asked."""

    routers: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class ObservablesMissing:
    """Which required observables are not connected."""

    names: frozenset[str]


@dataclass(frozen=True)
class DatabaseProblem:
    """Why the run database cannot be written now; empty if it can."""

    text: str


@dataclass(frozen=True)
class Probed:
    """Every host was looked at (the facts came before, as `RoutersRead`)."""

    job: int


@dataclass(frozen=True)
class Reserved:
    """A run number was taken, or could not be (`record` is None)."""

    job: int
    record: RunRecord | None
    error: str = ""


@dataclass(frozen=True)
class SnapshotTaken:
    job: int
    error: str = ""


@dataclass(frozen=True)
class RunRecorded:
    """The observables of a run are in the database after all, after it was said that they are not."""

    run: RunId


@dataclass(frozen=True)
class FilingEnded:
    router: str
    report: FilingReport | None
    """None if the host could not be asked."""
    error: str = ""


@dataclass(frozen=True)
class BackupEnded:
    job: int
    server: str
    backup: ConfigBackup | None
    error: str = ""


@dataclass(frozen=True)
class ExperimentOpened:
    name: str
    last_run: RunRecord | None
    error: str = ""


@dataclass(frozen=True)
class Restored:
    """What the database remembers, once at start-up."""

    experiment: str
    last_run: RunRecord | None
    unfinished: tuple[RunRecord, ...]
    configs: Mapping[str, ConfigChoice]
    title: str
    run_class: RunClass
    last_alive: float
    """When the process before this one was last known to live; 0 if there was none."""
    last_duration: float | None = None
    """How many seconds the open run had lasted then, if that is known."""
    least_number: int = 0
    """What the operator has put as the number of the next run of this experiment."""
    orphaned: int = -1
    """Number of the run that was last found to have ended while the IOC was away; it may still be filed."""
    configured: Mapping[str, Configured] = field(default_factory=dict[str, "Configured"])
    """What each ECC server had when it was configured."""
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    """The process of each router that a source was connected to."""
    directories: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Where each router worked in the open run, or the last one."""


@dataclass(frozen=True)
class PutRefused:
    """A put was refused or failed; the core has said so itself, unless it did not even reach it."""

    source: str
    """Whose message is nearest: ``ECC:CoBo0``, ``Router:data3``, ``Run`` or ``System``."""
    reason: str
    at: float
    """When, POSIX seconds."""


Event = (
    SystemCommand
    | ServerCommand
    | RunCommand
    | Organize
    | SetExperiment
    | SetTitle
    | SetClass
    | SetNextNumber
    | CopyPrevious
    | SelectConfig
    | ServerRead
    | ServerLost
    | ConfigsRead
    | ConfigsLost
    | TransitionEnded
    | RoutersRead
    | RoutersLost
    | ObservablesMissing
    | DatabaseProblem
    | Probed
    | Reserved
    | SnapshotTaken
    | RunRecorded
    | FilingEnded
    | BackupEnded
    | ExperimentOpened
    | Restored
    | PutRefused
)
