"""Base of the groups of PVs: the common prefix of their names, and updates from the state of the core.

A group declares which parts of the state a set of its PVs depends on. A new state renders a set only if one of these
parts is another object than before: the core replaces what changes and keeps the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from ioc.ca import CommandPv, Pv, TextPv
from ioc.model import Client, Severity
from ioc.pvs.boundary import handler
from ioc.runlogic.state import Note, State

MESSAGE_LENGTH = 1024
LOG_LENGTH = 16_000
"""Longest text. A client with the usual limit of 16384 bytes needs some of them for header and time stamp."""
MEGABYTE = 1_000_000

P = ParamSpec("P")
AnyPv = TypeVar("AnyPv", bound=Pv[Any])
Parts = Callable[[State], tuple[object, ...]]


class Group:
    """PVs whose names begin with `base`, in the order of the documentation."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.pvs: list[Pv[Any]] = []
        self._rules: list[tuple[Parts, Callable[[State], None]]] = []
        self._seen: list[tuple[object, ...]] = []

    def add(self, kind: Callable[Concatenate[str, P], AnyPv], name: str, *args: P.args, **options: P.kwargs) -> AnyPv:
        """Add the PV ``<base><name>`` of type `kind`, which takes the other arguments."""
        pv = kind(self.base + name, *args, **options)
        self.pvs.append(pv)
        return pv

    def add_message(self, description: str, size: int, note: Callable[[State], Note]) -> None:
        """Add ``Message``, which shows a message of the core with its severity and time."""
        message = self.add(TextPv, "Message", description, size)
        self.follow(lambda state: (note(state),), lambda state: post_note(message, note(state)))

    def add_log_file(self, what: str, read: Callable[[], Awaitable[str]]) -> None:
        """Add ``RefreshLog`` and ``Log``, which show the end of a log file on another host."""

        async def refresh(client: Client) -> None:
            text = await read()
            encoded = text.encode()
            if len(encoded) >= LOG_LENGTH:  # the end is what matters
                text = encoded[-LOG_LENGTH + 8 :].decode(errors="ignore").partition("\n")[2]
            log.post(text)

        self.add(CommandPv, "RefreshLog", f"Fetch the log of the {what}", handler(refresh))
        log = self.add(TextPv, "Log", f"Last 50 lines of the {what}'s log", LOG_LENGTH)

    def follow(self, parts: Parts, show: Callable[[State], None]) -> None:
        """Call `show` with each new state in which one of `parts` has changed."""
        self._rules.append((parts, show))
        self._seen.append(())

    def update(self, state: State) -> None:
        """Show a new state."""
        for number, (parts, show) in enumerate(self._rules):
            now, seen = parts(state), self._seen[number]
            if len(now) != len(seen) or any(part is not before for part, before in zip(now, seen, strict=True)):
                self._seen[number] = now
                show(state)


def alarm(condition: object, severity: Severity = Severity.MAJOR) -> Severity:
    return severity if condition else Severity.NO_ALARM


def post_note(pv: TextPv, note: Note) -> None:
    """Show a message of the core with its severity and time."""
    pv.post(note.text, severity=note.severity, timestamp=note.at or None)


def not_known(status: str, *pvs: Pv[Any]) -> None:
    """Keep the last values visible, but INVALID."""
    for pv in pvs:
        pv.post(pv.value, severity=Severity.INVALID, status=status)


def local_time(posix: float | None) -> str:
    """Return ISO 8601 local time with offset, to the second; empty for None."""
    return "" if posix is None else datetime.fromtimestamp(posix).astimezone().isoformat(timespec="seconds")


def bytes_text(size: int) -> str:
    """Return a size for people: ``12.3 GB``."""
    amount, units = size / MEGABYTE, ("MB", "GB", "TB", "PB")
    for unit in units[:-1]:
        if amount < 1000:
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} {units[-1]}"


def shortened(text: str, most: int) -> str:
    """Return at most so many characters of a text, with an ellipsis if there were more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def clock(seconds: float) -> str:
    """Return HH:MM:SS; the hours may pass 24."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
