"""Copies the filed files of one host to the destinations, one after the other."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from ioc.archive.errand import (
    EndedError,
    Errand,
    NotMountedError,
    Running,
    Storage,
    WrongCopyError,
    checking,
    copying,
    making_directories,
    making_room,
    seeing_place,
)
from ioc.archive.places import Places
from ioc.errors import PeerError, PeerRejected
from ioc.hosts import MachineHost, host_with
from ioc.hosts.transport import from_shown, shown
from ioc.model import ArchiveState, RunId
from ioc.rundb import SqliteRunStore
from ioc.rundb.copies import (
    PendingCopy,
    known_copy,
    pending_copies,
    save_copied,
    save_copying,
    save_failed,
    save_verified,
)
from ioc.rundb.reader import LOOK_SHARE
from ioc.topology.merger import MergerLayout
from ioc.topology.schema import Destination
from ioc.waiting import wait_for_news

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """A copier's report on a destination."""

    doing: ArchiveState | None = None
    """Copying or Verifying; None: nothing."""
    moved: int = 0
    """Bytes copied since the last report."""
    problem: str | None = None
    """Why copying fails; empty: it works; None: not known yet."""
    not_mounted: bool = False
    """This is the problem."""
    finished: bool = False
    """A file has been dealt with."""


class Pauses:
    """Growing pauses of what fails, by key."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failed: dict[object, tuple[int, float]] = {}
        """How often, and until when it pauses (monotonic clock)."""

    def failed(self, key: object) -> None:
        """Begin a pause, longer than the last one."""
        count = self._failed.get(key, (0, 0.0))[0] + 1
        pause = min(self._longest, self._first * 2.0 ** min(count - 1, 20))
        self._failed[key] = (count, time.monotonic() + pause)

    def works(self, key: object) -> None:
        self._failed.pop(key, None)

    def left(self, key: object) -> float:
        """Seconds until its pause is over, at most 0 if it may be tried."""
        return self._failed[key][1] - time.monotonic() if key in self._failed else 0.0


class Copier:
    """Belongs to the event loop; `run` owns its thread and the program on the host."""

    def __init__(
        self,
        host: MachineHost,
        hosts: Sequence[MachineHost],
        archive: Sequence[Destination],
        store: SqliteRunStore,
        report: Callable[[str, Report], None],
        *,
        merger: MergerLayout,
        look_seconds: float,
        pauses: tuple[float, float],
    ) -> None:
        """`hosts`: all hosts, which decide where a file is."""
        self._host = host
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"copies-{host.name}")
        self._hosts = hosts
        self._archive = archive
        self._places = {each.name: Places(each, merger) for each in archive}
        self._storages = {each.name: Storage.of(each, archive) for each in archive}
        self._seen_at: dict[str, float] = {}
        """By destination of rclone: when its storage was seen last (monotonic clock)."""
        self._made: set[tuple[str, RunId]] = set()
        """Runs whose directories were made at a destination of rclone."""
        self._store = store
        self._report = report
        self._look_seconds = look_seconds
        self._pauses = Pauses(*pauses)
        self._queues: dict[str, list[PendingCopy]] = {}
        """By destination: what the last look at the database found, the next file last."""
        self._look_at: dict[str, float] = {}
        """By destination: when to look again (monotonic clock); not there: at once."""
        self._not_compared: set[tuple[str, int]] = set()
        """Destination and file of copies that could not be compared: that says nothing about the copy."""
        self._in_run = True
        self._awake = asyncio.Event()
        self._running: Running | None = None
        self._serving: Destination | None = None

    @property
    def name(self) -> str:
        return self._host.name

    def wake(self, *, in_run: bool) -> None:
        """A run has begun or ended, or been filed."""
        self._in_run = in_run
        self._look_at.clear()
        self._awake.set()
        if self._running is not None and self._serving is not None and not self._may(self._serving):
            self._running.end()

    async def run(self) -> None:
        """Copy until cancelled."""
        try:
            while True:
                try:
                    worked = await self._serve_one()
                except PeerError as error:  # the database
                    log.debug("safe copies from %s wait: %s", self.name, error)
                    worked = False
                if not worked:
                    await wait_for_news(self._awake, self._idle_seconds())
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _may(self, destination: Destination) -> bool:
        return destination.during_runs or not self._in_run

    def _idle_seconds(self) -> float:
        """Return how long there is nothing to do unless something changes."""
        pauses = (self._pauses.left(each.name) for each in self._archive)
        return max(0.01, min([self._look_seconds, *(left for left in pauses if left > 0)]))

    async def _serve_one(self) -> bool:
        """Deal with one file; False if there is none."""
        for destination in self._archive:
            if not self._may(destination) or self._pauses.left(destination.name) > 0:
                continue
            if (pending := await self._next(destination)) is not None and self._may(destination):
                self._serving = destination
                try:
                    await self._serve(destination, pending)
                finally:
                    self._serving = None
                return True
        return False

    async def _next(self, destination: Destination) -> PendingCopy | None:
        name = destination.name
        queue = self._queues.get(name, [])
        began = time.monotonic()
        if name not in self._look_at or began >= self._look_at[name]:
            self._look_at[name] = began + self._look_seconds
            found = await self._store.read(lambda db: pending_copies(db, name, self._host.addresses))
            if found:
                # A directory is that of this host; any other storage is one for all of them.
                hosts = self._host.addresses if destination.directory and not destination.ssh else ()
                below = self._places[name].base
                copy = await self._store.read(lambda db: known_copy(db, name, below, hosts))
                self._storages[name] = replace(self._storages[name], copy=from_shown(copy))
            queue = self._queues[name] = [each for each in reversed(found) if self._is_ours(each)]
            now = time.monotonic()
            if name in self._look_at:  # not woken meanwhile
                self._look_at[name] = now + max(self._look_seconds, LOOK_SHARE * (now - began))
        while queue:
            pending = queue.pop()
            if self._pauses.left((name, pending.file_id)) <= 0:
                if not queue:
                    self._look_at.pop(name, None)
                return pending
        return None

    def _is_ours(self, pending: PendingCopy) -> bool:
        return host_with(self._hosts, pending.host, pending.router) is self._host

    async def _serve(self, destination: Destination, pending: PendingCopy) -> None:
        """Copy and compare one file, and keep the result."""
        name, file_id = destination.name, pending.file_id
        there = shown(self._places[name].of(pending))
        try:
            await self._copy(destination, pending, there)
            await self._store.transaction(lambda db: save_verified(db, file_id, name, there, pending.checksum))
        except EndedError:
            self._report(name, Report())
        except PeerRejected as error:
            if isinstance(error, WrongCopyError):
                self._not_compared.discard((name, file_id))
            self._pauses.failed((name, file_id))
            self._pauses.failed(name)
            reason = str(error)
            await self._store.transaction(lambda db: save_failed(db, file_id, name, there, reason))
            self._report(name, Report(problem=f"{pending.run}, {pending.path}: {reason}", finished=True))
        except PeerError as error:  # this host, or the database; it says nothing about the file
            self._pauses.failed(name)
            self._report(name, Report(problem=str(error), not_mounted=isinstance(error, NotMountedError)))
        else:
            self._not_compared.discard((name, file_id))
            self._pauses.works((name, file_id))
            self._pauses.works(name)
            self._report(name, Report(problem="", finished=True))

    async def _copy(self, destination: Destination, pending: PendingCopy, there: str) -> None:
        name, file_id = destination.name, pending.file_id
        places, storage = self._places[name], self._storages[name]
        place, temporary = places.of(pending), places.temporary(pending)
        await self._see(destination, storage, make=True)
        if not pending.copied and (name, file_id) not in self._not_compared:
            run, directories = places.run(pending.run), places.names(pending)
            if destination.rclone and places.is_for_merger(pending) and (name, pending.run) not in self._made:
                make = making_directories(destination, run, directories)
                await self._perform(destination, make, ArchiveState.Copying)
                self._made.add((name, pending.run))
            if not temporary and pending.there != there:
                await self._perform(destination, making_room(destination, place), ArchiveState.Copying)
                await self._store.transaction(lambda db: save_copying(db, file_id, name, there))
            below = [run + b"/" + each for each in directories]
            source = from_shown(pending.path)
            copy = copying(storage, source, pending.size, place, temporary, directories=below)
            await self._perform(destination, copy, ArchiveState.Copying)
            await self._store.transaction(lambda db: save_copied(db, file_id, name, there))
        check = checking(storage, pending.size, place, temporary, pending.checksum)
        self._not_compared.add((name, file_id))
        said = await self._perform(destination, check, ArchiveState.Verifying)
        if said[-1:] != ["same"]:
            raise PeerRejected(f"the destination answered {' '.join(said)[-200:]!r}")
        # Its storage may have gone while it was copied; what was compared then is at its mount point.
        await self._see(destination, storage, make=False)

    async def _see(self, destination: Destination, storage: Storage, *, make: bool) -> None:
        """See whether the storage of a remote of rclone is there, unless that was seen just now."""
        now = time.monotonic()
        if destination.rclone and now > self._seen_at.get(destination.name, -math.inf) + self._look_seconds:
            await self._perform(destination, seeing_place(storage, make=make), ArchiveState.Copying)
            self._seen_at[destination.name] = now

    async def _perform(self, destination: Destination, errand: Errand, doing: ArchiveState) -> list[str]:
        loop = asyncio.get_running_loop()
        name = destination.name
        before = 0

        def moved(total: int) -> None:
            nonlocal before
            more, before = max(0, total - before), total
            self._report(name, Report(doing, moved=more))

        running = self._running = Running(self._host.aside, errand, partial(loop.call_soon_threadsafe, moved))
        if not self._may(destination):
            raise EndedError("a run has begun")
        self._report(name, Report(doing))
        try:
            return await _to_the_end(loop.run_in_executor(self._thread, running.run), running.end)
        finally:
            self._running = None


async def _to_the_end(thread: Awaitable[list[str]], end: Callable[[], None]) -> list[str]:
    """Wait for a thread; if that is cancelled, end it and wait for its end nevertheless."""
    future = asyncio.ensure_future(thread)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        end()
        await asyncio.wait([future])
        future.exception()  # seen
        raise
