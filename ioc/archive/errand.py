"""One program on the host of a router that copies a file, or looks at copies.

The scripts: errand.sh keeps the program's children together and ends them, work.sh is the program, and there.sh is fed
to a shell at the destination; both begin with digests.sh. Names of files are arguments, never parts of a script.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Self

from ioc.errors import PeerError, PeerRejected
from ioc.hosts.transport import OUTPUT_LIMIT, Transport, fed_to_sh, follow
from ioc.topology.schema import Destination

_ERRAND, _DIGESTS, _WORK, _THERE = (
    resources.files("ioc.archive").joinpath(f"{name}.sh").read_text(encoding="ascii")
    for name in ("errand", "digests", "work", "there")
)
SILENT_SECONDS = 120.0
"""A program that moves nothing for this time, and for what reading the whole file takes, hangs."""
_SLOWEST = 10_000_000
"""Bytes per second with which a file is read at least."""
_PROGRESS = re.compile(r"\s*([\d,.]+)\s+\d+%\s+\S+\s+[\d:?]+(?:\s+\(xfr[^)]*\))?\s*(.*)")
"""rsync's, behind which an error may stand in the same line."""
_REASON_LENGTH = 400
_REASON_LINES = 4
"""rsync says what happened before it says which of its processes noticed."""


class WrongCopyError(PeerRejected):
    """The copy was checked and is bad."""


class EndedError(PeerError):
    """The program was ended by us."""


class NotMountedError(PeerError):
    """The storage of a destination is not where it was; its copies are not lost, and nothing must be copied there."""


class SameStorageError(PeerError):
    """The storage of a destination is that of another one."""


_STATUSES = {69: NotMountedError, 70: WrongCopyError, 71: SameStorageError}
"""Exit statuses that mean more than a failure; ssh, rsync and rclone have others."""


@dataclass(frozen=True)
class Storage:
    """A destination, and how its storage is recognized."""

    destination: Destination
    others: tuple[str, ...] = ()
    """Names of the other destinations."""
    copy: bytes = b""
    """One that must be there; empty if none was made."""

    @classmethod
    def of(cls, destination: Destination, archive: Iterable[Destination]) -> Self:
        return cls(destination, tuple(each.name for each in archive if each is not destination))

    @property
    def words(self) -> tuple[str | bytes, ...]:
        """What the scripts compare it with."""
        return self.destination.name, " ".join(self.others), self.copy


@dataclass(frozen=True)
class Errand:
    """The job of a program, and how long it may be silent."""

    words: tuple[bytes, ...]
    silent_seconds: float


def seeing_place(storage: Storage, *, make: bool) -> Errand:
    """See whether the storage of a remote of rclone is that of the destination; `make`: and mark it."""
    remote = storage.destination.rclone or ""
    return _errand("see_place", storage.destination, *storage.words, "make" if make else "", target=remote)


def making_room(destination: Destination, place: bytes) -> Errand:
    """Give what is at this place of a remote of rclone another name."""
    return _errand("make_room", destination, target=place)


def making_directories(destination: Destination, run: bytes, names: Sequence[bytes]) -> Errand:
    """Make directories of a run at a remote of rclone, even if nothing is copied there."""
    return _errand("make_directories", destination, *names, target=run)


def copying(
    storage: Storage, source: bytes, size: int, place: bytes, temporary: bytes, *, directories: Sequence[bytes]
) -> Errand:
    """Copy a file to a temporary name, or if that is empty to its place itself; make `directories` before."""
    prepare = _there("prepare", storage, *directories)
    return _errand("copy", storage.destination, prepare, source=source, target=temporary or place, size=size)


def checking(storage: Storage, size: int, place: bytes, temporary: bytes, checksum: str) -> Errand:
    """Compare the checksum of a copy with that of the file, ``ALGORITHM:DIGITS``, and give it its final name."""
    inner = [temporary]
    if not storage.destination.rclone:
        algorithm, _, digits = checksum.partition(":")
        inner = [
            _there("check", storage, temporary, place, algorithm, digits),
            _inner("read_back", temporary, place),
            _inner("finish", temporary, place),
        ]
    return _errand("check", storage.destination, *inner, target=place, checksum=checksum, size=size)


def looking(storage: Storage, places: Sequence[bytes], algorithm: str, size: int) -> Errand:
    """Look at copies of altogether this size; with an algorithm, compute their checksums.

    For rclone, `places` is one directory.
    """
    destination = storage.destination
    target = places[0] if destination.rclone else b""
    inner = _there("look", storage, algorithm, *places)
    return _errand("look", destination, inner, target=target, size=size if algorithm else 0)


def marking(storage: Storage) -> Errand:
    """Mark the storage of a destination, at which a copy was seen."""
    if storage.destination.rclone:
        return seeing_place(storage, make=True)
    return _errand("look", storage.destination, _there("prepare", storage))


def listing(storage: Storage, directory: bytes) -> Errand:
    """List a directory; not for rclone."""
    return _errand("look", storage.destination, _there("list", storage, directory))


def reading(destination: Destination, place: bytes, size: int, algorithm: str) -> Errand:
    """Compute the checksum of a copy at a remote of rclone; the last line of the output is its digits."""
    return _errand("digest", destination, target=place, checksum=f"{algorithm}:", size=size)


def _errand(
    action: str,
    destination: Destination,
    *inner: str | bytes,
    source: bytes = b"",
    target: str | bytes = b"",
    checksum: str = "",
    size: int = 0,
) -> Errand:
    """`size`: how many bytes it may read in silence."""
    kind = "rclone" if destination.rclone else "ssh" if destination.ssh else "directory"
    rate = (destination.bandwidth_mbps or 0) * 1e6 / 8
    algorithm, _, digits = checksum.partition(":")
    # rsync and rclone count in KiB.
    words = (action, kind, destination.ssh or "", source, target, str(round(rate / 1024)), algorithm, digits)
    # What is read back comes through the same line.
    slowest = min(_SLOWEST, rate / 2) if rate else _SLOWEST
    return Errand(_encoded(_DIGESTS + _WORK, *words, *inner), SILENT_SECONDS + size / slowest)


def _there(action: str, storage: Storage, *arguments: str | bytes) -> bytes:
    return _inner(action, storage.destination.directory or "", *storage.words, *arguments)


def _inner(*arguments: str | bytes) -> bytes:
    return fed_to_sh(_DIGESTS + _THERE, _encoded(*arguments))


def _encoded(*words: str | bytes) -> tuple[bytes, ...]:
    return tuple(each.encode() if isinstance(each, str) else each for each in words)


class Running:
    """One run of a program, in a thread of its own; any thread may end it."""

    def __init__(
        self,
        transport: Transport,
        errand: Errand,
        moved: Callable[[int], object] = lambda _: None,
        over: threading.Event | None = None,
    ) -> None:
        """`moved` is called with the number of bytes moved so far; `over` ends it, and may be that of several."""
        self._transport = transport
        self._errand = errand
        self._moved = moved
        self._over = over or threading.Event()
        self._last = -1
        """How many bytes had been moved when it was told last."""
        self._silent_since = 0.0
        self._rest = b""
        """A line that has not come whole."""
        self._lines: list[str] = []
        self._written = 0

    def end(self) -> None:
        """Let the program be ended, with its children. Does not wait."""
        self._over.set()

    def run(self) -> list[str]:
        """Run the program; return its output without progress.

        Raises:
            NotMountedError, SameStorageError: the storage of the destination is not as it must be.
            WrongCopyError: the copy is not what it must be.
            PeerRejected: it failed, with its reason.
            EndedError: it was ended by `end`.
            PeerError: it could not be run, was lost, or hung.
        """
        program = self._transport.start(_ERRAND, self._errand.words)
        self._silent_since = time.monotonic()
        status = follow(program, self._over, self._take)
        if status is None:
            raise EndedError("it was ended")
        self._lines += self._without_progress((self._rest + b"\n").replace(b"\r", b"\n"))
        if status != 0:
            # What we know the meaning of, our scripts say in one line.
            last = self._lines[-1 if status in _STATUSES else -_REASON_LINES :]
            said = "; ".join(line.strip() for line in last)
            kind = _STATUSES.get(status, PeerRejected)
            raise kind(said[:_REASON_LENGTH] or f"it failed with exit status {status}")
        return self._lines

    def _take(self, piece: bytes) -> None:
        whole, end, self._rest = (self._rest + piece).replace(b"\r", b"\n").rpartition(b"\n")
        before = self._last
        found = self._without_progress(whole + end)
        if found or self._last != before:
            self._silent_since = time.monotonic()
        elif time.monotonic() - self._silent_since > self._errand.silent_seconds:
            raise PeerRejected(f"no progress for {self._errand.silent_seconds:.0f} s")
        self._lines += found
        self._written += sum(map(len, found))
        if self._written > OUTPUT_LIMIT:
            raise PeerRejected(f"it wrote more than {OUTPUT_LIMIT} bytes")

    def _has_moved(self, total: int) -> None:
        self._last = total
        self._moved(total)

    def _without_progress(self, text: bytes) -> list[str]:
        """Report progress; return the other lines."""
        found: list[str] = []
        for line in text.decode(errors="backslashreplace").split("\n"):
            if match := _PROGRESS.fullmatch(line):  # rsync
                self._has_moved(int(re.sub(r"\D", "", match[1])))
                found += [match[2]] if match[2] else []
            elif line.startswith('{"') and (told := _json_log(line)) is not None:  # rclone
                moved, text_of_it = told
                if moved is not None:
                    self._has_moved(moved)
                elif text_of_it:
                    found.append(text_of_it)
            elif line.strip():
                found.append(line)
        return found


def _json_log(line: str) -> tuple[int | None, str] | None:
    """Return the bytes moved and the text of a line of rclone's log; None if it is none."""
    try:
        told = json.loads(line)
        stats = told.get("stats")
        return (int(stats["bytes"]), "") if stats else (None, str(told["msg"]))
    except (ValueError, KeyError, TypeError):
        return None
