"""The `ioc.ports.Host` of one machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts import look
from ioc.hosts.backup import Shared, back_up, look_for
from ioc.hosts.checks import Tools, read_tools, try_writing
from ioc.hosts.checksums import Summing
from ioc.hosts.filing import LONGEST_PAUSE, SHORTEST_PAUSE, Filing
from ioc.hosts.inventory import Listing, take_inventory
from ioc.hosts.leaving import Left, leave
from ioc.hosts.local import LocalTransport
from ioc.hosts.routers import Finding, find_routers
from ioc.hosts.tail import read_tail
from ioc.hosts.transport import Transport, expand, from_shown, shown
from ioc.hosts.units import SECONDS, Action, act
from ioc.model import Checksum, ConfigBackup, ConfigChoice, FiledFile, FilingReport, RouterFacts, RunId
from ioc.topology.schema import DataRouter, EccServer, Units

P = ParamSpec("P")
T = TypeVar("T")

WORKERS = 4
"""Threads per host for everything except the regular look; OpenSSH allows ten sessions per connection."""
RETRY_SECONDS = 0.5
SHORTEST_PATIENCE = 0.5
"""Seconds in which a router that works reads something."""
LSOF_SHARE = 4
"""A look runs lsof twice; each run may take this fraction of the SSH time-out."""


class MachineHost:
    """One machine with its routers and ECC servers, independent of its transport.

    The regular look at the routers has its own thread, so a filing or a slow log file never delays it.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        routers: Sequence[DataRouter],
        servers: Sequence[EccServer],
        *,
        ssh_timeout: float,
        filing_timeout: float,
        settle_seconds: float,
        units: Mapping[str, Units] = MappingProxyType({}),
        aside: Transport | None = None,
        addresses: Iterable[str] = (),
    ) -> None:
        """`units`: what starts the programs here, by the name of the unit; `addresses`: other names of the machine.

        `aside` is a connection of its own for work in the background, which must not take sessions from the others;
        without it, that uses `transport`.
        """
        self.name = name
        """Address of the machine as the topology has it."""
        self._transport = transport
        self.is_local = isinstance(transport, LocalTransport)
        self.aside = aside or transport
        """The connection for work in the background; belongs to this host, which closes it."""
        # `runs adopt` enters the files of this machine under its own name.
        here = ("localhost", socket.gethostname()) if self.is_local else ()
        self.addresses = frozenset((name, *addresses, *here))
        """Every name under which files here may have been recorded: that of a local machine changes with its number of
        components."""
        self._routers = tuple(routers)
        self.routers = tuple(router.name for router in routers)
        self._servers = {server.name: server for server in servers}
        self.servers = tuple(self._servers)
        self._timeout = ssh_timeout
        self._filing_timeout = filing_timeout
        self._settle_seconds = settle_seconds
        self._units = units
        self.units = tuple(units)
        self._last_directories: dict[str, bytes] = {}
        self._filing: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By name of the router, and by directory."""
        self._seen: dict[str, tuple[RunId, dict[bytes, frozenset[bytes]]]] = {}
        """Of each router whose filing has begun and is not complete: see `Filing.seen`."""
        self._shared: asyncio.Future[dict[str, Finding]] | None = None
        """The look that is shared by filings that begin at the same moment."""
        self._copying = 0
        """Copies of configurations under way."""
        self._copies = Shared()
        self._looker = ThreadPoolExecutor(1, thread_name_prefix=f"look-{name}")
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix=f"host-{name}")
        self._background = ThreadPoolExecutor(WORKERS, thread_name_prefix=f"aside-{name}")
        self._summing: set[Summing] = set()
        self._leaver = ThreadPoolExecutor(1, thread_name_prefix=f"host-cards-{name}")

    @property
    def work_dirs(self) -> Mapping[str, str]:
        """Where each router works, or worked last, as far as known; written as `RouterFacts.work_dir`."""
        found = {site.name: self._last_directories.get(site.name) for site in self._routers}
        places = {site.name: site.work_dir for site in self._routers if site.work_dir}
        return places | {name: shown(path) for name, path in found.items() if path}

    async def router_facts(self, run_directory: str) -> Mapping[str, RouterFacts]:
        asked_at = time.monotonic()
        findings = await self._find_routers(run_directory)
        times = asked_at, time.monotonic(), time.time()
        return {name: finding.facts(run_directory, *times) for name, finding in findings.items()}

    async def file_run(
        self,
        router: str,
        run: RunId,
        record: Callable[[FiledFile], Awaitable[None]],
        directories: Sequence[str] = (),
        may_be_gone: Sequence[str] = (),
    ) -> FilingReport:
        """See `ioc.ports.Host`. Fails when the connection has been lost for the SSH time-out."""
        async with self._filing[router.encode()]:
            deadline = time.monotonic() + self._filing_timeout
            give_up_at = None
            refused: list[PeerError] = []
            earlier: dict[bytes, frozenset[bytes]] = {}

            async def recorded(file: FiledFile) -> None:
                try:
                    await record(file)
                except PeerError as error:
                    refused.append(error)
                    raise

            if self._seen.setdefault(router, (run, {}))[0] != run:
                self._seen[router] = (run, {})
            _, seen = self._seen[router]
            while True:
                try:
                    report = await self._file_once(
                        router, run, recorded, directories, may_be_gone, deadline=deadline, earlier=earlier, seen=seen
                    )
                except PeerError:
                    now = time.monotonic()
                    give_up_at = give_up_at or min(deadline, now + self._timeout)
                    if refused or now >= give_up_at:
                        raise
                else:
                    if report.complete:
                        del self._seen[router]
                    return report
                await asyncio.sleep(RETRY_SECONDS)

    async def backup_configs(self, server: str, run: RunId, config: ConfigChoice) -> ConfigBackup:
        work = partial(back_up, shared=self._copies, asked_at=time.monotonic())
        self._copying += 1
        try:
            return await self._call(work, self._transport, self._servers[server], config, self.name, run)
        finally:
            self._copying -= 1
            if not self._copying:
                self._copies = Shared()  # frees the files

    async def restart_unit(self, unit: str) -> None:
        await self.act("restart", unit)

    async def act(self, action: Action, unit: str) -> str:
        """Do something with a unit of this machine; see `ioc.hosts.units.act`."""
        arguments = (self._transport, self._units[unit], action, unit, self.name)
        return await self._in_thread(self._workers, 2 * SECONDS, act, *arguments)

    async def log_tail(self, path: str, lines: int = 50) -> str:
        return await self._call(read_tail, self._transport, path, lines, self.name)

    async def tools(self) -> Tools:
        """Log in, and see whether routers can be found here and how late the clock is."""
        return await self._call(read_tools, self._transport, self._timeout)

    async def check_files(self) -> None:
        await self._call(self._transport.check_files)

    async def look_for_configs(self, server: str, config: ConfigChoice) -> ConfigBackup:
        """Read the .xcfg files that `backup_configs` would copy, and copy none."""
        return await self._call(look_for, self._transport, self._servers[server], config, self.name)

    async def try_writing(self, path: str, below: str) -> str:
        """Make and remove a file in `path`/`below`, or as near to it as there is a directory; returns which.

        `path` is written as `RouterFacts.work_dir`.
        """
        return await self._call(try_writing, self._transport, path, below)

    async def checksums(
        self,
        paths: Sequence[str],
        record: Callable[[Checksum], Awaitable[None]],
        *,
        algorithm: str = "",
        sizes: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Compute the checksums of files here in one stream, with the lowest priority, and `record` each as it is done.

        Takes as long as it takes. When it is cancelled, the program here ends at once; what it was reading is not
        recorded.

        Args:
            paths: as `FiledFile.path`; each is recorded once, in this order.
            record: awaited for one file at a time.
            algorithm: ``xxh128`` or ``sha256``; empty: the best one that there is a program for.
            sizes: by path; a file of another size is not read (`Found.OtherSize`).

        Raises:
            NoProgramError: there is no program for the algorithm.
            PeerError: the host cannot be reached or was lost, or its program answered nonsense; what was recorded
                before is right.
        """
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[Checksum | None] = asyncio.Queue()
        summing = Summing(self.aside, self.name, paths, algorithm, sizes)

        def tell(result: Checksum) -> None:
            loop.call_soon_threadsafe(results.put_nowait, result)

        self._summing.add(summing)
        try:
            running = self._begin(self._background, partial(summing.run, tell))
        except PeerError:
            self._summing.discard(summing)
            raise

        def finished(run: asyncio.Future[None]) -> None:
            self._summing.discard(summing)
            results.put_nowait(None)
            if not run.cancelled():
                run.exception()  # seen, even if nobody waits any more

        running.add_done_callback(finished)
        try:
            while (result := await results.get()) is not None:
                await record(result)
            await running
        finally:
            summing.end()

    async def inventory(self, directories: Sequence[str]) -> dict[str, Listing]:
        """List directories, in the background.

        Raises:
            PeerError: the host cannot be reached.
        """
        arguments = (take_inventory, self.aside, directories, self._timeout)
        return await self._in_thread(self._background, 2 * self._timeout + 0.1 * len(directories), *arguments)

    async def leave_file(self, directory: str, name: str, content: bytes, ours: Callable[[bytes], bool]) -> Left:
        """Leave a small file beside data files; see `ioc.hosts.leaving.leave`.

        `directory` is written as `RouterFacts.work_dir`. A disk that hangs keeps only later calls of this waiting:
        nothing else uses the thread, and the connection, which others need, is not dropped for it.

        Raises:
            PeerError: the host cannot be reached.
            OSError: it refused.
        """
        return await self._in_thread(
            self._leaver, None, leave, self._transport, from_shown(directory), name.encode(), content, ours
        )

    async def close(self) -> None:
        """End the connection and the threads; a thread that hangs is abandoned after the SSH time-out."""
        closer = ThreadPoolExecutor(1, thread_name_prefix=f"close-{self.name}")
        with contextlib.suppress(PeerTimeout):
            await self._in_thread(closer, self._timeout, self._close)
        closer.shutdown(wait=False)
        if self._shared is not None:
            await asyncio.wait((self._shared,))

    def _close(self) -> None:
        pools = (self._looker, self._workers, self._background, self._leaver)
        for threads in pools:
            threads.shutdown(wait=False, cancel_futures=True)
        for summing in tuple(self._summing):
            summing.end()
        self._transport.close()
        self.aside.close()
        for threads in pools:
            threads.shutdown(wait=True)

    async def _file_once(
        self,
        router: str,
        run: RunId,
        record: Callable[[FiledFile], Awaitable[None]],
        directories: Sequence[str],
        may_be_gone: Sequence[str],
        *,
        deadline: float,
        earlier: dict[bytes, frozenset[bytes]],
        seen: dict[bytes, frozenset[bytes]],
    ) -> FilingReport:
        filing = Filing(
            # A copy to another file system may take as long as the whole filing.
            partial(self._in_thread, self._workers, self._filing_timeout + 2 * self._timeout),
            self._transport,
            self.name,
            router,
            run,
            record,
            self._settle_seconds,
            self._filing_timeout,
            deadline,
            earlier,
            seen,
        )
        await filing.note_present(directories)
        finding = await self._when_all_is_read(router, run, deadline)
        present = finding.directory.path if finding.directory else None
        if present is None and (finding.process is not None or not directories):
            reason = finding.problem or "no dataRouter process runs, and the topology gives no work_dir"
            filing.fail(f"{run} of router {router} cannot be filed on {self.name}: {reason}")
        places = await filing.find_places(present, directories, may_be_gone)
        if finding.unread and finding.process and time.monotonic() < deadline:
            filing.fail(
                "it does not read what arrives for it: press Ctrl-Q in its terminal, or continue it "
                f"(kill -CONT {finding.process.pid} on {self.name}); if it is restarted, what it has not read is lost"
            )
            return filing.report()
        for place in places:
            # Two routers may share a working directory: each file is moved by one of them.
            async with self._filing[place]:
                await filing.file(place, needed=place == places[0])
        return filing.report()

    async def _when_all_is_read(self, router: str, run: RunId, deadline: float) -> Finding:
        """Wait until a router has read all data that have arrived, or neither reads nor writes; returns the last look.

        One that is frozen (Ctrl-S or Ctrl-Z in its terminal) or hangs would write the rest into a second file of the
        same name, once the first is filed.
        """
        patience = max(self._settle_seconds, SHORTEST_PATIENCE)
        finding = (await self._shared_look(run.directory))[router]
        since, before, pause = time.monotonic(), _progress(finding), SHORTEST_PAUSE
        while finding.unread and time.monotonic() < min(since + patience, deadline):
            await asyncio.sleep(pause)  # short at first: most often it is about to read the last data of the run
            pause = min(2 * pause, LONGEST_PAUSE)
            finding = (await self._shared_look(run.directory))[router]
            if _progress(finding) != before:
                since, before = time.monotonic(), _progress(finding)
        return finding

    async def _shared_look(self, run_directory: str) -> dict[str, Finding]:
        """Look once for all routers that are filed at the same moment."""
        if self._shared is None or self._shared.done():
            self._shared = asyncio.ensure_future(self._find_routers(run_directory))
            self._shared.add_done_callback(lambda look: look.cancelled() or look.exception())
        return await asyncio.shield(self._shared)

    async def _find_routers(self, run_directory: str) -> dict[str, Finding]:
        if not self._routers:
            return {}
        findings = await self._in_thread(self._looker, 2 * self._timeout, self._look, run_directory)
        for name, finding in findings.items():
            if finding.process and finding.directory:
                self._last_directories[name] = finding.directory.path
        return findings

    def _look(self, run_directory: str) -> dict[str, Finding]:
        # The files of a router that died are still in its working directory.
        directories = (
            expand(self._transport, site.work_dir) if site.work_dir else self._last_directories.get(site.name, b"")
            for site in self._routers
        )
        arguments = (run_directory.encode(), b"%d" % max(1, round(self._timeout / LSOF_SHARE)), *directories)
        output = self._transport.run(look.SCRIPT, arguments, self._timeout)
        try:
            found = look.parse(output)
        except PeerError as error:
            raise PeerError(f"{self.name}: {error}") from None
        self._transport.check_files()
        return find_routers(found, self._routers, self.name)

    def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        return self._in_thread(self._workers, 2 * self._timeout, function, *args, **kwargs)

    async def _in_thread(
        self,
        threads: ThreadPoolExecutor,
        timeout: float | None,
        function: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `function` in a thread, but wait no longer than `timeout`, even if it hangs."""
        running = self._begin(threads, partial(function, *args, **kwargs))
        try:
            done, _ = await asyncio.wait((running,), timeout=timeout)
        finally:
            running.cancel()  # a late result is not needed; no effect if it is already done
        if not done:
            # Only the connection that hangs: a slow disk in the background must not fail a look or a filing.
            (self.aside if threads is self._background else self._transport).drop()
            raise PeerTimeout(f"{self.name} did not answer within {timeout or 0:g} s")
        try:
            return running.result()
        finally:
            del running, done  # its error would keep this frame, and this frame the error with all that was read

    def _begin(self, threads: ThreadPoolExecutor, function: Callable[[], T]) -> asyncio.Future[T]:
        try:
            return asyncio.get_running_loop().run_in_executor(threads, function)
        except RuntimeError:
            raise PeerError(f"host {self.name} is no longer used: the program is closing") from None


def _progress(finding: Finding) -> tuple[int, int]:
    """Return what changes while a router reads and writes."""
    return finding.unread, finding.directory.staged_bytes if finding.directory else 0
