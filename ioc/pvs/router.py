"""The PVs of one data router, ``$(P)Router:<name>:…``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ioc.ca import CommandPv, EnumPv, FloatPv, IntPv, Pv, TextPv
from ioc.engine import Engine
from ioc.model import Severity
from ioc.pvs.boundary import command
from ioc.pvs.log_file import LogFilePvs
from ioc.pvs.naming import MESSAGE_LENGTH
from ioc.runlogic.events import Organize
from ioc.runlogic.plan import GIGABYTE
from ioc.runlogic.state import TAKING_DATA, Router, Run

_MEGABYTE = 1_000_000
_EMPTY, _WRITING, _LEFT_BEHIND = range(3)
"""Values of Staging."""


class RouterPvs:
    """Flags, files, disk and log of one data router."""

    def __init__(self, prefix: str, name: str, engine: Engine, read_log: Callable[[], Awaitable[str]]) -> None:
        self._shown: tuple[Router, Run] | None = None
        base = f"{prefix}Router:{name}:"
        disk_low = engine.plan.min_disk_free / GIGABYTE
        self._online = EnumPv(f"{base}Online", "A dataRouter process runs", ["Offline", "Online"])
        self._clean = EnumPv(f"{base}Clean", "No .graw file is staged", ["Dirty", "Clean"])
        self._staging = EnumPv(f"{base}Staging", "What lies in its directory", ["Empty", "Writing", "Left behind"])
        self._files = IntPv(f"{base}FileCount", "Staged .graw files")
        self._staged = FloatPv(f"{base}StagedMB", "Size of the staged files", units="MB", precision=1)
        self._rate = FloatPv(f"{base}RateMBps", "Growth of the staged files", units="MB/s", precision=2)
        self._silent = EnumPv(f"{base}Silent", "Writes nothing although a run takes data", ["No", "Yes"])
        self._free = FloatPv(f"{base}DiskFreeGB", "Free disk", units="GB", precision=1, low=2 * disk_low, lolo=disk_low)
        self._used = FloatPv(f"{base}DiskUsedPercent", "Used part of the disk", units="%", precision=1)
        self._disk: tuple[Pv[Any], ...] = (self._free, self._used)
        self._work_dir = TextPv(f"{base}WorkDir", "Where it writes", 512)
        self._directory: tuple[Pv[Any], ...] = (
            self._clean,
            self._staging,
            self._files,
            self._staged,
            self._rate,
            self._work_dir,
        )
        _not_known((self._online, *self._directory, *self._disk), "UDF")
        self._message = TextPv(f"{base}Message", "Last error or outcome", MESSAGE_LENGTH)
        self._log_file = LogFilePvs(base, "router", read_log)
        self.pvs: tuple[Pv[Any], ...] = (
            self._online,
            self._clean,
            self._staging,
            self._files,
            self._staged,
            self._rate,
            self._silent,
            *self._disk,
            self._work_dir,
            self._message,
            CommandPv(
                f"{base}Organize", "File staged files under last run", command(engine, partial(Organize, router=name))
            ),
            *self._log_file.pvs,
        )

    def update(self, router: Router, run: Run) -> None:
        """Show a new state of this router; Dirty is an alarm only while no run is open."""
        if self._shown is not None and self._shown[0] is router and self._shown[1] is run:
            return
        self._shown = (router, run)
        self._message.post(router.message.text, severity=router.message.severity, timestamp=router.message.at or None)
        facts = router.facts
        if facts is None:
            self._online.post(0, severity=Severity.INVALID)
            _not_known((*self._directory, *self._disk), "COMM")
            return
        at = facts.read_at
        silent = Severity.MAJOR if router.silent else Severity.NO_ALARM
        self._silent.post(int(router.silent), severity=silent)
        online = Severity.NO_ALARM if facts.online else Severity.MAJOR
        self._online.post(int(facts.online), severity=online, timestamp=at)
        if facts.work_dir:
            dirty = Severity.NO_ALARM if run.open or facts.clean else Severity.MINOR
            self._clean.post(int(facts.clean), severity=dirty, timestamp=at)
            if facts.clean:
                self._staging.post(_EMPTY, timestamp=at)
            elif run.state in TAKING_DATA or router.filing:
                self._staging.post(_WRITING, timestamp=at)
            else:
                self._staging.post(_LEFT_BEHIND, severity=Severity.MINOR, timestamp=at)
            self._files.post(facts.file_count, timestamp=at)
            self._staged.post(facts.staged_bytes / _MEGABYTE, timestamp=at)
            self._rate.post(router.rate / _MEGABYTE, timestamp=at)
            self._work_dir.post(facts.work_dir, timestamp=at)
        else:
            _not_known(self._directory, "COMM")
        if facts.work_dir and facts.disk_total:
            filling = Severity.MAJOR if router.disk_filling else Severity.NO_ALARM
            self._free.post(facts.disk_free / GIGABYTE, severity=filling, timestamp=at)
            self._used.post(100 * (1 - facts.disk_free / facts.disk_total), timestamp=at)
        else:
            _not_known(self._disk, "COMM")


def _not_known(pvs: tuple[Pv[Any], ...], status: str) -> None:
    """Leave the last values to be seen, but not as true ones."""
    for pv in pvs:
        pv.post(pv.value, severity=Severity.INVALID, status=status)
