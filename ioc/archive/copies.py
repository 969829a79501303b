"""Safe copies: after filing, every file is copied to each destination of the topology and compared there.

Theory of operation: what there is to do is in the database (`ioc.rundb.copies`), so a kill at any moment loses nothing.
One `Copier` per host copies one file after the other; of its destinations, the first in the topology that has files and
does not pause is served. A copy is made under a temporary name, continues an interrupted copy, gets its final name when
its checksum is that of the file, and counts as verified when this is in the database. In a run, only destinations with
``during_runs`` are served; what runs for others is ended when a run starts.

A file that fails is tried again, with growing pauses of its own; a destination at which one file after the other fails
pauses too, as does a host that cannot be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ioc.archive.copier import Copier, Report
from ioc.errors import PeerError
from ioc.hosts import MachineHost
from ioc.model import ArchiveState, ArchiveStatus, Event, Severity
from ioc.rundb import SqliteRunStore
from ioc.rundb.copies import Backlog, backlog
from ioc.rundb.reader import LOOK_SHARE
from ioc.runlogic.runs import opens_later
from ioc.runlogic.state import State
from ioc.topology.merger import MergerLayout
from ioc.topology.schema import Topology
from ioc.waiting import wait_for_news

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often the database is checked for changes by other parts and programs."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0
"""Seconds until a failure is tried again, the first and any later time."""
_RATE_SECONDS = 10.0


@dataclass
class _Destination:
    """The state of a destination, over all hosts."""

    backlog: Backlog = field(default_factory=Backlog)
    doing: dict[str, ArchiveState] = field(default_factory=dict[str, ArchiveState])
    """By host: Copying or Verifying."""
    problems: dict[str, str] = field(default_factory=dict[str, str])
    """By host."""
    not_mounted: set[str] = field(default_factory=set[str])
    """Hosts whose problem this is."""
    moved: int = 0
    """Bytes copied since the start."""
    history: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    """`moved` at times of the last seconds."""


class Copies:
    """Belongs to the event loop; `run` owns everything that it starts."""

    def __init__(
        self,
        topology: Topology,
        store: SqliteRunStore,
        hosts: Sequence[MachineHost],
        journal: Callable[[Event], None],
        *,
        look_seconds: float = LOOK_SECONDS,
        pauses: tuple[float, float] = (FIRST_PAUSE, LONGEST_PAUSE),
    ) -> None:
        self._archive = {each.name: each for each in topology.archive}
        self._store = store
        self._journal = journal
        self._look_seconds = look_seconds
        self._known = {name: _Destination() for name in self._archive}
        self._hosts = tuple(host for host in hosts if host.routers)
        self._in_run = True
        """Until the state of the core is known, there may be a run."""
        self._record: object = None
        merger = MergerLayout.of(topology)
        self._count = asyncio.Event()
        self._copiers = [
            Copier(
                host,
                self._hosts,
                topology.archive,
                store,
                partial(self._take, host.name),
                merger=merger,
                look_seconds=look_seconds,
                pauses=pauses,
            )
            for host in self._hosts
        ]

    def show(self, state: State) -> None:
        """Take a new state of the core."""
        in_run = state.run.open or opens_later(state)
        if not state.restored or (self._in_run, self._record) == (in_run, state.run.record):
            return
        self._in_run, self._record = in_run, state.run.record
        for copier in self._copiers:
            copier.wake(in_run=self._in_run)
        self._count.set()

    def status(self, name: str) -> ArchiveStatus:
        known = self._known[name]
        waiting = known.backlog
        return ArchiveStatus(
            self._state(name), waiting.files, waiting.size, self._rate(known), "; ".join(self._texts(known))
        )

    async def run(self) -> None:
        """Copy until cancelled."""
        if not self._archive:
            return
        async with asyncio.TaskGroup() as tasks:
            for copier in self._copiers:
                tasks.create_task(copier.run(), name=f"safe copies from {copier.name}")
            while True:
                began = time.monotonic()
                await self._count_backlogs()
                await asyncio.sleep(LOOK_SHARE * (time.monotonic() - began))
                await wait_for_news(self._count, self._look_seconds)

    async def _count_backlogs(self) -> None:
        hosts = {address for host in self._hosts for address in host.addresses}
        for name, known in self._known.items():
            with contextlib.suppress(PeerError):  # the PVs of the database say what is wrong
                known.backlog = await self._store.read(lambda db, name=name: backlog(db, name, hosts))
                if not known.backlog.files:  # what failed is not to be copied any more
                    known.problems.clear()
                    known.not_mounted.clear()

    def _state(self, name: str) -> ArchiveState:
        known = self._known[name]
        if known.problems:
            return ArchiveState.NotMounted if known.not_mounted else ArchiveState.Failed
        if known.doing:
            return min(known.doing.values())
        if self._in_run and known.backlog.files and not self._archive[name].during_runs:
            return ArchiveState.Paused
        return ArchiveState.Idle

    @staticmethod
    def _texts(known: _Destination) -> list[str]:
        texts = [f"{host}: {text}" for host, text in known.problems.items()]
        if known.backlog.without_checksum:
            texts.append(f"{known.backlog.without_checksum} files wait for their checksums")
        return texts

    @staticmethod
    def _rate(known: _Destination) -> float:
        now = time.monotonic()
        known.history.append((now, known.moved))
        while known.history[0][0] < now - _RATE_SECONDS:
            known.history.popleft()
        since, before = known.history[0]
        return (known.moved - before) / (now - since) if now > since else 0.0

    def _take(self, host: str, name: str, told: Report) -> None:
        known = self._known[name]
        known.moved += told.moved
        if told.doing is None:
            known.doing.pop(host, None)
        else:
            known.doing[host] = told.doing
        if told.finished:
            self._count.set()
        if told.problem is None:
            return
        before = known.problems.pop(host, "")
        known.not_mounted.discard(host)
        if told.not_mounted:
            known.not_mounted.add(host)
        if told.problem:
            known.problems[host] = told.problem
            if not before:
                self._say(name, Severity.MINOR, f"copying from {host} fails: {told.problem}")
        elif before:
            self._say(name, Severity.NO_ALARM, f"copying from {host} works again")

    def _say(self, name: str, severity: Severity, text: str) -> None:
        self._journal(Event(time.time(), severity, f"Archive:{name}", text))
