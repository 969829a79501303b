"""Who asked for what, and what happened."""

from __future__ import annotations

from dataclasses import dataclass

from ioc.model.enums import Severity
from ioc.model.run import RunId


@dataclass(frozen=True)
class Client:
    """Who asked: the name is the client's own word, the host is the address of its connection."""

    user: str = ""
    host: str = ""


@dataclass(frozen=True)
class Event:
    """One line of the log (table ``events``)."""

    occurred_at: float
    severity: Severity
    source: str
    """Where it came from: ``ECC:CoBo0``, ``Router:data3``, ``Run``, ``IOC``…"""
    message: str
    run: RunId | None = None
    client: Client = Client()


@dataclass(frozen=True)
class PutRecord:
    """One put, granted or refused (table ``puts``)."""

    occurred_at: float
    """When it came."""
    pv: str
    old_value: str
    new_value: str
    client: Client
    result: str
    """``ok``, ``refused``, ``failed`` or ``denied``."""
    message: str = ""
    """The reason, if it was not granted; else a remark, if any."""
    run: RunId | None = None
    """The run that was open when it came or when it was done, if any."""
    count: int = 1
    """How many puts of one client to the PV it stands for: of a burst only so many are kept one by one."""
    logged: bool = False
    """The log has `message` already (not stored)."""
