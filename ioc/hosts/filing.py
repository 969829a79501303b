"""Filing the .graw files of a run on a router's host.

The host, the connection or this program may fail after any step; filing is then repeated from its beginning, with the
same result. So no step depends on the memory of an earlier attempt, only on the files on the host:

1. record the files already in the run's directory (an earlier attempt moved them, but may not have recorded them);
2. wait until nothing in the staging directory has grown for `settle_seconds`: data may still be in flight;
3. make the run's directory, even if there is no file: the program that merges the files expects one per router;
4. place each file (`ioc.hosts.placing`: never overwriting, never losing one), then record it, while the next one is
   placed: files that are recorded at the same time share a transaction of the database;
5. while there are new files, go back to 2;
6. read the run's directory again, and update the records of files that grew meanwhile.

A server that somebody starts during this makes its boards begin new files. They are not the run's, and events with the
same numbers could not be merged: they stay where they are. Which files were there when filing began is the one thing
that must be remembered between attempts (`seen`); if it is forgotten, those files are filed, too.

A router that was restarted elsewhere during the run has several staging directories (`find_places`): each has a
`Filing` of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, Protocol, TypeVar

from ioc.errors import PeerError
from ioc.hosts.placing import Placer
from ioc.hosts.transport import Transport, exists, from_shown, make_directories, reason_and_file, shown
from ioc.model import FiledFile, FilingReport, RunId
from ioc.model.graw import SUFFIX, begun_again, is_filed_data, original_name

P = ParamSpec("P")
T = TypeVar("T")

Record = Callable[[bytes, int], None]
"""Takes the path of a file and its size."""

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
"""Seconds between two looks at the sizes of staged files."""


class Call(Protocol):
    """Runs a blocking function in a thread of the host."""

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


def graw_sizes(transport: Transport, directory: bytes, *, filed: bool = False) -> dict[bytes, int]:
    """Return the sizes of the data files in `directory` by name, in order; `filed`: it is the directory of a run."""
    return {
        entry.name: entry.size
        for entry in sorted(transport.list_directory(directory), key=lambda entry: entry.name)
        if entry.is_file and is_filed_data(entry.name) and (filed or entry.name.endswith(SUFFIX))
    }


@dataclass
class Filing:
    """One attempt to file the files of one router."""

    call: Call
    transport: Transport
    host: str
    router: str
    run: RunId
    record: Callable[[FiledFile], Awaitable[None]]
    settle_seconds: float
    filing_timeout: float
    deadline: float
    """`filing_timeout` after the start, on the monotonic clock."""
    earlier: dict[bytes, frozenset[bytes]]
    """Names of the files that were in each directory of the run before this attempt, which may be several filings."""
    seen: dict[bytes, frozenset[bytes]]
    """Names of the files that were in each staging directory, or filed from it, when filing of the run began."""
    filed: dict[bytes, FiledFile] = field(default_factory=dict[bytes, FiledFile])
    """By path at the final place."""
    left: dict[bytes, int] = field(default_factory=dict[bytes, int])
    """Files in each staging directory that are not the run's."""
    problems: list[str] = field(default_factory=list[str])
    complete: bool = True

    def fail(self, problem: str) -> None:
        self.problems.append(problem)
        self.complete = False

    def report(self) -> FilingReport:
        """Return the result; problems beyond the fifth are only counted."""
        rest = f"; and {len(self.problems) - 5} more like these" if len(self.problems) > 5 else ""
        parts = (path.rpartition(b"/") for path in self.filed)
        earlier = sum(name in self.earlier[directory] for directory, _, name in parts)
        return FilingReport(tuple(self.filed.values()), "; ".join(self.problems[:5]) + rest, self.complete, earlier)

    async def note_present(self, directories: Sequence[str]) -> None:
        """Remember which files are there now, if that is not known: the sooner, the fewer are of a new Start."""
        for path in map(from_shown, directories):
            if path not in self.seen:
                with contextlib.suppress(OSError):
                    self.seen[path] = frozenset(await self._sizes(path))

    async def find_places(
        self, present: bytes | None, directories: Sequence[str], may_be_gone: Sequence[str]
    ) -> list[bytes]:
        """Return the current directory and those given, without duplicates under other names.

        Raises:
            PeerError: the host cannot be reached.
        """
        places = [] if present is None else [present]
        for name in directories:
            path = from_shown(name)
            if path in places or not path.startswith(b"/"):
                continue
            what = f"directory {shown(path)} on {self.host}, where router {self.router} worked in this run,"
            try:
                place = await self.call(self.transport.real_path, path)
                await self._sizes(place)
            except (FileNotFoundError, NotADirectoryError):
                if name in may_be_gone:
                    self.problems.append(f"{what} is gone: it was renamed, or no file was seen in it")
                    continue
                self.fail(
                    f"{what} is gone: put it back and file again; if it held no data, make an empty one "
                    f"(mkdir -p '{shown(path)}')"
                )
            except OSError as error:
                self.fail(f"{what} cannot be read ({reason_and_file(error)}): let the SSH user read and write it")
            else:
                if place not in places:
                    places.append(place)
        return places

    async def file(self, staging: bytes, *, needed: bool) -> None:
        """File everything in one directory; `needed`: make the run's directory even if nothing is filed.

        Raises:
            PeerError: the host was lost; the files filed so far are recorded.
        """
        try:
            await self._file_until_empty(staging, needed)
        except OSError as error:
            self.fail(
                f"{self.run} of router {self.router} could not be filed in {shown(staging)} on {self.host}: "
                f"{reason_and_file(error)}"
            )

    async def _file_until_empty(self, staging: bytes, needed: bool) -> None:
        directory = staging + b"/" + os.fsencode(self.run.directory)
        found, sizes = await self.call(self._both_sizes, directory, staging)
        self.earlier.setdefault(directory, frozenset(found))
        await self._record_found(directory, found)
        made = False
        while sizes:
            sizes = await self._settled(staging, sizes)
            if sizes:
                await self.call(make_directories, self.transport, staging, self.run.directory)
                made = True
            async with self._recording() as record:
                for name, size in sizes.items():
                    self._check_time(len(sizes))
                    await self._file(staging + b"/" + name, size, directory, record)
            found, sizes = await self.call(self._both_sizes, directory, staging)
        if not made:
            with contextlib.nullcontext() if needed else contextlib.suppress(OSError):
                await self.call(make_directories, self.transport, staging, self.run.directory)
        await self._record_found(directory, found)
        if left := self.left[staging]:
            self.problems.append(
                f"{left} file{'' if left == 1 else 's'} begun after the run was stopped, by a new Start of the ECC "
                f"server, stay{'s' if left == 1 else ''} in {shown(staging)} on {self.host}"
            )

    async def _settled(self, staging: bytes, sizes: dict[bytes, int]) -> dict[bytes, int]:
        """Wait until the staged files, which have just had these sizes, no longer grow; returns their sizes by name."""
        pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, self.settle_seconds / 8))
        since = time.monotonic()
        while sizes and time.monotonic() - since < self.settle_seconds:
            await asyncio.sleep(min(pause, since + self.settle_seconds - time.monotonic()))
            now = self._of_the_run(staging, await self._sizes(staging))
            if now != sizes:
                grown = next((name for name, size in now.items() if sizes.get(name) != size), b"")
                self._check_time(len(now), f"{shown(grown)} still changes")
                sizes, since = now, time.monotonic()
        return sizes

    def _both_sizes(self, directory: bytes, staging: bytes) -> tuple[dict[bytes, int], dict[bytes, int]]:
        """Return the sizes of the files in the run's directory, and of those of the run in the staging directory."""
        staged = graw_sizes(self.transport, staging)
        try:
            found = graw_sizes(self.transport, directory, filed=True)
        except (FileNotFoundError, NotADirectoryError):
            found = {}
        self.seen[staging] = self.seen.get(staging, frozenset(staged)) | frozenset(found)
        return found, self._of_the_run(staging, staged)

    def _of_the_run(self, staging: bytes, sizes: dict[bytes, int]) -> dict[bytes, int]:
        others = begun_again(sizes, self.seen[staging])
        self.left[staging] = len(others)
        return {name: size for name, size in sizes.items() if name not in others}

    async def _record_found(self, directory: bytes, sizes: dict[bytes, int]) -> None:
        """Record the files in the run's directory that are not recorded with their present size."""
        async with self._recording() as record:
            for name, size in sizes.items():
                path = directory + b"/" + name
                if path not in self.filed or self.filed[path].size != size:
                    record(path, size)

    async def _file(self, source: bytes, size: int, directory: bytes, record: Record) -> None:
        try:
            path, size_there = await self.call(self._place, source, directory)
        except FileNotFoundError:
            if await self.call(exists, self.transport, source):
                raise
            self.problems.append(f"{shown(source)} on {self.host} disappeared before it could be filed")
            return
        if size_there < size:
            self.problems.append(
                f"{shown(path)} on {self.host} has {size_there} bytes, but had {size} before it was filed"
            )
        record(path, size_there)

    def _place(self, source: bytes, directory: bytes) -> tuple[bytes, int]:
        placer = Placer(self.transport, max(1.0, self.deadline - time.monotonic()))
        path = placer.place(source, directory)
        return path, self.transport.look(path).size

    @contextlib.asynccontextmanager
    async def _recording(self) -> AsyncGenerator[Record, None]:
        """Give what records a file without waiting for it; at the end all are recorded, even if the block fails."""
        failures: list[OSError | PeerError] = []

        async def recorded(path: bytes, size: int) -> None:
            try:
                await self._record(path, size)
            except (OSError, PeerError) as error:
                failures.append(error)

        async with asyncio.TaskGroup() as records:

            def record(path: bytes, size: int) -> None:
                records.create_task(recorded(path, size))

            try:
                yield record
            except (OSError, PeerError) as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def _record(self, path: bytes, size: int) -> None:
        original = shown(original_name(path.rpartition(b"/")[2]))
        file = FiledFile(self.router, self.host, shown(path), size, time.time())
        await self.record(file)
        if original and path not in self.filed:
            self.problems.append(f"{original} already existed on {self.host}: the second file is {file.path}")
        self.filed[path] = file

    async def _sizes(self, directory: bytes) -> dict[bytes, int]:
        return await self.call(graw_sizes, self.transport, directory)

    def _check_time(self, files: int, reason: str = "filing is not finished") -> None:
        if time.monotonic() >= self.deadline:
            raise TimeoutError(f"{reason} after {self.filing_timeout:g} s; up to {files} files are left")
