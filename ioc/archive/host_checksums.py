"""The stream of checksums of one host."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

from ioc.errors import PeerError
from ioc.hosts import MachineHost, ProgramError
from ioc.model import Checksum, ChecksumState, ChecksumStatus, Event, Found, RunId, Severity
from ioc.rundb import SqliteRunStore
from ioc.rundb.checksums import DueFile, Place, ask_for_card, due_files, save_checksum

_BATCH = 200
"""Files that one program on the host takes."""
_SHORTEST_PAUSE = 5.0
_LONGEST_PAUSE = 300.0
"""Seconds until a host that failed is tried again; each failure doubles the pause."""
_AGAIN_SECONDS = 600.0
"""How long a file that is not as it was filed is passed over; this time also doubles, up to a day."""
_LONGEST_AGAIN = 86400.0
_MOST_RUNS = 3
"""If files of more runs are not as they were filed, they are reported together."""


class HostChecksums:
    """Computes the checksums of one host's files, while it may."""

    def __init__(self, host: MachineHost, store: SqliteRunStore, journal: Callable[[Event], None]) -> None:
        self._host = host
        self._store = store
        self._journal = journal
        self._backlog: dict[Place, int] = {}
        self._odd: dict[int, tuple[DueFile, Checksum]] = {}
        """The last findings about files that have changed since they were filed, by id."""
        self.passed_over: set[int] = set()
        """Ids of the files that are not tried for now."""
        self._again_after = _AGAIN_SECONDS
        self._again_at = 0.0
        self._paused = True
        self._problem = ""
        self._stream: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def pause(self, paused: bool) -> None:
        """Stop immediately, or continue."""
        self._paused = paused
        if self._stream is not None and paused:
            self._stream.cancel()
        self._news.set()

    def begin(self, backlog: Mapping[Place, int]) -> None:
        """Take what there is to do: bytes by place of the files."""
        self._backlog = dict(backlog)
        self._news.set()

    def status(self, router: str) -> ChecksumStatus:
        waiting = sum(size for (_, its), size in self._backlog.items() if its == router)
        todo = any(its == router for _, its in self._backlog)
        odd = [
            odd_file(self._host.name, file.path, file.size, result)
            for file, result in self._odd.values()
            if file.router == router
        ]
        message = f"{odd[0]}{_and_more(len(odd) - 1)}" if odd else ""
        if todo and self._problem:
            return ChecksumStatus(ChecksumState.Failed, self._problem, waiting)
        if todo and self._paused:
            return ChecksumStatus(ChecksumState.Paused, message, waiting)
        return ChecksumStatus(ChecksumState.Busy if todo else ChecksumState.Idle, message, waiting)

    async def run(self) -> None:
        """Work until cancelled."""
        pause = _SHORTEST_PAUSE
        while True:
            self._news.clear()
            if self._paused or not self._backlog:
                await self._wait()
                continue
            try:
                worked = await self._work()
            except PeerError as error:
                self._failed(error)
                worked = False
            else:
                if worked:
                    self._problem = ""
            if worked or self._paused:
                pause = _SHORTEST_PAUSE
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _wait(self) -> None:
        """Wait for something to do; let the files that were passed over come again when it is time."""
        if not self.passed_over:
            await self._news.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, self._again_at - time.monotonic())):
                await self._news.wait()
        except TimeoutError:
            for key in self.passed_over:
                file, _ = self._odd[key]
                self._add(file, file.size)
            self.passed_over.clear()
            self._again_after = min(2 * self._again_after, _LONGEST_AGAIN)

    async def _work(self) -> bool:
        """Compute the checksums of some files; False if nothing came of it.

        Raises:
            PeerError: the host, its program or the database failed.
        """
        places = list(self._backlog)
        files = await self._store.read(lambda db: due_files(db, places, self.passed_over, _BATCH))
        if not files:
            self._backlog.clear()
            return True
        by_path = {file.path: file for file in files}
        odd: list[tuple[DueFile, Checksum]] = []
        done = 0

        async def record(result: Checksum) -> None:
            nonlocal done
            file = by_path[result.path]
            if result.found is Found.Changing:
                return  # again with the next ones
            if result.found is Found.Whole:
                await self._store.transaction(lambda db: save_checksum(db, file, result.text, self.passed_over))
                self._odd.pop(file.id, None)
            else:
                if self._odd.get(file.id) != (file, result):
                    odd.append((file, result))
                self._pass_over(file, result)
                await self._store.transaction(lambda db: ask_for_card(db, file, self.passed_over))
            done += 1
            self._add(file, -file.size)

        try:
            await self._compute(list(by_path), {path: file.size for path, file in by_path.items()}, record)
        finally:
            self._report(odd)
        return done > 0

    async def _compute(
        self, paths: list[str], sizes: Mapping[str, int], record: Callable[[Checksum], Awaitable[None]]
    ) -> None:
        """Let the host compute; returns early when a run starts."""
        if self._paused:
            return
        stream = self._stream = asyncio.create_task(self._host.checksums(paths, record, sizes=sizes))
        try:
            await asyncio.wait([stream])
        finally:
            self._stream = None
            stream.cancel()
            await asyncio.wait([stream])
        if not stream.cancelled():
            stream.result()

    def _pass_over(self, file: DueFile, result: Checksum) -> None:
        if not self.passed_over:
            self._again_at = time.monotonic() + self._again_after
        self._odd[file.id] = (file, result)
        self.passed_over.add(file.id)

    def _add(self, file: DueFile, size: int) -> None:
        place = (file.host, file.router)
        self._backlog[place] = max(0, self._backlog.get(place, 0) + size)

    def _failed(self, error: PeerError) -> None:
        """Keep the reason. That a host is away is in the log already, but not that its programs are no good."""
        if isinstance(error, ProgramError) and str(error) != self._problem:
            self._say(Severity.MINOR, f"no checksums are computed: {error}")
        self._problem = str(error)

    def _report(self, odd: list[tuple[DueFile, Checksum]]) -> None:
        """Log files that are not as they were filed."""
        by_run: defaultdict[RunId | None, list[str]] = defaultdict(list)
        many = len({file.run for file, _ in odd}) > _MOST_RUNS
        for file, result in odd:
            by_run[None if many else file.run].append(odd_file(self._host.name, file.path, file.size, result))
        for run, texts in by_run.items():
            self._say(Severity.MAJOR, texts[0] + _and_more(len(texts) - 1), run)

    def _say(self, severity: Severity, text: str, run: RunId | None = None) -> None:
        self._journal(Event(time.time(), severity, "Checksums", text, run))


def odd_file(host: str, path: str, size: int, result: Checksum) -> str:
    """Return a sentence about a file that is not as it was filed with `size` bytes."""
    if result.found is Found.OtherSize:
        return f"{path} on {host} has {result.size} bytes, but had {size} when it was filed"
    return f"{path} on {host} {result.found.value}"


def _and_more(count: int) -> str:
    return f"; and {count} more files have changed since they were filed" if count > 0 else ""
