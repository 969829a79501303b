"""One step of the core while it is being computed: the state so far and the effects so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ioc.model import Client, DocumentState, RunRecord, Severity
from ioc.runlogic.effects import Answer, Effect, Log, SaveRun
from ioc.runlogic.events import Command
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import Job, Note, Router, Server, State


@dataclass
class Turn:
    """A scratch pad that lives for one call of `step`: nothing else in the core is ever changed in place."""

    plan: Plan
    state: State
    now: float
    steady: float
    effects: list[Effect] = field(default_factory=list[Effect])

    def emit(self, *effects: Effect) -> None:
        self.effects += effects

    def server(self, name: str) -> Server:
        return self.state.servers[name]

    def router(self, name: str) -> Router:
        return self.state.routers[name]

    @property
    def job(self) -> Job:
        """The present job; only asked for where there is one."""
        assert self.state.job is not None
        return self.state.job

    @property
    def record(self) -> RunRecord:
        """The record of the open or last run; only asked for where there is one."""
        assert self.state.run.record is not None
        return self.state.run.record

    def set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def set_server(self, name: str, **changes: Any) -> None:
        self.set(servers={**self.state.servers, name: replace(self.state.servers[name], **changes)})

    def set_router(self, name: str, **changes: Any) -> None:
        self.set(routers={**self.state.routers, name: replace(self.state.routers[name], **changes)})

    def set_run(self, **changes: Any) -> None:
        self.set(run=replace(self.state.run, **changes))

    def set_job(self, job: Job, **changes: Any) -> Job:
        job = replace(job, **changes)
        self.set(job=job)
        return job

    def save_run(self, **changes: Any) -> RunRecord:
        """Change the record of the open run and store it."""
        record = replace(self.record, **changes)
        self.set_run(record=record)
        self.emit(SaveRun(record))
        return record

    def note(self, text: str, severity: Severity = Severity.NO_ALARM) -> Note:
        return Note(text, severity, self.now)

    def say(self, text: str, severity: Severity = Severity.NO_ALARM, *, client: Client | None = None) -> None:
        """Put a sentence into the system's message and the log."""
        self.set(message=self.note(text, severity))
        self.emit(Log(severity, "System", text, client or Client()))

    def say_run(self, text: str, severity: Severity = Severity.NO_ALARM, *, client: Client | None = None) -> None:
        """Put a sentence into the run's message, with what is wrong at present, and into the log."""
        self.show_run(text, severity)
        self.emit(Log(severity, "Run", text, client or Client()))

    def show_run(self, text: str, severity: Severity = Severity.NO_ALARM) -> None:
        """Put a sentence into the run's message, with what is wrong at present."""
        run = self.state.run
        wrong = run.standing
        if wrong:
            but = ", but" if run.ending is DocumentState.Complete else ":"
            text = f"{text}{but} {few([trouble.text for trouble in wrong])}"
        self.set_run(message=self.note(text, max((severity, *(trouble.severity for trouble in wrong)))))

    def say_server(
        self, name: str, text: str, severity: Severity = Severity.NO_ALARM, *, client: Client | None = None
    ) -> None:
        """Put a sentence into a server's message and the log."""
        self.set_server(name, message=self.note(text, severity))
        self.emit(Log(severity, f"ECC:{name}", text, client or Client()))

    def say_router(
        self, name: str, text: str, severity: Severity = Severity.NO_ALARM, *, client: Client | None = None
    ) -> None:
        """Put a sentence into a router's message and the log."""
        self.set_router(name, message=self.note(text, severity))
        self.emit(Log(severity, f"Router:{name}", text, client or Client()))

    def done(self, command: Command) -> None:
        self.emit(Answer(command.token))


def listing(names: Sequence[str]) -> str:
    """Join names as a sentence does: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def few(texts: Sequence[str], most: int = 4) -> str:
    """Join sentences, and count those that are too many to be read at once."""
    rest = len(texts) - most
    return "; ".join((*texts[:most], f"and {rest} more") if rest > 0 else texts)


def local(posix: float) -> str:
    """Return a time as people read it: ISO 8601 local time with offset, to the second."""
    return datetime.fromtimestamp(posix).astimezone().isoformat(timespec="seconds")
