"""The PVs of the log, ``$(P)Log:…``: the last entries, newest first."""

from __future__ import annotations

from collections import deque

from ioc.ca import CommandPv, IntPv, TextPv
from ioc.model import Client, Event, Severity
from ioc.pvs.boundary import handler
from ioc.pvs.group import LOG_LENGTH, Group, local_time, shortened

_KEPT = 100
_LONGEST = 512
"""Characters of a line; the database has all of a long comment on a run."""
_NAMES = {Severity.NO_ALARM: "info", Severity.MINOR: "warning", Severity.MAJOR: "error", Severity.INVALID: "error"}


class LogPvs(Group):
    """The latest events. Clearing hides them here; the database keeps them."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"{prefix}Log:")
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._last = self.add(TextPv, "Last", "Newest entry of the log", 512)
        self._all = self.add(TextPv, "Lines", "Last 100 entries, newest first", LOG_LENGTH)
        self._errors = self.add(IntPv, "Errors", "Errors since the last clear")
        self.add(CommandPv, "Clear", "Hide entries, the database keeps them", handler(self._clear))

    def show(self, event: Event) -> None:
        who = f" ({event.client.user}@{event.client.host})" if event.client.host else ""
        text = " ".join(event.message.split())
        line = f"{local_time(event.occurred_at)} {_NAMES[event.severity]} {event.source}: {text}{who}"
        line = shortened(line, _LONGEST)
        self._lines.appendleft(line)
        self._last.post(line, severity=event.severity, timestamp=event.occurred_at)
        self._all.post("\n".join(self._lines))
        if event.severity >= Severity.MAJOR:
            self._errors.post(self._errors.value + 1, severity=Severity.MINOR)

    async def _clear(self, client: Client) -> None:
        self._lines.clear()
        self._last.post("")
        self._all.post("")
        self._errors.post(0)
