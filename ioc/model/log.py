"""Clients, log lines and puts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ioc.model.enums import Severity
from ioc.model.run import RunId


@dataclass(frozen=True)
class Client:
    """The client of a request: the name is reported by the client, the host is the address of its connection."""

    user: str = ""
    host: str = ""


@dataclass(frozen=True)
class Event:
    """One line of the log (table ``events``)."""

    occurred_at: float
    severity: Severity
    source: str
    """Its source: ``ECC:CoBo0``, ``Router:data3``, ``Run``, ``IOC``…"""
    message: str
    run: RunId | None = None
    client: Client = Client()


@dataclass(frozen=True)
class PutRecord:
    """One put, granted or refused (table ``puts``)."""

    occurred_at: float
    """When it arrived."""
    pv: str
    old_value: str
    new_value: str
    client: Client
    result: str
    """``ok``, ``refused``, ``failed`` or ``denied``."""
    message: str = ""
    """The reason, if it was not granted; else a remark, if any."""
    run: RunId | None = None
    """The run that was open when it arrived or when it was done, if any."""
    count: int = 1
    """Number of puts of one client to the PV in this record; of a burst, only the first have a record each."""
    logged: bool = False
    """`message` is already in the log (not stored)."""


class LogbookState(IntEnum):
    """State of the logbooks, the worst of all."""

    Off = 0
    Ok = 1
    Waiting = 2
    """A logbook cannot be written now; its entries are kept."""
    Refused = 3
    """A logbook will never accept an entry; somebody has to look at it."""


@dataclass(frozen=True)
class LogbookStatus:
    """The state of the logbooks."""

    state: LogbookState = LogbookState.Off
    message: str = ""
    waiting: int = 0
    """Entries that a logbook does not have yet."""
