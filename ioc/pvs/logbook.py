"""The PVs of the electronic logbooks, ``$(P)Logbook:…``."""

from __future__ import annotations

from collections.abc import Callable

from ioc.ca import EnumPv, IntPv, TextPv
from ioc.model import LogbookState, LogbookStatus, Severity
from ioc.pvs.group import Group, alarm


class LogbookPvs(Group):
    """All logbooks together; updated once a second."""

    def __init__(self, prefix: str, status: Callable[[], LogbookStatus]) -> None:
        super().__init__(f"{prefix}Logbook:")
        self._status = status
        self.state = self.add(EnumPv, "State", "State of the logbooks", [state.name for state in LogbookState])
        self._message = self.add(TextPv, "Message", "Why entries wait or were refused", 512)
        self._waiting = self.add(IntPv, "Waiting", "Logbook entries waiting to be sent")

    def tick(self) -> None:
        status = self._status()
        severity = alarm(status.state in {LogbookState.Waiting, LogbookState.Refused}, Severity.MINOR)
        self.state.post(status.state, severity=severity)
        self._message.post(status.message, severity=severity)
        self._waiting.post(status.waiting)
