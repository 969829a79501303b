"""What the IOC stores for its next start: texts by name, in the table ``settings``.

Each kind is written and read by one `Setting`, so that both sides agree. What cannot be parsed counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from ioc.errors import Refused
from ioc.model import ConfigChoice, RunClass, RunInterval, Scalar, Window
from ioc.runlogic.effects import SaveSetting
from ioc.runlogic.sequence import Limits, Progress, RunPlan

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Setting(Generic[_Value]):
    """One kind of setting; for servers and routers its name is followed by the name of the object."""

    name: str
    default: _Value
    to_text: Callable[[_Value], str]
    from_text: Callable[[str], _Value]

    def save(self, value: _Value, of: str = "") -> SaveSetting:
        return SaveSetting(self._key(of), self.to_text(value))

    def read(self, settings: Mapping[str, str], of: str = "") -> _Value:
        try:
            return self.from_text(settings[self._key(of)])
        except (LookupError, ValueError, TypeError, Refused):
            return self.default

    def _key(self, of: str) -> str:
        return f"{self.name}:{of}" if of else self.name


@dataclass(frozen=True)
class Configured:
    """The state of an ECC server when it was configured."""

    given: ConfigChoice | None = None
    digest: str = ""
    files: tuple[tuple[str, str], ...] = ()

    def to_text(self) -> str:
        given = str(self.given) if self.given else ""
        return json.dumps({"given": given, "digest": self.digest, "files": self.files})

    @classmethod
    def from_text(cls, text: str) -> Configured:
        had = json.loads(text)
        given = ConfigChoice.parse(had["given"]) if had["given"] else None
        return cls(given, had["digest"], tuple((file, digest) for file, digest in had["files"]))


@dataclass(frozen=True)
class Alive:
    """A sign of life of an open run."""

    at: float = 0.0
    """POSIX seconds; 0 if there was none."""
    duration: float | None = None
    """Seconds that the run had lasted then."""
    number: int = -1

    def to_text(self) -> str:
        return f"{self.at!r} {self.duration!r} {self.number}"

    @classmethod
    def from_text(cls, text: str) -> Alive:
        at, *run = text.split()
        return cls(float(at), float(run[0]), int(run[1])) if run else cls(float(at))


@dataclass(frozen=True)
class Interlocked:
    """The stored state of an interlock."""

    window: Window | None = None
    """Its limits; None: those of the topology."""
    topology: Window | None = None
    """The limits of the topology then."""
    bypassed_until: float = 0.0
    reason: str = ""
    """Why it is Tripped; empty if it is not."""
    value: Scalar | None = None
    interval: RunInterval | None = None
    paused: int = -1
    """The run that it has paused."""


@dataclass(frozen=True)
class Worked:
    """Where a router worked last in the open run or in the last one, and what was seen there."""

    process: str = ""
    """The router then; empty if not known."""
    directory: str = ""
    dispensable: tuple[str, ...] = ()
    """Those of its directories that may be gone: no file was seen there, or they have been renamed since."""


def _as_json(name: str, default: _Value) -> Setting[_Value]:
    """A setting whose value is a dataclass."""
    return Setting(name, default, lambda value: to_json(value).decode(), TypeAdapter(type(default)).validate_json)


_NO_DIRECTORIES: tuple[str, ...] = ()
_NO_CONFIG: ConfigChoice | None = None

EXPERIMENT = Setting("experiment", "", str, str)
"""Set by the operator; see `ioc.model.chosen_experiment`."""
EXPERIMENT_DEFAULT = Setting("experiment_default", "", str, str)
"""The topology's experiment at that time."""
NOTES_OF = Setting("notes_of", "", str, str)
"""The experiment for which title and number of the next run were set."""
TITLE = Setting("title", "", str, str)
NEXT_NUMBER = Setting("next_number", 0, str, int)
"""Lowest number of the next run."""
CLASS = Setting("class", RunClass.Testing, lambda value: value.name, RunClass.__getitem__)
AUTO_LIMITS = _as_json("auto_limits", Limits())
AUTO_PLAN = _as_json("auto_plan", RunPlan())
AUTO_PROGRESS = _as_json("auto_progress", Progress())
ORPHANED = Setting("orphaned", -1, str, int)
"""Number of the last run that ended while the IOC was down; it may still have to be filed."""
ALIVE = Setting("last_alive", Alive(), Alive.to_text, Alive.from_text)
CONFIG = Setting("config", _NO_CONFIG, str, ConfigChoice.parse)
"""Selected by the operator for an ECC server."""
CONFIGURED = Setting("configured", Configured(), Configured.to_text, Configured.from_text)
LINK = Setting("link", "", str, str)
"""The router process to which a source was connected; empty if none."""
DIRECTORIES = Setting("directories", _NO_DIRECTORIES, json.dumps, TypeAdapter(tuple[str, ...]).validate_json)
"""Working directories of a router in the open run or the last one."""
WORKED = _as_json("worked", Worked())
INTERLOCK = _as_json("interlock", Interlocked())
PARTNER = Setting("partner", -1, str, int)
"""The run for which a partner was told to begin; -1 once it has ended."""
HELD = Setting("held", -1, str, int)
"""Number of the run that an interlock has paused and will resume; -1 if there is none."""
