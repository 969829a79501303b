"""Writes the card of each filed run into the directories of its files, until cancelled.

Theory of operation. What is due lies in the run database (`ioc.rundb.cards`), so a kill at any moment loses nothing.
`_look` takes the due cards, the newest first, and passes to each host those that it has to write; it comes round every
ten seconds, and at once when a run ends or is edited by PVs. Each host has a task of its own that writes its cards, so
a host that is away or hangs delays no other: it tries again with growing pauses. When every host has a card, this is
recorded in the database. A card that changes often, because its checksums come one after the other, is taken every ten
seconds.

Runs never wait for any of this, and hosts are written to over a thread and SFTP sessions that filing does not use.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from ioc.errors import PeerError
from ioc.hosts import MachineHost, host_with
from ioc.hosts.leaving import Left
from ioc.hosts.transport import reason_and_file
from ioc.model import Event, RunRecord, Severity
from ioc.ports import FINISHED
from ioc.rundb import SqliteRunStore, cards
from ioc.rundb.cards import Card
from ioc.runlogic.state import State
from ioc.waiting import wait_for_news

log = logging.getLogger(__name__)

SOURCE = "Cards"
_AT_ONCE = 10
"""Cards taken before the next look, which finds a run that was filed meanwhile."""
_KEPT = 4
"""Cards kept in memory for the hosts that write them now; one that comes back later has them read again."""
_MOST_FOREIGN = 100
"""Reports of files that are not ours: adopting all runs after the loss of a database may find one for each."""
_STORED_SECONDS = 2.0
"""How long a run that has ended may take to be in the database so that its card is written at once."""


@dataclass(frozen=True)
class Pace:
    """Times in seconds, shorter in tests."""

    look: float = 10.0
    """Between looks at the database, which other processes change too."""
    again: float = 10.0
    """Between two cards of the same run."""
    first_pause: float = 5.0
    longest_pause: float = 300.0
    """Before a host that was away or refused is tried again."""


@dataclass
class _Wanted:
    """A card that some hosts still lack."""

    digest: bytes
    hosts: set[str]


@dataclass
class _Writer:
    """The work to do on one host; a task works it off."""

    host: MachineHost
    pending: dict[int, bytes] = field(default_factory=dict[int, bytes])
    """Digests of the cards to write, by the id of the run."""
    has: dict[int, bytes] = field(default_factory=dict[int, bytes])
    """Those that it has, of runs whose cards other hosts lack."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    refused: bool = False
    """It refuses to have a card written, and the log has the reason."""


class RunCards:
    """Belongs to the event loop; `run` owns its tasks."""

    def __init__(
        self,
        store: SqliteRunStore,
        hosts: Sequence[MachineHost],
        journal: Callable[[Event], None],
        pace: Pace = Pace(),
    ) -> None:
        """Nothing is read or written before `run`."""
        self._store = store
        self._journal = journal
        self._pace = pace
        # The same address may be two hosts, for two users.
        self._writers = {f"{number} {host.name}": _Writer(host) for number, host in enumerate(hosts)}
        self._wanted: dict[int, _Wanted] = {}
        self._complete: set[int] = set()
        """Runs whose card every host has, but the database has not been told."""
        self._taken_at: dict[int, float] = {}
        self._kept: dict[int, Card] = {}
        self._foreign: set[tuple[str, str]] = set()
        self._record: RunRecord | None = None
        self._news = asyncio.Event()
        self._hurry_until = 0.0

    def show(self, state: State) -> None:
        """Take a new state of the core: a run that has ended, or was edited since, is in the database soon."""
        record = state.run.record
        if record is self._record:
            return
        self._record = record
        if record is not None and record.state in FINISHED:
            self._hurry_until = time.monotonic() + _STORED_SECONDS
            self._news.set()

    async def run(self) -> None:
        """Write cards until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for key, writer in self._writers.items():
                tasks.create_task(self._keep_writing(key, writer), name=f"cards on {writer.host.name}")
            await self._keep_looking()

    async def _keep_looking(self) -> None:
        resumed, pause = False, 0.0125
        while True:
            try:
                if not resumed:
                    await self._store.transaction(cards.resume)
                    resumed = True
                wait = await self._look()
            except PeerError as error:  # the IOC reports the database; here it is only waited for
                log.debug("run cards wait: %s", error)
                wait = self._pace.look
            except Exception:
                log.exception("run cards")
                wait = self._pace.look
            hurry = time.monotonic() < self._hurry_until
            pause = min(2 * pause, 0.1) if hurry else 0.0125
            await wait_for_news(self._news, min(wait, pause) if hurry else wait)

    async def _look(self) -> float:
        """Take the cards that are due; returns after how many seconds to look again."""
        for run_id in tuple(self._complete):
            await self._tell(run_id)
        due = await self._store.transaction(cards.due)
        now, wait, taken = time.monotonic(), self._pace.look, 0
        self._taken_at = {run_id: at for run_id, at in self._taken_at.items() if now - at < self._pace.again}
        for run_id in due:
            if run_id in self._taken_at:
                wait = min(wait, self._taken_at[run_id] + self._pace.again - now)
            elif taken == _AT_ONCE:
                return 0.0
            else:
                taken += 1
                self._taken_at[run_id] = now
                await self._take(run_id)
        return max(wait, 0.0)

    async def _take(self, run_id: int) -> None:
        # Behind the events of the run that wait to be written.
        card = await self._store.transaction(lambda db: cards.take(db, run_id), behind_rows=True)
        digest = sha256(card.content).digest()
        self._keep(run_id, card)
        lacking = {key for key in self._directories(card) if self._writers[key].has.get(run_id) != digest}
        self._wanted[run_id] = _Wanted(digest, lacking)
        for key in lacking:
            self._writers[key].pending[run_id] = digest
            self._writers[key].news.set()
        await self._check(run_id)

    async def _check(self, run_id: int) -> None:
        """Tell the database if every host has the card."""
        if not self._wanted[run_id].hosts:
            del self._wanted[run_id]
            for writer in self._writers.values():
                writer.has.pop(run_id, None)
                writer.pending.pop(run_id, None)
            self._complete.add(run_id)
            await self._tell(run_id)

    async def _tell(self, run_id: int) -> None:
        await self._store.transaction(lambda db: cards.arrived(db, run_id))
        self._complete.discard(run_id)

    async def _keep_writing(self, key: str, writer: _Writer) -> None:
        while True:
            pause = None
            try:
                whole = await self._write_all(key, writer)
            except PeerError as error:  # away, which the look at its routers reports; or the database is
                log.debug("run cards wait for %s: %s", writer.host.name, error)
                whole = False
            except Exception:
                log.exception("run cards on %s", writer.host.name)
                whole = False
            if whole:
                writer.failures = 0
                if writer.refused:
                    writer.refused = False
                    self._say(Severity.NO_ALARM, f"run cards are written again on {writer.host.name}")
            else:
                pause = min(self._pace.longest_pause, self._pace.first_pause * 2 ** min(writer.failures, 10))
                writer.failures += 1
            await wait_for_news(writer.news, pause)

    async def _write_all(self, key: str, writer: _Writer) -> bool:
        """Write the pending cards, the newest first; False if some were refused.

        Raises:
            PeerError: the host cannot be reached.
        """
        refused: set[tuple[int, bytes]] = set()
        while left := [run_id for run_id, digest in writer.pending.items() if (run_id, digest) not in refused]:
            run_id = max(left)
            digest = writer.pending[run_id]
            card = await self._card(run_id)
            try:
                await self._write(card, writer.host, self._directories(card).get(key, {}))
            except OSError as error:
                refused.add((run_id, digest))
                self._say_refused(writer, card, error)
                continue
            if writer.pending.get(run_id) == digest:
                del writer.pending[run_id]
                writer.has[run_id] = digest
                self._wanted[run_id].hosts.discard(key)
                await self._check(run_id)
        return not refused

    def _directories(self, card: Card) -> dict[str, dict[str, None]]:
        """The directories where a card belongs, by the key of their host; hosts that the topology has no more are left
        out. Filing makes a directory for each router, even if it has no file."""
        keys = {writer.host: key for key, writer in self._writers.items()}
        found: dict[str, dict[str, None]] = {}
        for place in card.places:
            if (host := host_with(tuple(keys), place.host, place.router)) is not None:
                found.setdefault(keys[host], {})[place.directory] = None
        with_files = {place.router for place in card.places}
        for host, key in keys.items():
            for router, directory in host.work_dirs.items():
                if router not in with_files:
                    found.setdefault(key, {})[f"{directory.rstrip('/')}/{card.run.directory}"] = None
        return found

    async def _write(self, card: Card, host: MachineHost, directories: Iterable[str]) -> None:
        name = cards.file_name(card.run)
        for directory in directories:
            left = await host.leave_file(
                directory, name, card.content, lambda there: cards.is_earlier(there, card.content)
            )
            place = (host.name, f"{directory}/{name}")
            if left is Left.Taken and place not in self._foreign and len(self._foreign) < _MOST_FOREIGN:
                self._foreign.add(place)
                more = "; further ones are not reported" if len(self._foreign) == _MOST_FOREIGN else ""
                self._say(
                    Severity.MINOR,
                    f"{place[1]} on {host.name} is not a card of {card.run} of {card.run.experiment} and stays: move "
                    f"it away, then run attpc-ioc runs card {card.run.number} --write{more}",
                )

    async def _card(self, run_id: int) -> Card:
        card = self._kept.get(run_id)
        if card is None:
            card = await self._store.transaction(lambda db: cards.card_of(db, run_id))
            self._keep(run_id, card)
        return card

    def _keep(self, run_id: int, card: Card) -> None:
        self._kept.pop(run_id, None)
        self._kept[run_id] = card
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]

    def _say_refused(self, writer: _Writer, card: Card, error: OSError) -> None:
        if not writer.refused:
            self._say(
                Severity.MINOR,
                f"the card of {card.run} of {card.run.experiment} cannot be written on {writer.host.name}: "
                f"{reason_and_file(error)}; the IOC will retry",
            )
        writer.refused = True

    def _say(self, severity: Severity, text: str) -> None:
        # Without the run: what is said of a card must not change it.
        self._journal(Event(time.time(), severity, SOURCE, text))
