"""Compares the files of runs, and their safe copies, with what the database knows of them."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

from ioc.archive.errand import Storage
from ioc.archive.sightings import Lookout, Seen, wrong_copy
from ioc.errors import PeerError
from ioc.hosts import Listing, MachineHost, NoProgramError, host_with
from ioc.model import Checksum, Found, RunId
from ioc.rundb.copies import OldFile
from ioc.topology.schema import Destination

_DIRECTORIES = 50
"""How many are listed at a time."""


class Fault(StrEnum):
    """What is wrong; as it is shown."""

    Missing = "missing"
    Changed = "changed"
    Unreadable = "unreadable"
    Extra = "extra"
    NoChecksum = "no checksum"
    NotReached = "not reached"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the database has it."""

    fault: Fault
    host: str
    run: RunId | None = None
    """None: it concerns a whole host."""
    path: str = ""
    detail: str = ""


@dataclass(frozen=True)
class KnownFile:
    """A file as the database has it."""

    run: RunId
    router: str
    host: str
    path: str
    size: int
    checksum: str

    @property
    def directory(self) -> str:
        return self.path.rpartition("/")[0]


@dataclass(frozen=True)
class KnownRun:
    """A run with its files."""

    run: RunId
    files: Sequence[KnownFile]
    others: Collection[str] = ()
    """Names that may also be in its directories: configuration files."""

    def may_have(self, name: str) -> bool:
        """Whether a name in its directory is none of its data, but ours: the run's card, or an unfinished copy."""
        card = self.run.directory.rpartition("/")[2] + ".json"
        return name in {card, *self.others} or (name.startswith(".") and name.endswith(".partial"))


@dataclass
class _OfHost:
    """The files and copies to check on one host."""

    host: MachineHost
    files: list[KnownFile] = field(default_factory=list[KnownFile])
    directories: dict[str, KnownRun] = field(default_factory=dict[str, KnownRun])


async def verify(
    runs: Sequence[KnownRun],
    hosts: Sequence[MachineHost],
    work_dirs: Mapping[str, str],
    *,
    deep: bool,
    read: Callable[[KnownFile], None],
) -> list[Finding]:
    """Look at all files of `runs`, on all hosts at the same time.

    Args:
        work_dirs: of routers, as far as the topology gives them: a router without files has a directory too.
        deep: also compute the checksums of all files that have one.
        read: told of each file whose checksum has been computed.
    """
    findings: list[Finding] = []
    by_host: dict[MachineHost, _OfHost] = {host: _OfHost(host) for host in hosts}
    unknown: defaultdict[str, int] = defaultdict(int)
    for run in runs:
        for file in run.files:
            host = host_with(hosts, file.host, file.router)
            if host is None:
                unknown[file.host] += 1
                continue
            by_host[host].files.append(file)
            by_host[host].directories[file.directory] = run
        for host in hosts:
            for router in set(host.routers) & work_dirs.keys():
                by_host[host].directories.setdefault(f"{work_dirs[router].rstrip('/')}/{run.run.directory}", run)
    for name, count in unknown.items():
        findings.append(Finding(Fault.NotReached, name, detail=f"{_count(count)} there: it is not in the topology"))
    async with asyncio.TaskGroup() as tasks:
        for each in by_host.values():
            if each.directories:
                tasks.create_task(_verify_host(each, findings, deep, read))
    return _sorted(findings)


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    order = list(Fault)
    return sorted(
        findings, key=lambda f: (f.run is None, f.run.number if f.run else 0, f.host, f.path, order.index(f.fault))
    )


def _count(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"


async def _verify_host(
    of_host: _OfHost, findings: list[Finding], deep: bool, read: Callable[[KnownFile], None]
) -> None:
    host = of_host.host
    left = {file.path: file for file in of_host.files}
    try:
        listings: dict[str, Listing] = {}
        directories = list(of_host.directories)
        for start in range(0, len(directories), _DIRECTORIES):
            listings |= await host.inventory(directories[start : start + _DIRECTORIES])
        good: list[KnownFile] = []
        for file in of_host.files:
            found = list(_look(file, host.name, listings[file.directory]))
            findings += found
            if not found:
                good.append(file)
        findings += _extras(of_host, listings)
        if deep:
            left = {file.path: file for file in good}
            await _read(host, good, left, findings, read)
    except PeerError as error:
        findings.append(Finding(Fault.NotReached, host.name, detail=f"{_count(len(left))} not checked: {error}"))


def _look(file: KnownFile, host: str, listing: Listing) -> Iterator[Finding]:
    """Compare a file with what is in its directory."""

    def finding(fault: Fault, detail: str = "") -> Finding:
        return Finding(fault, host, file.run, file.path, detail)

    entry = listing.entries.get(file.path)
    if listing.problem:
        yield finding(Fault.Unreadable, f"its directory cannot be listed: {listing.problem}")
    elif entry is None:
        yield finding(Fault.Missing)
    elif not entry.is_file:
        yield finding(Fault.Changed, "a directory" if entry.is_directory else "not a regular file")
    elif entry.size != file.size:
        yield finding(Fault.Changed, f"{entry.size} bytes instead of {file.size}")
    elif file.path in listing.unreadable:
        yield finding(Fault.Unreadable, "its permissions forbid it")
    elif not file.checksum:
        yield finding(Fault.NoChecksum)


def _extras(of_host: _OfHost, listings: Mapping[str, Listing]) -> Iterator[Finding]:
    """Find what is in the runs' own directories and is not known."""
    known = {file.path for file in of_host.files}
    with_files = {file.directory for file in of_host.files}
    seen: set[str] = set()
    # The directories of files come first: a work_dir of the topology may be a link to one of them.
    for directory, run in sorted(of_host.directories.items(), key=lambda each: each[0] not in with_files):
        place = listings[directory].place
        if not directory.endswith(f"/{run.run.directory}") or place in seen:
            continue  # it may hold anything, or was seen under another name
        seen.add(place)
        for path, entry in listings[directory].entries.items():
            if path not in known and not run.may_have(path.rpartition("/")[2]):
                known.add(path)
                detail = f"{entry.size} bytes" if entry.is_file else "a directory" if entry.is_directory else "a link"
                yield Finding(Fault.Extra, of_host.host.name, run.run, path, detail)


async def _read(
    host: MachineHost,
    files: Sequence[KnownFile],
    left: dict[str, KnownFile],
    findings: list[Finding],
    read: Callable[[KnownFile], None],
) -> None:
    """Compute the checksums of files again, and remove each from `left`."""

    async def record(result: Checksum) -> None:
        file = left.pop(result.path)
        read(file)
        fault = {Found.Missing: Fault.Missing, Found.Unreadable: Fault.Unreadable}.get(result.found, Fault.Changed)
        if result.found is not Found.Whole:
            findings.append(Finding(fault, host.name, file.run, file.path, result.found.value))
        elif result.text != file.checksum:
            detail = f"its checksum is {result.text}, but was {file.checksum}"
            findings.append(Finding(Fault.Changed, host.name, file.run, file.path, detail))

    by_algorithm: defaultdict[str, list[KnownFile]] = defaultdict(list)
    for file in files:
        by_algorithm[file.checksum.partition(":")[0]].append(file)
    for algorithm, its in by_algorithm.items():
        sizes = {file.path: file.size for file in its}
        try:
            await host.checksums(list(sizes), record, algorithm=algorithm, sizes=sizes)
        except NoProgramError as error:
            findings.append(Finding(Fault.NotReached, host.name, detail=f"{_count(len(its))} not read: {error}"))


def verify_copies(
    files: Sequence[OldFile],
    hosts: Sequence[MachineHost],
    archive: Sequence[Destination],
    over: threading.Event,
    *,
    deep: bool,
) -> list[Finding]:
    """Look at all copies that the database calls verified, from the host of each file; `over` ends it.

    The `Finding.host` of a copy is its destination. `files`: all of their runs, because other names are extra.
    """
    by_host: dict[MachineHost, list[OldFile]] = {}
    findings: list[Finding] = []
    for file in files:
        host = host_with(hosts, file.host, file.router)
        if host is not None:
            by_host.setdefault(host, []).append(file)
        elif any(copy.verified for copy in file.copies):
            detail = "its copies are checked from its host, which is not in the topology"
            findings.append(Finding(Fault.NotReached, file.host, file.run, file.path, detail))
    known = {(copy.destination, copy.path) for file in files for copy in file.copies}

    def look(host: MachineHost, its: Sequence[OldFile]) -> list[Finding]:
        return list(_of_copies(host, its, known, archive, over, deep=deep))

    with ThreadPoolExecutor(len(by_host) or 1, thread_name_prefix="verify") as threads:
        work = [threads.submit(look, host, its) for host, its in by_host.items()]
        try:
            found = [finding for each in work for finding in each.result()]
        except BaseException:
            over.set()
            raise
    return _sorted(dict.fromkeys([*findings, *found]))  # hosts that share a destination see the same there


def _of_copies(
    host: MachineHost,
    files: Sequence[OldFile],
    known: Collection[tuple[str, str]],
    archive: Sequence[Destination],
    over: threading.Event,
    *,
    deep: bool,
) -> Iterator[Finding]:
    for destination in archive:
        name = destination.name
        try:
            lookout = Lookout(host.aside, Storage.of(destination, archive), over)
            for number, its in lookout.copies(files, deep=deep).items():
                yield from _of_copy(files[number], its, name, deep=deep)
            names = {path for where, path in known if where == name}
            for run, path in lookout.extras(files, names):
                yield Finding(Fault.Extra, name, run, path)
        except PeerError as error:
            yield Finding(Fault.NotReached, name, detail=f"not checked from {host.name}: {error}")
    left = {copy.destination for file in files for copy in file.copies if copy.verified} - {d.name for d in archive}
    for name in left:
        yield Finding(Fault.NotReached, name, detail="the topology has no such destination")


def _of_copy(file: OldFile, seen: Seen, destination: str, *, deep: bool) -> Iterator[Finding]:
    path = next(copy.path for copy in file.copies if copy.destination == destination)
    if seen.missing:
        yield Finding(Fault.Missing, destination, file.run, path)
    elif seen.problem:
        yield Finding(Fault.Unreadable, destination, file.run, path, seen.problem)
    elif reason := wrong_copy(file, seen, deep=deep):
        yield Finding(Fault.Changed, destination, file.run, path, reason)
