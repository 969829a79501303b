"""The subject of a message or a log line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Kinds of subjects that have their own message; the value is the name in the log."""

    System = "System"
    Run = "Run"
    Auto = "Auto"
    """Automatic runs."""
    Server = "ECC"
    Router = "Router"
    Interlock = "Interlock"
    Partner = "Partner"


@dataclass(frozen=True)
class Subject:
    """The subject of a message or a log line."""

    kind: Kind
    name: str = ""
    """Of the ECC server, the router, the interlock or the partner."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


SYSTEM = Subject(Kind.System)
RUN = Subject(Kind.Run)
AUTO = Subject(Kind.Auto)


def ecc(name: str) -> Subject:
    return Subject(Kind.Server, name)


def data_router(name: str) -> Subject:
    return Subject(Kind.Router, name)


def interlock(name: str) -> Subject:
    return Subject(Kind.Interlock, name)


def partner(name: str) -> Subject:
    return Subject(Kind.Partner, name)
