"""What can happen to the core: news from the world, and what somebody asks for.

Exactly one `effects.Answer` to each command follows, at once or later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ioc.model import (
    Client,
    ConfigChoice,
    EccReading,
    Operation,
    RouterFacts,
    RunClass,
    RunId,
    RunOperation,
    RunRecord,
    SystemOperation,
)
from ioc.runlogic.effects import Effect
from ioc.runlogic.subject import Subject

_Work = TypeVar("_Work", bound=Effect)
_Result = TypeVar("_Result")


class Event:
    """Anything that can happen."""


@dataclass(frozen=True, eq=False)
class Command(Event):
    """What all commands have in common. Each is one of a kind: two puts of the same value are two commands."""

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
class SetExperiment(Command):
    name: str


@dataclass(frozen=True, eq=False)
class SetTitle(Command):
    title: str


@dataclass(frozen=True, eq=False)
class SetClass(Command):
    run_class: RunClass


@dataclass(frozen=True, eq=False)
class SetNextNumber(Command):
    number: int


@dataclass(frozen=True, eq=False)
class CopyPrevious(Command):
    """Title and class of the run before; the manual observables are copied by whoever sends this."""

    previous: RunRecord | None


@dataclass(frozen=True, eq=False)
class SelectConfig(Command):
    server: str
    config: ConfigChoice


@dataclass(frozen=True)
class ServerRead(Event):
    """GetState answered."""

    server: str
    reading: EccReading


@dataclass(frozen=True)
class ServerLost(Event):
    """GetState could not be had."""

    server: str
    reason: str


@dataclass(frozen=True)
class ConfigsRead(Event):
    """GetConfigIDs answered."""

    server: str
    offers: tuple[ConfigChoice, ...]


@dataclass(frozen=True)
class ConfigsLost(Event):
    """GetConfigIDs could not be had, or its answer not be read."""

    server: str
    reason: str


@dataclass(frozen=True)
class TransitionEnded(Event):
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
class Ended(Event, Generic[_Work, _Result]):
    """Another effect that takes time has ended."""

    effect: _Work
    result: _Result | None = None
    error: str = ""
    """Why it failed, in a sentence; empty if it did not."""


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
class ObservablesMissing(Event):
    """Which required observables are not connected."""

    names: frozenset[str]


@dataclass(frozen=True)
class DatabaseProblem(Event):
    """Why the run database cannot be written now; empty if it can."""

    text: str


@dataclass(frozen=True)
class RunRecorded(Event):
    """The observables of a run are in the database after all, after it was said that they are not."""

    run: RunId


@dataclass(frozen=True)
class Restored(Event):
    """What the database remembers, once at start-up."""

    settings: Mapping[str, str]
    """As `memory` wrote them."""
    last_run: RunRecord | None
    """Of the chosen experiment."""
    unfinished: tuple[RunRecord, ...]
    """Of any experiment, oldest first."""


@dataclass(frozen=True)
class PutRefused(Event):
    """A put was refused or failed before it reached the core, which says its own refusals itself."""

    subject: Subject
    """Whose message is nearest."""
    reason: str
    at: float
    """When, POSIX seconds."""
