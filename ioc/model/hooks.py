"""Hooks: what an installation does itself when a run starts, stops or is filed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HookPoint(StrEnum):
    """When a hook runs; the value is its list in the topology."""

    BeforeStart = "before_start"
    """Before the run gets its number. The start waits for it."""
    AfterStart = "after_start"
    BeforeStop = "before_stop"
    """Before the first ECC server is stopped. The stop waits for it."""
    AfterStop = "after_stop"
    """The run that was Running is over, but not filed."""
    AfterFiling = "after_filing"
    Failed = "failed"
    """The run could not be started, and what had started is stopped."""


@dataclass(frozen=True)
class HookOutcome:
    """How a hook ended."""

    error: str = ""
    """Why it failed; empty if it succeeded."""
    output: str = ""
    """What it wrote, or what the server answered: its end, on one line."""
