"""Removes filed files that have enough safe copies: the only part of the program that removes data.

Theory of operation: a file may go only if all of this holds. The database knows it as filed in a complete run, with a
checksum and with at least so many verified copies as asked. Just now, each of these copies was seen at its destination
with the right size (and, if wanted, checksum), and they are different files. On its host it is a regular file of the
size in the database, not modified since its checksum was computed.

Nothing is remembered between calls. A file is removed first, right after its facts were compared once more, and marked
then: a kill in between leaves a file that is gone but not marked, which the next call finds by its verified copies.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from ioc.archive.errand import Storage
from ioc.archive.sightings import Lookout, Seen, look_at_files, remove_files, wrong_copy
from ioc.errors import PeerError
from ioc.hosts import MachineHost, host_with
from ioc.hosts.transport import from_shown
from ioc.model import Client
from ioc.model.graw import is_filed_data
from ioc.rundb.copies import Copy, OldFile, editing, save_failed, save_purged, still_old
from ioc.topology.schema import Destination

_BATCH = 50
"""Files that are removed before they are marked."""
_Copies = Mapping[str, Mapping[int, Seen] | str]
"""By destination: what was found of each file's copy there, by the number of the file; or why nothing was."""


@dataclass
class Plan:
    """The files to remove, and why others stay."""

    remove: list[tuple[OldFile, Seen]] = field(default_factory=list[tuple[OldFile, Seen]])
    gone: list[OldFile] = field(default_factory=list[OldFile])
    """Removed, but not marked: an earlier call was killed in between."""
    refused: list[tuple[OldFile, str]] = field(default_factory=list[tuple[OldFile, str]])
    lost: list[tuple[OldFile, Copy, str]] = field(default_factory=list[tuple[OldFile, Copy, str]])
    """Copies that the database calls verified, but that are not as they must be."""
    unreachable: dict[str, str] = field(default_factory=dict[str, str])
    """Hosts and destinations that could not be checked, with the reason."""


class Purger:
    """Looks at files and copies, and removes files; blocks, with one thread per host."""

    def __init__(
        self, hosts: Sequence[MachineHost], archive: Sequence[Destination], wanted: int, *, deep: bool
    ) -> None:
        """`wanted` copies must be verified; `deep`: their checksums are computed again."""
        assert wanted >= 1
        self._hosts = hosts
        self._archive = {each.name: each for each in archive}
        self._wanted = wanted
        self._deep = deep

    def plan(self, files: Sequence[OldFile]) -> Plan:
        """Look at everything; change nothing but missing marks of destinations."""
        plan = Plan()
        by_host: dict[int, list[OldFile]] = {}
        for file in files:
            host = host_with(self._hosts, file.host, file.router)
            reason = self._known_reason(file)
            if reason is None and host is None:
                reason = f"the topology has no router on its host {file.host}"
            if reason is not None:
                plan.refused.append((file, reason))
            elif host is not None:
                by_host.setdefault(self._hosts.index(host), []).append(file)
        if by_host:
            over = threading.Event()
            with ThreadPoolExecutor(len(by_host), thread_name_prefix="purge") as threads, _ended_by(over):
                work = [
                    threads.submit(self._plan_of, self._hosts[number], some, over) for number, some in by_host.items()
                ]
                for part in (each.result() for each in work):
                    plan.remove += part.remove
                    plan.gone += part.gone
                    plan.refused += part.refused
                    plan.lost += part.lost
                    plan.unreachable |= part.unreachable
        return plan

    @staticmethod
    def mark_lost(plan: Plan, database: Path) -> None:
        """Mark lost copies as failed: the IOC makes them again.

        Raises:
            PeerError: the database cannot be written.
        """
        if not plan.lost:
            return
        with editing(database) as db:
            for file, copy, reason in plan.lost:
                save_failed(db, file.file_id, copy.destination, copy.path, f"found by runs purge: {reason}")

    def carry_out(self, plan: Plan, database: Path, client: Client) -> Iterator[tuple[OldFile, str]]:
        """Remove and mark what is planned; yields each file with the reason if it was kept, else an empty text.

        Raises:
            PeerError: the database cannot be read or written: what was removed last is not marked.
        """
        gone = sorted(plan.gone, key=_run_and_host)
        for _, some in groupby(gone, key=_run_and_host):
            with editing(database) as db:
                files = still_old(db, list(some))
            self._mark(database, files, "found removed by an earlier call", client)
        planned = sorted(plan.remove, key=lambda each: _run_and_host(each[0]))
        for _, some in groupby(planned, key=lambda each: _run_and_host(each[0])):
            pairs = list(some)
            for start in range(0, len(pairs), _BATCH):
                yield from self._remove(database, pairs[start : start + _BATCH], client)

    def _remove(
        self, database: Path, pairs: Sequence[tuple[OldFile, Seen]], client: Client
    ) -> Iterator[tuple[OldFile, str]]:
        """Remove files of one run and host."""
        files = [file for file, _ in pairs]
        with editing(database) as db:
            present = set(still_old(db, files))
        wanted = [(file, seen) for file, seen in pairs if file in present]
        yield from ((file, "the database has changed meanwhile") for file in files if file not in present)
        if not wanted:
            return
        host = host_with(self._hosts, wanted[0][0].host, wanted[0][0].router)
        assert host is not None
        try:
            kept = remove_files(host.aside, host.name, wanted)
        except PeerError as error:
            yield from ((file, f"it is not known whether it was removed: {error}") for file, _ in wanted)
            return
        removed = [file for (file, _), reason in zip(wanted, kept, strict=True) if not reason]
        self._mark(database, removed, "removed", client)
        for (file, _), reason in zip(wanted, kept, strict=True):
            yield file, reason and f"it has changed meanwhile, or cannot be removed: {reason}"

    @staticmethod
    def _mark(database: Path, files: Sequence[OldFile], what: str, client: Client) -> None:
        """Mark files of one run and host as removed."""
        if not files:
            return
        first, size = files[0], sum(file.size for file in files)
        kept = sorted({copy.destination for file in files for copy in file.copies if copy.verified})
        where = f"of router {first.router} on {first.host}"
        text = f"{first.run} of {first.run.experiment}: {len(files)} files ({size} bytes) {where} {what}; "
        text += f"verified copies: {', '.join(kept)}"
        with editing(database) as db:
            save_purged(db, first.run_id, [file.file_id for file in files], text, client)

    def _known_reason(self, file: OldFile) -> str | None:
        """Return why the database alone forbids it."""
        if not file.path.startswith("/") or not is_filed_data(from_shown(file.path).rpartition(b"/")[2]):
            return "it is not a data file"
        if not file.checksum or not file.checksummed_at:
            return "it has no checksum"
        good = [copy for copy in file.copies if copy.verified and copy.destination in self._archive]
        if len(good) >= self._wanted:
            return None
        why = [f"{copy.destination}: {copy.reason}" for copy in file.copies if copy.reason]
        why += [
            f"{copy.destination}: it is not in the topology"
            for copy in file.copies
            if copy.verified and copy.destination not in self._archive
        ]
        return self._too_few(len(good), why)

    def _too_few(self, count: int, why: Iterable[str]) -> str:
        reasons = "; ".join(why)
        return f"it has {count} of {self._wanted} verified copies" + (f" ({reasons})" if reasons else "")

    def _plan_of(self, host: MachineHost, files: Sequence[OldFile], over: threading.Event) -> Plan:
        plan = Plan()
        try:
            found = look_at_files(host.aside, host.name, files)
        except PeerError as error:
            plan.unreachable[host.name] = str(error)
            plan.refused += [(file, f"{host.name} cannot be checked") for file in files]
            return plan
        copies: dict[str, Mapping[int, Seen] | str] = {}
        for name, destination in self._archive.items():
            try:
                lookout = Lookout(host.aside, Storage.of(destination, self._archive.values()), over)
                seen = lookout.copies(files, deep=self._deep)
                # Copies of older versions may have no mark yet; the next destination could be the same storage.
                lookout.mark(files, seen)
                copies[name] = seen
            except PeerError as error:
                copies[name] = "it cannot be checked"
                plan.unreachable[f"{name} from {host.name}"] = str(error)
        for number, file in enumerate(files):
            reason = self._reason(file, found[number], number, copies, plan)
            if reason is not None:
                plan.refused.append((file, reason))
            elif found[number].gone:
                plan.gone.append(file)
            else:
                plan.remove.append((file, found[number]))
        return plan

    def _reason(self, file: OldFile, seen: Seen, number: int, copies: _Copies, plan: Plan) -> str | None:
        """Return why a file must not be removed; `plan` gets its lost copies."""
        if seen.problem:
            return seen.problem
        if not seen.gone and seen.size != file.size:
            return f"it has {seen.size} bytes, but must have {file.size}"
        if not seen.gone and seen.modified > file.checksummed_at:
            return "it was modified after its checksum was computed"
        taken, why, good = {seen.identity}, list[str](), 0
        for copy in file.copies:
            if not copy.verified or copy.destination not in self._archive:
                continue
            found = copies[copy.destination]
            its = Seen(problem=found) if isinstance(found, str) else found[number]
            if wrong := wrong_copy(file, its, deep=self._deep):
                plan.lost.append((file, copy, wrong))
            elif its.problem:
                wrong = its.problem
            elif its.identity and its.identity in taken:
                wrong = "it is the same file as another copy"
            if wrong:
                why.append(f"{copy.destination}: {wrong}")
                continue
            good += 1
            taken.add(its.identity)
        if good >= self._wanted:
            return None
        return self._too_few(good, why) + (", and it is missing on its host" if seen.gone else "")


@contextmanager
def _ended_by(over: threading.Event) -> Generator[None]:
    """End the programs on the hosts if this is left by an exception, such as Ctrl-C."""
    try:
        yield
    except BaseException:
        over.set()
        raise


def _run_and_host(file: OldFile) -> tuple[int, str, str]:
    return file.run.number, file.host, file.router
