"""The PVs of one data router, ``$(P)Router:<name>:…``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from ioc.ca import CommandPv, EnumPv, FloatPv, IntPv, TextPv
from ioc.engine import Engine
from ioc.model import ChecksumState, ChecksumStatus, RouterFacts, RunState, Severity
from ioc.pvs.boundary import command
from ioc.pvs.group import MEGABYTE, MESSAGE_LENGTH, Group, alarm, not_known
from ioc.runlogic.events import Organize, RestartProgram
from ioc.runlogic.plan import GIGABYTE
from ioc.runlogic.state import Router, State
from ioc.runlogic.subject import data_router

_EMPTY, _WRITING, _LEFT_BEHIND, _UNKNOWN = range(4)
"""Values of Staging."""


class RouterPvs(Group):
    """Flags, files, disk and log of one data router."""

    def __init__(
        self,
        prefix: str,
        name: str,
        engine: Engine,
        read_log: Callable[[], Awaitable[str]],
        checksums: Callable[[], ChecksumStatus],
    ) -> None:
        super().__init__(f"{prefix}Router:{name}:")
        self._name = name
        low = engine.plan.min_disk_free / GIGABYTE
        staging = ["Empty", "Writing", "Left behind", "Unknown"]
        self._online = self.add(EnumPv, "Online", "The dataRouter process runs", ["Offline", "Online"])
        self._clean = self.add(EnumPv, "Clean", "No .graw file is staged", ["Dirty", "Clean"])
        self._staging = self.add(EnumPv, "Staging", "Contents of the staging directory", staging, value=_UNKNOWN)
        self._files = self.add(IntPv, "FileCount", "Staged .graw files")
        self._staged = self.add(FloatPv, "StagedMB", "Size of the staged files", units="MB", precision=1)
        self._rate = self.add(FloatPv, "RateMBps", "Growth of the staged files", units="MB/s", precision=2)
        self._silent = self.add(EnumPv, "Silent", "No data during a run", ["No", "Yes"])
        self._free = self.add(FloatPv, "DiskFreeGB", "Free disk space", units="GB", precision=1, low=2 * low, lolo=low)
        self._used = self.add(FloatPv, "DiskUsedPercent", "Used disk space", units="%", precision=1)
        self._work_dir = self.add(TextPv, "WorkDir", "Directory that the router writes to", 512)
        self._disk = self._free, self._used
        self._directory = self._clean, self._files, self._staged, self._rate, self._work_dir
        not_known("UDF", self._online, self._staging, *self._directory, *self._disk)
        self._checksums = checksums
        states = [state.name for state in ChecksumState]
        self._checksumming = self.add(EnumPv, "Checksumming", "Checksums of its filed files", states)
        self._backlog = self.add(FloatPv, "ChecksumLeftMB", "Size of files without checksum", units="MB", precision=1)
        self._odd = self.add(TextPv, "ChecksumMessage", "Why files have no checksum", MESSAGE_LENGTH)
        self.add_message("Last error or result", MESSAGE_LENGTH, lambda state: state.routers[name].message)
        organize = command(engine, partial(Organize, router=name))
        self.add(CommandPv, "Organize", "File staged files under the last run", organize)
        if name in engine.plan.router_units:
            restart = command(engine, partial(RestartProgram, subject=data_router(name)))
            self.add(CommandPv, "Restart", "Restart its program on its host", restart)
        self.add_log_file("router", read_log)
        self.follow(lambda state: (state.routers[name], state.run.state, _is_being_ended(state)), self._show)

    def tick(self) -> None:
        """Show the present state of its checksums."""
        status = self._checksums()
        severity = alarm(status.state is ChecksumState.Failed, Severity.MINOR)
        self._checksumming.post(status.state, severity=severity)
        self._backlog.post(status.backlog / MEGABYTE)
        self._odd.post(status.message, severity=severity)

    def _show(self, state: State) -> None:
        router = state.routers[self._name]
        if (facts := router.facts) is None:
            self._online.post(0, severity=Severity.INVALID)
            self._show_no_directory()
            not_known("COMM", *self._disk)
            return
        self._silent.post(int(router.silent), severity=alarm(router.silent))
        self._online.post(int(facts.online), severity=alarm(not facts.online), timestamp=facts.read_at)
        if facts.work_dir:
            self._show_directory(router, facts, state)
        else:
            self._show_no_directory()
        if facts.work_dir and facts.disk_total:
            used = 100 * (1 - facts.disk_free / facts.disk_total)
            self._free.post(facts.disk_free / GIGABYTE, severity=alarm(router.disk_filling), timestamp=facts.read_at)
            self._used.post(used, timestamp=facts.read_at)
        else:
            not_known("COMM", *self._disk)

    def _show_no_directory(self) -> None:
        not_known("COMM", *self._directory)
        self._staging.post(_UNKNOWN, severity=Severity.INVALID)

    def _show_directory(self, router: Router, facts: RouterFacts, state: State) -> None:
        """Show the facts. Dirty is an alarm only while no run is open; staged files only if they belong to no run."""
        at, run = facts.read_at, state.run
        dirty = not (run.open or facts.clean)
        self._clean.post(int(facts.clean), severity=alarm(dirty, Severity.MINOR), timestamp=at)
        writing = run.may_write or router.filing or _is_being_ended(state)
        staging = _EMPTY if facts.clean else _WRITING if writing else _LEFT_BEHIND
        self._staging.post(staging, severity=alarm(staging == _LEFT_BEHIND, Severity.MINOR), timestamp=at)
        self._files.post(facts.file_count, timestamp=at)
        self._staged.post(facts.staged_bytes / MEGABYTE, timestamp=at)
        self._rate.post(router.rate / MEGABYTE, timestamp=at)
        self._work_dir.post(facts.work_dir, timestamp=at)


def _is_being_ended(state: State) -> bool:
    """Whether the files of the run are about to be filed, or were: the next look shows what is left."""
    return state.run.state is RunState.Filing and state.job is not None
