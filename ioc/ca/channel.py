"""A client's connection to one PV or field."""

from __future__ import annotations

from typing import Any

from ioc.ca.pv import Pv


class Channel:
    """What a session knows of one channel; `cid` is the client's number for it, `sid` ours."""

    __slots__ = ("cid", "held_reads", "open", "pv", "sid", "subscriptions", "unfinished_puts", "writable")

    def __init__(self, cid: int, sid: int, pv: Pv[Any], *, writable: bool) -> None:
        self.cid = cid
        self.sid = sid
        self.pv = pv
        self.writable = writable
        """What the client was told last."""
        self.open = True
        self.subscriptions: set[int] = set()
        self.unfinished_puts = 0
        self.held_reads: list[Any] = []
        """Reads that came while a put of the same client was being carried out."""
