"""The entries of one logbook that wait on the disk: one JSON file each, its picture beside it.

An entry is complete in its file before anybody tries to send it, and the file is removed when the logbook has it. The
names sort by time. ``made.json`` remembers which entries were made, so that none is made twice; it is stored after the
entry, and an entry that is made again because the process was killed in between gets the same name. It also has the
time since which the logbook exists: earlier runs get no entries.

All methods may block on the disk: they are called in a thread. Entries that somebody moves from ``refused`` back into
the folder are sent again.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REFUSED = "refused"
_ENTRY, _PICTURE = ".json", ".png"
_MADE = "made.json"
_MOST_MADE = 1000
"""Ids that are remembered: those of hundreds of runs; older runs are never checked again."""


@dataclass(frozen=True)
class Waiting:
    """An entry as it is sent."""

    id: str
    kind: str
    experiment: str
    number: int
    title: str
    body: str
    picture: str = ""
    """Name of its plot in the logbook; empty for none."""


class Spool:
    """Belongs to one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.since = math.inf
        """Runs with earlier numbers get no entries, POSIX seconds."""
        self._made: dict[str, None] = {}

    @property
    def refused(self) -> Path:
        """Where entries are kept that the logbook will never accept."""
        return self.folder / REFUSED

    def open(self, now: float) -> None:
        """Create the folder, or read what an earlier process left in it; `now` is in POSIX seconds.

        Raises:
            OSError: the disk is full, for example.
        """
        self.refused.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob("*.part"):
            left.unlink()
        try:
            kept: Any = json.loads((self.folder / _MADE).read_bytes())
            self.since, self._made = float(kept["since"]), dict.fromkeys(map(str, kept["made"]))
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            self.since, self._made = now, {}
            self.remember()

    def has_made(self, identity: str) -> bool:
        return identity in self._made

    def put(self, name: str, entry: Waiting, picture: bytes | None) -> None:
        """Store an entry and remember that it was made.

        Raises:
            OSError: the disk is full, for example.
        """
        if picture is not None:
            self._store(f"{name}{_PICTURE}", picture)
        self._store(f"{name}{_ENTRY}", json.dumps(asdict(entry), indent=1).encode())
        self.remember(entry.id)

    def names(self) -> Sequence[str]:
        """The waiting entries, the oldest first."""
        return sorted(path.stem for path in self.folder.glob(f"*{_ENTRY}") if path.name != _MADE)

    def load(self, name: str) -> tuple[Waiting, bytes | None]:
        """Read an entry and its picture, if it has one.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not an entry.
        """
        fields: Any = json.loads((self.folder / f"{name}{_ENTRY}").read_bytes())
        try:
            entry = Waiting(**fields)
        except TypeError:
            raise ValueError(f"{name}{_ENTRY} is not an entry") from None
        try:
            return entry, (self.folder / f"{name}{_PICTURE}").read_bytes() if entry.picture else None
        except FileNotFoundError:
            return entry, None

    def remove(self, name: str) -> None:
        """Forget an entry that the logbook has."""
        for suffix in (_ENTRY, _PICTURE):  # in this order: a picture alone is never sent
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)

    def refuse(self, name: str) -> None:
        """Put an entry aside."""
        for suffix in (_PICTURE, _ENTRY):
            file = self.folder / f"{name}{suffix}"
            with contextlib.suppress(FileNotFoundError):
                file.replace(self.refused / file.name)

    def count_refused(self) -> int:
        return sum(1 for _ in self.refused.glob(f"*{_ENTRY}"))

    def remember(self, *identities: str) -> None:
        """Remember entries as made, whether they are kept or not."""
        latest = list(self._made | dict.fromkeys(identities))[-_MOST_MADE:]
        self._store(_MADE, json.dumps({"since": self.since, "made": latest}).encode())
        self._made = dict.fromkeys(latest)

    def _store(self, name: str, data: bytes) -> None:
        """Replace a file as a whole: after a kill there is the old one or the new one."""
        part = self.folder / f"{name}.part"
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
