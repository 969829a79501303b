"""Common parts of all kinds of logbooks."""

from __future__ import annotations

from typing import Protocol

from ioc.logbook.entries import Entry
from ioc.logbook.spool import Waiting


class Book(Protocol):
    """A logbook. Every call ends within the time-outs of its kind, whatever the service does, or is cancelled."""

    def body(self, entry: Entry, picture: str) -> str:
        """Return the text of an entry as this kind of logbook takes it; `picture` is the name of its plot, if any."""
        ...

    async def has(self, entry: Waiting) -> bool:
        """Ask whether the logbook has an entry: an earlier attempt may have succeeded without an answer.

        Raises:
            PeerError: it does not answer, or not usefully.
        """
        ...

    async def add(self, entry: Waiting, picture: bytes | None) -> None:
        """Add an entry.

        Raises:
            PeerRejected: the logbook will never accept it.
            PeerError: it was not accepted now; or whether it was is not known.
        """
        ...
