"""The PVs of one destination of safe copies, ``$(P)Archive:<name>:…``."""

from __future__ import annotations

from collections.abc import Callable

from ioc.ca import EnumPv, FloatPv, IntPv, TextPv
from ioc.model import ArchiveState, ArchiveStatus, Severity
from ioc.pvs.group import MEGABYTE, Group, alarm


class ArchivePvs(Group):
    """One destination; updated once a second."""

    def __init__(self, prefix: str, name: str, status: Callable[[str], ArchiveStatus]) -> None:
        super().__init__(f"{prefix}Archive:{name}:")
        self._name = name
        self._status = status
        self.state = self.add(EnumPv, "State", "State of the safe copies", [state.name for state in ArchiveState])
        self._backlog = self.add(IntPv, "Backlog", "Files without a verified copy there")
        self._megabytes = self.add(FloatPv, "BacklogMB", "Size of these files", units="MB", precision=1)
        self._rate = self.add(FloatPv, "RateMBps", "Rate of copying", units="MB/s", precision=1)
        self._message = self.add(TextPv, "Message", "Why copies fail or wait", 512)

    def tick(self) -> None:
        status = self._status(self._name)
        severity = alarm(status.state in {ArchiveState.Failed, ArchiveState.NotMounted}, Severity.MINOR)
        self.state.post(status.state, severity=severity)
        self._message.post(status.message, severity=severity)
        self._backlog.post(status.backlog)
        self._megabytes.post(status.backlog_bytes / MEGABYTE)
        self._rate.post(status.rate / MEGABYTE)
