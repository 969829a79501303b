"""Compares the safe copies of files with what the database knows of them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ioc.archive.errand import Storage
from ioc.archive.sightings import Lookout, Seen, wrong_copy
from ioc.archive.verify import Fault, Finding
from ioc.errors import PeerError
from ioc.hosts import MachineHost, host_with
from ioc.rundb.copies import OldFile
from ioc.topology.schema import Destination


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
            detail = "its copies are looked at from its host, which is not in the topology"
            findings.append(Finding(Fault.NotReached, file.host, file.run, file.path, detail))
    known = {(copy.destination, copy.path) for file in files for copy in file.copies}

    def look(host: MachineHost, its: Sequence[OldFile]) -> list[Finding]:
        return list(_of_host(host, its, known, archive, over, deep=deep))

    with ThreadPoolExecutor(len(by_host) or 1, thread_name_prefix="verify") as threads:
        work = [threads.submit(look, host, its) for host, its in by_host.items()]
        try:
            found = [finding for each in work for finding in each.result()]
        except BaseException:
            over.set()
            raise
    unique = dict.fromkeys([*findings, *found])  # hosts that share a destination see the same there
    return sorted(unique, key=lambda each: (each.run is None, each.run.number if each.run else 0, each.host, each.path))


def _of_host(
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
                yield from _finding(files[number], its, name, deep=deep)
            names = {path for where, path in known if where == name}
            for run, path in lookout.extras(files, names):
                yield Finding(Fault.Extra, name, run, path)
        except PeerError as error:
            yield Finding(Fault.NotReached, name, detail=f"not looked at from {host.name}: {error}")
    left = {copy.destination for file in files for copy in file.copies if copy.verified} - {d.name for d in archive}
    for name in left:
        yield Finding(Fault.NotReached, name, detail="the topology has no such destination")


def _finding(file: OldFile, seen: Seen, destination: str, *, deep: bool) -> Iterator[Finding]:
    path = next(copy.path for copy in file.copies if copy.destination == destination)
    if seen.missing:
        yield Finding(Fault.Missing, destination, file.run, path)
    elif seen.problem:
        yield Finding(Fault.Unreadable, destination, file.run, path, seen.problem)
    elif reason := wrong_copy(file, seen, deep=deep):
        yield Finding(Fault.Changed, destination, file.run, path, reason)
