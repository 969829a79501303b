"""One step of the core while it is being computed: the state so far and the effects so far.

Before Python 3.13, type checkers accept any keyword of `dataclasses.replace`. So the core changes its state only with
the ``set`` methods below, which have the keywords and types of the class that they change: pyright rejects a misspelt
field (tests/runlogic/typed_changes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypedDict, Unpack

from ioc.model import Client, DocumentState, RunChanges, RunId, RunRecord, Severity
from ioc.runlogic import memory
from ioc.runlogic.effects import Answer, Effect, Log, SaveRun
from ioc.runlogic.events import Command, RunCommand
from ioc.runlogic.plan import Plan
from ioc.runlogic.sequence import Auto, Progress
from ioc.runlogic.state import Interlock, Job, Note, Partner, Router, Run, Server, Stage, State
from ioc.runlogic.subject import RUN, Kind, Subject

_Fields = ParamSpec("_Fields")

_EARLY_SECONDS = 0.001


def _fields_of(
    _: Callable[_Fields, Any],
) -> Callable[[Callable[[Turn, dict[str, Any]], None]], Callable[Concatenate[Turn, _Fields], None]]:
    """Give a method the fields of a class as keywords; each field must have a default."""

    def decorate(method: Callable[[Turn, dict[str, Any]], None]) -> Callable[Concatenate[Turn, _Fields], None]:
        def change(turn: Turn, *_: _Fields.args, **changes: _Fields.kwargs) -> None:
            method(turn, changes)

        return change

    return decorate


def _setter(_: Callable[_Fields, Any], parts: str) -> Callable[Concatenate[Turn, str, _Fields], None]:
    """A method that changes fields of the part with this name in `State.<parts>`; each field must have a default."""

    def change(turn: Turn, name: str, *_: _Fields.args, **changes: _Fields.kwargs) -> None:
        before: Mapping[str, Any] = getattr(turn.state, parts)
        # an unchanged state is not reported
        if any(getattr(before[name], field) != value for field, value in changes.items()):
            turn.state = replace(turn.state, **{parts: {**before, name: replace(before[name], **changes)}})

    return change


class JobProgress(TypedDict, total=False):
    """The fields of a job that change once it is launched."""

    stages: tuple[Stage, ...]
    begun: bool
    waiting: frozenset[str]
    failures: tuple[str, ...]
    remarks: tuple[tuple[str, str], ...]
    given_up: str
    stop: RunCommand | None


@dataclass
class Turn:
    """A scratch pad for one call of `step`: nothing else in the core is ever changed in place."""

    plan: Plan
    state: State
    now: float
    steady: float
    effects: list[Effect] = field(default_factory=list[Effect])

    def is_due(self, at: float | None) -> bool:
        """Whether a time on the monotonic clock has come. Timers may be early by the resolution of the clock."""
        return at is not None and self.steady >= at - _EARLY_SECONDS

    def emit(self, *effects: Effect) -> None:
        self.effects += effects

    def answer(self, command: Command | None, error: str = "", *, refused: bool = False) -> None:
        """Answer a command; None for a job that the core began automatically."""
        if command is not None:
            self.emit(Answer(command, error, refused))

    def server(self, name: str) -> Server:
        return self.state.servers[name]

    def router(self, name: str) -> Router:
        return self.state.routers[name]

    @property
    def job(self) -> Job:
        """The current job; only used where there is one."""
        assert self.state.job is not None
        return self.state.job

    @property
    def record(self) -> RunRecord:
        """The record of the open or last run; only used where there is one."""
        assert self.state.run.record is not None
        return self.state.run.record

    @_fields_of(State)
    def set(self, changes: dict[str, Any]) -> None:
        self.state = replace(self.state, **changes)

    @_fields_of(Run)
    def set_run(self, changes: dict[str, Any]) -> None:
        self.set(run=replace(self.state.run, **changes))

    @_fields_of(Auto)
    def set_auto(self, changes: dict[str, Any]) -> None:
        self.set(auto=replace(self.state.auto, **changes))

    @_fields_of(Progress)
    def save_progress(self, changes: dict[str, Any]) -> None:
        """Change the progress of automatic runs and store it."""
        self.set_auto(progress=replace(self.state.auto.progress, **changes))
        self.emit(memory.AUTO_PROGRESS.save(self.state.auto.progress))

    set_server = _setter(Server, "servers")
    set_router = _setter(Router, "routers")
    set_interlock = _setter(Interlock, "interlocks")
    set_partner = _setter(Partner, "partners")

    def set_job(self, **progress: Unpack[JobProgress]) -> None:
        self.set(job=replace(self.job, **progress))

    def save_run(self, **changes: Unpack[RunChanges]) -> RunRecord:
        """Change the record of the open run and store it."""
        record = self.record.changed(**changes)
        self.set_run(record=record)
        self.emit(SaveRun(record))
        return record

    def note(self, text: str, severity: Severity = Severity.NO_ALARM) -> Note:
        return Note(text, severity, self.now)

    def message(self, subject: Subject) -> Note:  # noqa: PLR0911 - one for each kind of subject
        match subject.kind:
            case Kind.Server:
                return self.server(subject.name).message
            case Kind.Router:
                return self.router(subject.name).message
            case Kind.Interlock:
                return self.state.interlocks.get(subject.name, Interlock()).message  # it may just have been removed
            case Kind.Partner:
                return self.state.partners[subject.name].message
            case Kind.Run:
                return self.state.run.message
            case Kind.Auto:
                return self.state.auto_message
            case Kind.System:
                return self.state.message

    def set_message(self, subject: Subject, note: Note) -> None:
        match subject.kind:
            case Kind.Server:
                self.set_server(subject.name, message=note)
            case Kind.Router:
                self.set_router(subject.name, message=note)
            case Kind.Interlock:
                if subject.name in self.state.interlocks:
                    self.set_interlock(subject.name, message=note)
            case Kind.Partner:
                self.set_partner(subject.name, message=note)
            case Kind.Run:
                self.set_run(message=note)
            case Kind.Auto:
                self.set(auto_message=note)
            case Kind.System:
                self.set(message=note)

    def show(self, subject: Subject, text: str, severity: Severity = Severity.NO_ALARM) -> None:
        """Put a sentence into the message of its subject; the run's message also names its current troubles."""
        run = self.state.run
        if subject == RUN and (wrong := run.by_urgency):
            but = ", but" if run.ending is DocumentState.Complete else ":"
            text = f"{text}{but} {few([trouble.text for trouble in wrong])}"
            severity = max(severity, *(trouble.severity for trouble in wrong))
        self.set_message(subject, self.note(text, severity))

    def log(
        self,
        subject: Subject,
        text: str,
        severity: Severity = Severity.NO_ALARM,
        client: Client = Client(),
        run: RunId | None = None,
    ) -> None:
        self.emit(Log(severity, subject, text, client, run))

    def say(
        self, subject: Subject, text: str, severity: Severity = Severity.NO_ALARM, client: Client = Client()
    ) -> None:
        """Put a sentence into the message of its subject and into the log."""
        self.show(subject, text, severity)
        self.log(subject, text, severity, client)


def listing(names: Sequence[str]) -> str:
    """Join names for a sentence: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def few(texts: Sequence[str], most: int = 4) -> str:
    """Join sentences; give only the number of those beyond a readable few."""
    rest = len(texts) - most
    return "; ".join((*texts[:most], f"and {rest} more") if rest > 0 else texts)


def local(posix: float) -> str:
    """Return a time for people: ISO 8601 local time with offset, to the second."""
    return datetime.fromtimestamp(posix).astimezone().isoformat(timespec="seconds")
