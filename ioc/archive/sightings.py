"""Checks of filed files on their hosts, and of their copies at the destinations."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import TypeVar

from ioc.archive.errand import Errand, Running, Storage, listing, looking, marking, reading, seeing_place
from ioc.errors import PeerError, PeerRejected
from ioc.hosts.transport import Transport, from_shown, shown
from ioc.model import RunId
from ioc.rundb.copies import Copy, OldFile

Item = TypeVar("Item")

_SCRIPT = resources.files("ioc.archive").joinpath("purge.sh").read_text(encoding="ascii")
KEEP = b".keep"
"""In a directory of a run at a remote of rclone, which may have no directories without files."""
_BATCH = 200
_SECONDS = 120.0
_KINDS = {
    "link": "it is a symbolic link",
    "other": "it is not a regular file",
    "unseen": "its directory cannot be read",
}


@dataclass(frozen=True)
class Seen:
    """The result of the check of a file or a copy."""

    size: int = -1
    identity: str = ""
    """Machine, file system and inode; empty if not known."""
    digits: str = ""
    facts: str = ""
    """Of a file on its host: the words of the script."""
    modified: float = 0.0
    problem: str = ""
    missing: bool = False
    """A copy is not at its place, although others can be seen there."""
    gone: bool = False


def look_at_files(transport: Transport, host: str, files: Sequence[OldFile]) -> list[Seen]:
    """Look at filed files.

    Raises:
        PeerError: the host cannot be reached, or did not answer for each.
    """
    found: list[Seen] = []
    for some in _batches(files):
        paths = [from_shown(file.path) for file in some]
        output = transport.run(_SCRIPT, (b"look", *paths), _SECONDS)
        found += [_seen(answer, host) for answer in _answers(_lines(output), len(some), host)]
    return found


def remove_files(transport: Transport, host: str, files: Sequence[tuple[OldFile, Seen]]) -> list[str]:
    """Remove files that are still as they were seen; returns why each was kept, an empty text if it was removed.

    Raises:
        PeerError: the host was lost; what it had removed by then is not known.
    """
    words = [word for file, seen in files for word in (from_shown(file.path), seen.facts.encode())]
    answers = _answers(_lines(transport.run(_SCRIPT, (b"remove", *words), _SECONDS)), len(files), host)
    return ["" if answer == "removed" else answer.removeprefix("kept ") or "no reason was given" for answer in answers]


_Wanted = Sequence[tuple[int, OldFile, bytes]]


class Lookout:
    """Looks at a destination from a host; `over` ends it.

    Raises:
        PeerError: the destination cannot be checked.
    """

    def __init__(self, transport: Transport, storage: Storage, over: threading.Event) -> None:
        self._transport = transport
        self._storage = storage
        self._destination = storage.destination
        self._over = over

    def copies(self, files: Sequence[OldFile], *, deep: bool) -> dict[int, Seen]:
        """Look at the verified copies of files, by the number of the file; `deep`: also at their content."""
        wanted = [
            (number, file, from_shown(copy.path)) for number, file in enumerate(files) for copy in self._verified(file)
        ]
        return (self._rclone_copies if self._destination.rclone else self._shell_copies)(wanted, deep=deep)

    def mark(self, files: Sequence[OldFile], seen: Mapping[int, Seen]) -> None:
        """Mark the storage if a copy was seen there, so that it is not taken for that of another destination.

        Raises:
            PeerError: the destination cannot be reached, or has got the mark of another one.
        """
        below = os.fsencode(self._destination.rclone or self._destination.directory or "")
        there = (
            from_shown(copy.path)
            for number, its in seen.items()
            if not its.missing and not its.problem
            for copy in files[number].copies
            if copy.destination == self._destination.name
        )
        # Copies that were made in another directory say nothing of the present one.
        if any(path.startswith(below if below.endswith((b":", b"/")) else below + b"/") for path in there):
            self._do(marking(self._storage))

    def extras(self, files: Sequence[OldFile], known: Collection[str]) -> Iterator[tuple[RunId, str]]:
        """Return what lies beside the copies of files and is none of the `known` ones, nor an unfinished copy."""
        directories = {
            from_shown(copy.path).rpartition(b"/")[0]: file.run for file in files for copy in self._verified(file)
        }
        for directory, run in directories.items():
            for name in self._names(directory):
                path = shown(directory + b"/" + name)
                ours = name == KEEP or (name.startswith(b".") and name.endswith(b".partial"))
                if path not in known and not ours:
                    yield run, path

    def _verified(self, file: OldFile) -> Iterator[Copy]:
        return (copy for copy in file.copies if copy.destination == self._destination.name and copy.verified)

    def _do(self, errand: Errand) -> list[str]:
        return Running(self._transport, errand, over=self._over).run()

    def _names(self, directory: bytes) -> Iterator[bytes]:
        if self._destination.rclone:
            sizes = self._rclone_sizes(directory)
            yield from () if isinstance(sizes, str) else sizes
            return
        name, said = self._destination.name, self._do(listing(self._storage, directory))
        if said[-1:] != ["end"]:
            raise PeerError(f"{name} did not list {shown(directory)}: {' | '.join(said)[-200:]!r}")
        for line in said[:-1]:
            word, _, digits = line.partition(" ")
            if word == "name":
                try:
                    yield bytes.fromhex(digits)
                except ValueError:
                    raise PeerError(f"{name} answered {line!r}") from None

    def _shell_copies(self, wanted: _Wanted, *, deep: bool) -> dict[int, Seen]:
        found: dict[int, Seen] = {}
        name = self._destination.name
        for algorithm, same in groupby(sorted(wanted, key=_algorithm), key=_algorithm):
            for some in _batches(list(same)):
                size = sum(file.size for _, file, _ in some)
                look = looking(self._storage, [place for _, _, place in some], algorithm if deep else "", size)
                answers = _answers(self._do(look), len(some), name)
                for (number, _, _), answer in zip(some, answers, strict=True):
                    found[number] = its = _copy(answer, name)
                    if deep and not its.missing and not its.digits:
                        found[number] = Seen(problem=f"there is no program for {algorithm} at the destination")
        return found

    def _rclone_copies(self, wanted: _Wanted, *, deep: bool) -> dict[int, Seen]:
        found: dict[int, Seen] = {}
        if wanted:
            self._do(seeing_place(self._storage, make=False))
        for directory, its in groupby(wanted, key=lambda each: each[2].rpartition(b"/")[0]):
            sizes = self._rclone_sizes(directory)
            for number, file, place in its:
                size = sizes if isinstance(sizes, str) else sizes.get(place.rpartition(b"/")[2], "it is not there")
                if isinstance(size, str):
                    found[number] = Seen(problem=size, missing=not isinstance(sizes, str))
                    continue
                digits = ""
                if deep:
                    read = reading(self._destination, place, file.size, _algorithm((number, file, place)))
                    digits = "".join(self._do(read)[-1:])
                found[number] = Seen(size, "", digits)
        return found

    def _rclone_sizes(self, directory: bytes) -> dict[bytes, int] | str:
        """Return the sizes of the files in a directory by name, or why there are none."""
        try:
            said = "\n".join(self._do(looking(Storage(self._destination), [directory], "", 0)))
        except PeerRejected as error:
            return f"it cannot be checked: {error}"
        try:
            begin = said.index("[\n")  # after what rclone logs
            return {os.fsencode(each["Name"]): int(each["Size"]) for each in json.loads(said[begin:])}
        except (ValueError, KeyError, TypeError):
            raise PeerError(f"rclone answered {said[-200:]!r}") from None


def wrong_copy(file: OldFile, copy: Seen, *, deep: bool) -> str:
    """Return why a copy is not what the database says; empty if it is, or if it could not be checked."""
    if copy.missing:
        return copy.problem
    if copy.problem:
        return ""
    if copy.size != file.size:
        return f"it has {copy.size} bytes there, but must have {file.size}"
    if deep and copy.digits != file.checksum.partition(":")[2]:
        return f"its checksum there is {copy.digits}"
    return ""


def _copy(answer: str, who: str) -> Seen:
    if answer == "missing":
        return Seen(problem="it is not there", missing=True)
    try:
        size, inode, machine, *digits = answer.split()
        return Seen(int(size), f"{machine} {inode}", "".join(digits))
    except ValueError:
        raise PeerError(f"{who} answered {answer!r}") from None


def _algorithm(wanted: tuple[int, OldFile, bytes]) -> str:
    return wanted[1].checksum.partition(":")[0]


def _seen(answer: str, host: str) -> Seen:
    word, _, rest = answer.partition(" ")
    if word == "gone":
        return Seen(gone=True)
    if word != "file":
        return Seen(problem=_KINDS.get(word, f"it was seen as {answer!r}"))
    try:
        size, modified, inode, machine = rest.split(" ")
        return Seen(int(size), f"{machine} {inode}", facts=answer, modified=float(modified))
    except ValueError:
        raise PeerError(f"{host} answered {answer!r}") from None


def _lines(output: bytes) -> list[str]:
    return output.decode(errors="replace").split("\n")[:-1]


def _answers(lines: Sequence[str], count: int, who: str) -> list[str]:
    """Return what a script says of each file; lines of others, for example of ssh, are left out.

    Raises:
        PeerError: it does not say something of each, once.
    """
    told = [line.partition(" ") for line in lines if line[:1].isdigit()]
    if lines[-1:] != ["end"] or [number for number, _, _ in told] != [str(number) for number in range(count)]:
        raise PeerError(f"{who} did not answer for each file: {' | '.join(lines)[-200:]!r}")
    return [rest for _, _, rest in told]


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
