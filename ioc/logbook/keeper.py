"""One logbook: makes the entries that are due, and sends those that wait, until it is cancelled.

Theory of operation. `consider` takes what is due, on the event loop, and only notes it. One task makes each entry from
the run database and stores it in the spool, and continues with the next one if a run cannot be read; another one sends
the spool from the oldest to the newest. Whether the service has an entry is not known after an attempt without an
answer, and for every entry that an earlier process left: then the service is asked before the entry is sent. A service
that is away is asked again after 5 s, then ever less often. Entries that the service rejects for good are put aside.
Everything that blocks runs in two threads of its own or in the child process of a library, so neither a hanging disk
nor a hanging service reaches anything else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, ParamSpec, Protocol, TypeVar

from ioc.errors import AttpcError, PeerError, PeerRejected, PeerTimeout, Refused
from ioc.logbook.entries import Entry, compose
from ioc.logbook.occasions import Kind, Occasion
from ioc.logbook.plot import Plotter
from ioc.logbook.spool import Spool, Waiting
from ioc.model import Severity
from ioc.rundb.queries import RunBook, RunPage
from ioc.waiting import wait_for_news

log = logging.getLogger(__name__)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Part = Literal["make", "send"]
"""What a keeper does at the same time."""
Report = Callable[[str, Severity], None]
"""Writes a line into the log."""

_MOST_DUE = 200
MOST_WAITING = 1000
_LOOK_SECONDS = 60.0
"""Seconds between looks at the folder: somebody may have moved entries back."""
_DISK_SECONDS = 10.0
_ATTEMPTS = 3
"""Failures after which a round ends: one entry may be at fault, three mean the service."""


class Book(Protocol):
    """A logbook. Every call ends within the time-outs of its kind, whatever the service does, or is cancelled."""

    def body(self, entry: Entry, picture: str) -> str:
        """Return the text of an entry as this kind of logbook takes it; `picture` is the name of its plot, if any."""
        ...

    async def has(self, entry: Waiting) -> bool:
        """Ask whether the logbook has an entry: an earlier attempt may have succeeded without an answer.

        Raises:
            PeerError: it does not answer, or not usefully.
        """
        ...

    async def add(self, entry: Waiting, picture: bytes | None) -> None:
        """Add an entry.

        Raises:
            PeerRejected: the logbook will never accept it.
            PeerError: it was not accepted now; or whether it was is not known.
        """
        ...


@dataclass(frozen=True)
class Pace:
    """Times in seconds, shorter in tests."""

    first_pause: float = 5.0
    longest_pause: float = 300.0
    again: float = 2.0
    """Before another look at the database, or at the service for entries of an earlier process."""
    lag: float = 15.0
    """How long an entry waits for the database to have the run as it is; the entries after it wait as well."""
    give_up: float = 600.0
    """After which a run that is not in the database gets no entry."""


class Keeper:
    """Belongs to the event loop. `run` owns its tasks."""

    def __init__(
        self,
        name: str,
        book: Book,
        *,
        folder: Path,
        database: Path,
        plotter: Plotter,
        threads: Executor,
        report: Report,
        pace: Pace = Pace(),
    ) -> None:
        self.name = name
        self.refused = 0
        self._book = book
        self._spool = Spool(folder)
        self._database = database
        self._plotter = plotter
        self._threads = threads
        self._report = report
        self._pace = pace
        self._due: dict[str, Occasion] = {}
        self._since: dict[str, float] = {}
        """When each occasion was first checked, on the monotonic clock."""
        self._spooled = 0
        self._ours: set[str] = set()
        """Names of the entries that were made by this process and never sent."""
        self._due_news = asyncio.Event()
        self._spool_news = asyncio.Event()
        self._full = False
        self._storing = asyncio.Lock()
        """An entry is not sent before it is remembered as made: after a kill it would be made and sent again."""
        self._problems: dict[Part, str] = {"make": "", "send": ""}

    @property
    def problem(self) -> str:
        """Why entries wait; empty if they do not."""
        return next(filter(None, self._problems.values()), "")

    @property
    def waiting(self) -> int:
        """Entries that the logbook does not have yet."""
        return len(self._due) + self._spooled

    def consider(self, occasions: tuple[Occasion, ...]) -> None:
        """Take what is due; what was made already costs nothing."""
        new = {each.id: each for each in occasions if not self._spool.has_made(each.id)}
        if new.keys() - self._due.keys():
            self._due_news.set()
        self._due |= new
        while len(self._due) > _MOST_DUE:
            self._forget(next(iter(self._due.values())))

    async def run(self) -> None:
        """Work until cancelled."""
        while not await self._opened():
            await wait_for_news(self._due_news, self._pace.first_pause)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_making(), name=f"logbook {self.name}: make")
            tasks.create_task(self._keep_sending(), name=f"logbook {self.name}: send")

    async def _keep_making(self) -> None:
        pause = 0.0
        while True:
            await wait_for_news(self._due_news, pause)
            pause = _LOOK_SECONDS if await self._guarded("make", self._make) else self._pace.again

    async def _keep_sending(self) -> None:
        pause = self._pace.again if self._spooled else 0.0
        failures = 0
        while True:
            await wait_for_news(self._spool_news, pause)
            if await self._guarded("send", self._send):
                failures, pause = 0, _LOOK_SECONDS
            else:
                pause = min(self._pace.longest_pause, self._pace.first_pause * 2 ** min(failures, 10))
                failures += 1

    async def _guarded(self, part: Part, work: Callable[[], Awaitable[bool]]) -> bool:
        """Return whether all is done; an error of ours must not end the logbook."""
        try:
            return await work()
        except (AttpcError, OSError) as error:
            self._trouble(part, _sentence(error))
        except Exception:
            log.exception("logbook %s", self.name)
        return False

    async def _opened(self) -> bool:
        try:
            await self._on_disk(self._spool.open, time.time())
            await self._count()
        except (PeerError, OSError) as error:
            self._trouble("make", f"entries cannot be kept in {self._spool.folder}: {_sentence(error)}")
            return False
        self._due = {
            identity: each
            for identity, each in self._due.items()
            if not self._spool.has_made(identity) and each.record.reserved_at >= self._spool.since
        }
        return True

    async def _make(self) -> bool:
        """Make the entries that are due; False if some have to wait for the database."""
        problem = ""
        for occasion in list(self._due.values()):
            if self._spool.has_made(occasion.id) or occasion.record.reserved_at < self._spool.since:
                self._forget(occasion)
            elif self._spooled >= MOST_WAITING:
                if not self._full:
                    self._report(f"{self._spooled} entries wait: no more are kept until some are sent", Severity.MAJOR)
                self._full = True
                await self._skip(occasion)
            else:
                self._full = False
                try:
                    page = await self._page(occasion)
                except (PeerError, Refused) as error:
                    if self._waited(occasion) <= self._pace.lag:
                        return False
                    problem = problem or await self._unreadable(occasion, error)
                    if isinstance(error, PeerTimeout):
                        break
                    continue
                if page is None:
                    return False
                await self._keep(occasion, page)
        if problem:
            self._trouble("make", problem)
            return False
        self._mended("make", "entries can be kept again")
        return True

    async def _unreadable(self, occasion: Occasion, error: Exception) -> str:
        """Return what to say of a run that cannot be read; empty if it is skipped.

        A database that as a whole cannot be read is waited for.
        """
        text = f"{occasion.record.run} cannot be read: {error}"
        if not isinstance(error, Refused) or self._waited(occasion) <= self._pace.give_up:
            return text
        self._report(
            f"{occasion.record.run} gets no entry ({occasion.kind}): it cannot be read: {error}", Severity.MINOR
        )
        await self._skip(occasion)
        return ""

    async def _keep(self, occasion: Occasion, page: RunPage) -> None:
        picture = None if occasion.kind is Kind.Start else await self._plotter.draw(occasion, page)
        run = occasion.record.run
        name = f"run_{run.number:04d}-{occasion.kind}-{occasion.id[:8]}.png" if picture is not None else ""
        try:
            entry = compose(occasion, page)
            body = self._book.body(entry, name)
        except Exception:  # a row that somebody has changed by hand; it must not stop the entries after it
            log.exception("logbook %s: no entry for %s", self.name, run)
            await self._skip(occasion)
            return
        waiting = Waiting(entry.id, entry.kind, entry.experiment, entry.number, entry.title, body, name)
        async with self._storing:
            await self._on_disk(self._spool.put, occasion.file_name, waiting, picture)
        self._ours.add(occasion.file_name)
        self._forget(occasion)
        await self._count()
        self._spool_news.set()

    def _forget(self, occasion: Occasion) -> None:
        self._due.pop(occasion.id, None)
        self._since.pop(occasion.id, None)

    async def _skip(self, occasion: Occasion) -> None:
        """Make no entry, also not later."""
        await self._on_disk(self._spool.remember, occasion.id)
        self._forget(occasion)

    def _waited(self, occasion: Occasion) -> float:
        """Seconds since an occasion was first checked."""
        now = time.monotonic()
        return now - self._since.setdefault(occasion.id, now)

    async def _page(self, occasion: Occasion) -> RunPage | None:
        """Read the rows of a run; None if they do not have its end yet.

        Raises:
            PeerError: the database cannot be read.
            Refused: it does not have the run.
        """
        late = self._waited(occasion) > self._pace.lag
        page = await self._on_disk(self._read_page, occasion)
        behind = occasion.kind is not Kind.Start and page.run["state"] != occasion.record.state.value
        return None if behind and not late else page

    def _read_page(self, occasion: Occasion) -> RunPage:
        run = occasion.record.run
        with RunBook(self._database, run.experiment) as book:
            return book.page(run.number)

    async def _send(self) -> bool:
        """Send the entries that wait; False if some still wait."""
        failures, sent = 0, 0
        problem = ""
        async with self._storing:
            names = await self._on_disk(self._spool.names)
        for name in names:
            try:
                entry, picture = await self._on_disk(self._spool.load, name)
            except ValueError:
                await self._refuse(name, "it is not an entry")
                continue
            except FileNotFoundError:
                continue
            try:
                ours = name in self._ours
                self._ours.discard(name)  # from here on the service may have it
                if ours or not await self._book.has(entry):
                    await self._book.add(entry, picture)
            except PeerRejected as error:
                await self._refuse(name, f"{entry.title}: {error}")
            except PeerError as error:
                problem, failures = str(error), failures + 1
                if failures == _ATTEMPTS or isinstance(error, PeerTimeout):
                    break
            except OSError:
                raise
            except Exception:
                log.exception("logbook %s", self.name)
                await self._refuse(name, f"{entry.title}: internal error")
            else:
                await self._on_disk(self._spool.remove, name)
                sent += 1
        await self._count()
        if problem:
            self._trouble("send", problem)
        else:
            self._mended("send", f"the logbook can be written again, {sent} entries were sent")
        return not problem

    async def _refuse(self, name: str, why: str) -> None:
        await self._on_disk(self._spool.refuse, name)
        self._report(f"an entry is refused and kept in {self._spool.refused}: {why}", Severity.MINOR)

    async def _count(self) -> None:
        self._spooled = len(await self._on_disk(self._spool.names))
        self.refused = await self._on_disk(self._spool.count_refused)

    def _trouble(self, part: Part, problem: str) -> None:
        if problem != self._problems[part]:
            self._report(f"entries wait: {problem}", Severity.MINOR)
        self._problems[part] = problem

    def _mended(self, part: Part, how: str) -> None:
        if self._problems[part]:
            self._report(how, Severity.NO_ALARM)
        self._problems[part] = ""

    async def _on_disk(
        self, do: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
    ) -> Result:
        """Call a function that blocks, in a thread, for a limited time."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_DISK_SECONDS):
                return await loop.run_in_executor(self._threads, partial(do, *arguments, **options))
        except TimeoutError:
            raise PeerTimeout(f"the disk of {self._spool.folder} did not answer within {_DISK_SECONDS:g} s") from None


def _sentence(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
