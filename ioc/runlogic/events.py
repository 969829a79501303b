"""The inputs of the core: readings of peers, ends of effects, and commands.

Exactly one `effects.Answer` to each command follows, at once or later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ioc.model import (
    Client,
    ConfigChoice,
    EccReading,
    Operation,
    PartnerReading,
    PlannedRun,
    Reading,
    RouterFacts,
    RunClass,
    RunId,
    RunOperation,
    RunQuality,
    RunRecord,
    SystemOperation,
)
from ioc.runlogic.effects import Effect
from ioc.runlogic.subject import Subject

if TYPE_CHECKING:
    from ioc.runlogic.plan import Plan

_Work = TypeVar("_Work", bound=Effect)
_Result = TypeVar("_Result")


class Event:
    """Anything that can happen."""


@dataclass(frozen=True, eq=False)
class Command(Event):
    """Base of all commands. Commands compare by identity: two puts of the same value are two commands."""

    client: Client


@dataclass(frozen=True, eq=False)
class SystemCommand(Command):
    operation: SystemOperation


@dataclass(frozen=True, eq=False)
class ServerCommand(Command):
    server: str
    operation: Operation


@dataclass(frozen=True, eq=False)
class RunCommand(Command):
    operation: RunOperation


@dataclass(frozen=True, eq=False)
class Organize(Command):
    router: str


@dataclass(frozen=True, eq=False)
class RestartProgram(Command):
    """Restart an ECC server or a data router through its unit."""

    subject: Subject


@dataclass(frozen=True, eq=False)
class SetExperiment(Command):
    name: str


@dataclass(frozen=True, eq=False)
class SetTitle(Command):
    title: str


@dataclass(frozen=True, eq=False)
class SetClass(Command):
    run_class: RunClass


@dataclass(frozen=True, eq=False)
class SetComment(Command):
    comment: str


@dataclass(frozen=True, eq=False)
class SetQuality(Command):
    quality: RunQuality


@dataclass(frozen=True, eq=False)
class SetNextNumber(Command):
    number: int


@dataclass(frozen=True, eq=False)
class CopyPrevious(Command):
    """Copy title and class of the previous run; the sender copies the manual observables."""

    previous: RunRecord | None


@dataclass(frozen=True, eq=False)
class SelectConfig(Command):
    server: str
    config: ConfigChoice


@dataclass(frozen=True, eq=False)
class EnableAutomatic(Command):
    on: bool


@dataclass(frozen=True, eq=False)
class SetAutomatic(Command):
    """Change the settings that are not None."""

    minutes: float | None = None
    gb: float | None = None
    runs: int | None = None
    pause: float | None = None


@dataclass(frozen=True, eq=False)
class SetPlan(Command):
    """The sender has read the file; no runs: no plan."""

    path: str
    runs: tuple[PlannedRun, ...]


@dataclass(frozen=True, eq=False)
class SetLimits(Command):
    """Change a limit of an interlock; None leaves it as it is."""

    interlock: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class SetBypass(Command):
    interlock: str
    bypassed: bool


@dataclass(frozen=True)
class PlanChanged(Event):
    """The interlocks or observables of the topology have changed; `step` gets the new plan."""

    before: Plan
    readings: tuple[Reading, ...]
    """All latest readings of the observables that are watched now."""


@dataclass(frozen=True)
class ServerRead(Event):
    """GetState answered."""

    server: str
    reading: EccReading


@dataclass(frozen=True)
class ServerLost(Event):
    """GetState failed."""

    server: str
    reason: str
    hangs: bool | None = False
    """It accepted the connection and did not answer; None: not even the connection was answered, which says nothing of
    the server (the system of its host queues about a hundred connections for one that hangs, and then no more)."""


@dataclass(frozen=True)
class ConfigsRead(Event):
    """GetConfigIDs answered."""

    server: str
    offers: tuple[ConfigChoice, ...]


@dataclass(frozen=True)
class ConfigsLost(Event):
    """GetConfigIDs failed, or its answer could not be read."""

    server: str
    reason: str


@dataclass(frozen=True)
class TransitionEnded(Event):
    """The outcome of `effects.SendTransition`: the reply came or never will, and the state was read afterwards."""

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
class Ended(Event, Generic[_Work, _Result]):
    """Another effect that takes time has ended."""

    effect: _Work
    result: _Result | None = None
    error: str = ""
    """Why it failed, in a sentence; empty if it succeeded."""


@dataclass(frozen=True)
class RoutersRead(Event):
    """A host answered for its routers."""

    facts: Mapping[str, RouterFacts]


@dataclass(frozen=True)
class RoutersLost(Event):
    """A host could not be asked."""

    routers: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class PartnerRead(Event):
    """A partner answered."""

    partner: str
    reading: PartnerReading


@dataclass(frozen=True)
class PartnerLost(Event):
    """A partner could not be asked."""

    partner: str
    reason: str


@dataclass(frozen=True)
class TimePassed(Event):
    """The time has come that `step.wake_at` gave."""


@dataclass(frozen=True)
class ObservablesRead(Event):
    """New readings of observables that are `readings.watched`; others are ignored."""

    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class ObservablesMissing(Event):
    """Which required observables are not connected."""

    names: frozenset[str]


@dataclass(frozen=True)
class DatabaseProblem(Event):
    """Why the run database cannot be written now; empty if it can."""

    text: str


@dataclass(frozen=True)
class RunRecorded(Event):
    """The observables of a run, reported earlier as not recorded, are now in the database."""

    run: RunId


@dataclass(frozen=True)
class RunEdited(Event):
    """Another program has changed the database, which now has this record of a run."""

    record: RunRecord


@dataclass(frozen=True)
class Restored(Event):
    """What the database remembers, once at start-up."""

    settings: Mapping[str, str]
    """In the form that `memory` writes."""
    last_run: RunRecord | None
    """Of the chosen experiment."""
    unfinished: tuple[RunRecord, ...]
    """Of any experiment, oldest first."""


@dataclass(frozen=True)
class PutRefused(Event):
    """A put was refused or failed before it reached the core; the core reports its own refusals itself."""

    subject: Subject
    """The subject whose message PV shows it."""
    reason: str
    at: float
    """Time of the put, POSIX seconds."""
