"""Checksums of filed files, computed on their hosts in the background.

The database has the work to do: files of finished runs without checksum. Each host has one stream, independent
of the others (`HostChecksums`): it takes some of these files, lets the host compute their checksums in one program, and
stores each as it comes. When a run starts, the program is ended at once, in the middle of a file; that file is read
again later. So nothing has to be remembered, and a kill at any moment costs at most the file that was being read.

A file that is not as it was filed (missing, of another size) is reported once and passed over. It is checked again
after a while, and reported again only if it has changed in another way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from ioc.archive.host_checksums import HostChecksums
from ioc.errors import PeerError
from ioc.hosts import MachineHost, host_with
from ioc.model import ChecksumState, ChecksumStatus, Event
from ioc.rundb import SqliteRunStore
from ioc.rundb.checksums import Place, backlog
from ioc.rundb.reader import LOOK_SHARE
from ioc.runlogic.runs import opens_later
from ioc.runlogic.state import State
from ioc.topology.schema import Topology
from ioc.waiting import wait_for_news

log = logging.getLogger(__name__)


_LOOK_SECONDS = 10.0
"""How often the database is asked what there is to do."""


class Checksums:
    """Belongs to the event loop; `run` owns everything that it starts."""

    def __init__(
        self,
        topology: Topology,
        hosts: Sequence[MachineHost],
        store: SqliteRunStore,
        journal: Callable[[Event], None],
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        """Nothing is started before `run`."""
        self._when = topology.checksums
        self._hosts = hosts
        self._store = store
        self._streams = {host: HostChecksums(host, store, journal) for host in hosts if host.routers}
        self._stream_of = {router: stream for host, stream in self._streams.items() for router in host.routers}
        self._look_seconds = look_seconds
        self._paused = True
        self._restored = asyncio.Event()
        self._news = asyncio.Event()

    def show(self, state: State) -> None:
        """Take a new state of the core: streams pause and continue accordingly."""
        if self._when == "never" or not state.restored:
            return
        paused = self._when == "between runs" and (state.run.open or opens_later(state))
        if paused != self._paused:
            self._paused = paused
            for stream in self._streams.values():
                stream.pause(paused)
            self._news.set()
        self._restored.set()

    def status(self, router: str) -> ChecksumStatus:
        stream = self._stream_of.get(router)
        if self._when == "never" or stream is None:
            return ChecksumStatus(ChecksumState.Off, "checksums: never, in the topology")
        return stream.status(router)

    async def run(self) -> None:
        """Compute checksums until cancelled."""
        if self._when == "never":
            return
        await self._restored.wait()
        async with asyncio.TaskGroup() as tasks:
            for host, stream in self._streams.items():
                tasks.create_task(_alone(host, stream), name=f"checksums on {host.name}")
            await self._survey_again_and_again()

    async def _survey_again_and_again(self) -> None:
        """Tell the streams what there is to do.

        Without news too: another program may have entered runs, and the state of the core is ahead of the database.
        """
        while True:
            began = time.monotonic()
            if not self._paused:
                with contextlib.suppress(PeerError):  # the database's own PVs say what is wrong
                    await self._survey()
            await wait_for_news(self._news, max(self._look_seconds, LOOK_SHARE * (time.monotonic() - began)))

    async def _survey(self) -> None:
        passed_over = [key for stream in self._streams.values() for key in stream.passed_over]
        sizes = await self._store.read(lambda db: backlog(db, passed_over))
        found: dict[MachineHost, dict[Place, int]] = {host: {} for host in self._streams}
        for place, size in sizes.items():
            host = host_with(tuple(self._streams), *place)
            if host is not None:
                found[host][place] = size
        for host, of_host in found.items():
            self._streams[host].begin(of_host)


async def _alone(host: MachineHost, stream: HostChecksums) -> None:
    """Run the stream of one host; a bug ends it alone."""
    try:
        await stream.run()
    except Exception:
        log.exception("the checksums on %s have ended", host.name)
