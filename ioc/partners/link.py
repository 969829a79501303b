"""One connection to the remote control of a ReadoutGUI: requests and replies of one line each.

Theory of operation. The server answers each request with one line, in order, but a reply may come after we have given
up waiting, an error of the server's own program has none, and some errors have two. Replies carry no number. So before
the next request after such an irregularity we ask ``get state``: its reply looks like no other, and all lines before it
are late. Nothing is ever sent while a reply of ``get state`` is owed, so a server that hangs is not flooded.

Nothing here has a time-out: the caller cancels the call, and the next one finds its way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ioc.partners.tcl import split

LONGEST = 4096
"""Longest line that is accepted, in bytes."""
_MOST_LATE = 8
"""So many late lines are skipped."""


class BrokenLinkError(Exception):
    """The connection cannot be used any longer; the text continues a sentence that begins with the server."""


@dataclass(frozen=True)
class Reply:
    """A reply; the server names its status OK, ERROR, or FAIL for a request that it does not know."""

    status: str
    value: str = ""


_STATES = {Reply("OK", "active"): True, Reply("OK", "inactive"): False}


class Link:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state_owed = False
        self._regular = True
        self._heard = False
        self.owed = False
        """The reply to a request other than ``get state`` was not awaited, and has not been seen since."""

    def close(self) -> None:
        """End the connection at once."""
        self._writer.transport.abort()

    async def ask(self, request: str) -> Reply:
        """Send a request and return its reply.

        Raises:
            BrokenLinkError: there is none.
        """
        if not self._regular:
            await self.is_active()
        self._regular, self.owed = False, True
        self._send(request)
        reply = await self._reply()
        self._regular, self.owed = reply.status == "OK", False
        return reply

    async def is_active(self) -> bool:
        """Ask for the state of the run.

        Raises:
            BrokenLinkError: the server does not say.
        """
        if self._state_owed:
            await self._state()
        self._state_owed = True
        self._send("get state")
        return await self._state()

    async def _state(self) -> bool:
        for _ in range(_MOST_LATE):
            reply = await self._reply()
            if (active := _STATES.get(reply)) is not None:
                self._state_owed, self._regular = False, not self.owed
                return active
            if self._regular:
                raise BrokenLinkError(f"answered get state with {reply.status} {reply.value}")
            self.owed = False
        raise BrokenLinkError("sends lines that answer nothing")

    def _send(self, request: str) -> None:
        self._writer.write(request.encode() + b"\n")

    async def _reply(self) -> Reply:
        try:
            line = await self._reader.readline()
        except ValueError:
            raise BrokenLinkError(f"sent a line of more than {LONGEST} bytes") from None
        except ConnectionResetError:
            line = b""
        except OSError as error:
            raise BrokenLinkError(f"is lost ({error.strerror or error})") from None
        if not line.endswith(b"\n"):
            only = "" if self._heard else " without an answer: another program may control it, and it accepts only one"
            raise BrokenLinkError(f"closed the connection{only}")
        self._heard = True
        text = line.decode(errors="replace").strip()
        try:
            status, *values = split(text)
        except ValueError:
            status, values = "", []
        if status not in {"OK", "ERROR", "FAIL"}:
            raise BrokenLinkError(f"sent {text[:100]!r}, which is no answer of a ReadoutGUI's remote control")
        return Reply(status, " ".join(" ".join(values).split()))
