"""One connection to the remote control of a ReadoutGUI: requests and replies of one line each, or nearly.

Theory of operation. The server answers each request with one line, but the reason of an error may be a whole trace of
many lines in braces, a reply may come after we have given up waiting, and some errors have two. While a run begins the
server may already answer other requests, so replies may also come out of order. They carry no number. So before the
next request after such an irregularity we ask ``get state``: its reply looks like no other, and all lines before it are
late. Nothing is ever sent while a reply of ``get state`` is owed, so a server that hangs is not flooded.

An error of the server's own program has no reply at all, and the server never reads again from any connection.

Nothing here has a time-out: the caller cancels the call, and the next one finds its way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ioc.partners.tcl import split

LONGEST = 4096
"""Longest line that is accepted, in bytes."""
_MOST_LINES = 200
"""The most lines of a reason that are accepted."""
_MOST_LATE = 8
"""The most late replies that are skipped."""


class BrokenLinkError(Exception):
    """The connection cannot be used any longer; the text continues a sentence that begins with the server."""


@dataclass(frozen=True)
class Reply:
    """A reply; the server names its status OK, ERROR, or FAIL for a request that it does not know."""

    status: str
    value: str = ""


_UNHEARD = (
    " without an answer: another program may control it, its remote control may be stuck after an error, or it is an "
    "old release and there is no DAQ port manager on this machine"
)
_STATES = {Reply("OK", "active"): True, Reply("OK", "inactive"): False}


class Link:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state_owed = False
        self._regular = True
        self._heard = False
        self.owed = 0
        """Number of replies to requests other than ``get state`` that have not arrived yet."""

    def close(self) -> None:
        self._writer.transport.abort()

    async def ask(self, request: str) -> Reply:
        """Send a request and return its reply.

        Raises:
            BrokenLinkError: there is none.
        """
        if not self._regular:
            await self.is_active()
        self._regular = False
        self.owed += 1
        self._send(request)
        reply = await self._reply()
        self.owed -= 1  # if another is owed, either of them may be the one that came
        self._regular = reply.status == "OK" and not self.owed
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
            self.owed = max(0, self.owed - 1)
        raise BrokenLinkError("sends lines that are not answers")

    def _send(self, request: str) -> None:
        self._writer.write(request.encode() + b"\n")

    async def _reply(self) -> Reply:
        lines = [await self._line()]
        words = _words(lines[0])
        while words is None and lines[0].startswith(("ERROR {", "FAIL {")) and len(lines) < _MOST_LINES:
            lines.append(await self._line())
            if lines[-1].endswith("}"):
                words = _words("\n".join(lines))
        status, *values = words or [""]
        if status not in {"OK", "ERROR", "FAIL"}:
            raise BrokenLinkError(f"sent {lines[0][:100]!r}, which is not an answer of a ReadoutGUI's remote control")
        value = " ".join(values).strip()
        return Reply(status, " ".join(value.partition("\n")[0].split()))  # the trace is in the log of the ReadoutGUI

    async def _line(self) -> str:
        try:
            line = await self._reader.readline()
        except ValueError:
            raise BrokenLinkError(f"sent a line of more than {LONGEST} bytes") from None
        except ConnectionResetError:
            line = b""
        except OSError as error:
            raise BrokenLinkError(f"is lost ({error.strerror or error})") from None
        if not line.endswith(b"\n"):
            raise BrokenLinkError(f"closed the connection{'' if self._heard else _UNHEARD}")
        self._heard = True
        return line.decode(errors="replace").strip()


def _words(text: str) -> list[str] | None:
    try:
        return split(text)
    except ValueError:
        return None
