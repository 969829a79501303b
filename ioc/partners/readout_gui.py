"""FRIBDAQ as a partner: `ioc.ports.Partner` over the remote control of its ReadoutGUI.

Theory of operation. The server accepts one connection, so one is kept open, and one conversation at a time is held over
it (`_conversation`). Only as its slave does a ReadoutGUI take commands: it becomes one just before a run begins, and
its operator gets it back when the run has ended, or when the connection ends for whatever reason. A ReadoutGUI becomes
nobody's slave while it runs. So a connection that is lost in a run is never a way to end it again, and this client
keeps a connection in a run even if the program behind it hangs.

What counts is the state that is read after ``begin`` and ``end``, not their reply, which may be lost. But a ReadoutGUI
is Active before its data sources begin, so one that is Active after an error has not begun everything, and must be
ended.

There are two dialects. Since NSCLDAQ 11.0-014 (October 2015) it begins and ends by ``masterTransition``; before, it
answers FAIL to that, and knows ``begin`` and ``end``. NSCLDAQ 12.0 must never be sent ``begin``: it does not answer,
and its remote control is stuck until it is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ioc.errors import PeerError, PeerRejected, PeerTimeout
from ioc.model import PartnerReading
from ioc.partners.connect import Place, connect
from ioc.partners.link import BrokenLinkError, Link
from ioc.partners.tcl import quote

_Result = TypeVar("_Result")

_AGAIN = 0.1
"""Seconds between looks at a state that should change."""
_BY_HAND = "press End in its ReadoutGUI"


class ReadoutGui:
    """One ReadoutGUI."""

    def __init__(self, name: str, place: Place, *, timeout: float, state_timeout: float) -> None:
        """Does not connect yet. `timeout` is for a begin or an end, `state_timeout` for everything else, in seconds."""
        self._label = f"partner {name} at {place}"
        self._place = place
        self._timeout = timeout
        self._state_timeout = state_timeout
        self._resolver = ThreadPoolExecutor(1, f"resolve {name}")
        self._lock = asyncio.Lock()
        self._link: Link | None = None
        self._controlled = False
        self._may_be_slave = False
        """Its operator must get it back: it is our slave, or was asked to become it and has not answered."""
        self._old = False
        """It does not know ``masterTransition``."""
        self._beginning: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self) -> PartnerReading:
        """Read the state; see `ioc.ports.Partner`."""
        async with self._lock:
            try:
                active = await self._within(self._state_timeout, "get state", self._is_active())
            except PeerTimeout:
                if not self._controlled:  # else it could not be ended any longer
                    self._drop()
                raise
            except PeerError:
                self._drop()
                raise
            return PartnerReading(active, self._controlled)

    async def begin(self, number: int, title: str) -> None:
        """Begin a run; see `ioc.ports.Partner`."""
        self._beginning = begin = asyncio.create_task(self._begin(number, title))
        try:
            await asyncio.wait([begin])
        finally:
            begin.cancel()
        if begin.cancelled():
            raise PeerError(f"{self._label}: begin was cancelled, because the run is being stopped")
        begin.result()

    async def _begin(self, number: int, title: str) -> None:
        async with self._lock:
            settings = ("set slave 1", f"set run {number}", f"set title {quote(title)}", "set recording 1")
            try:
                await self._within(self._state_timeout, "the settings of a run", self._set(*settings))
            except PeerError as error:
                self._drop()  # its operator gets it back
                raise PeerRejected(f"{error}: it has not begun") from None
            error: PeerError | None = None
            try:
                await self._within(self._timeout, "begin", self._transition("Active", "begin"))
            except PeerError as failure:
                error = failure
            active = await self._state_after()
            if active and isinstance(error, PeerRejected):
                raise PeerError(f"{error}; it is Active, but not all of it has begun")
            if active and isinstance(error, PeerTimeout) and self._owes():
                raise error
            if active:
                return
            if error is None:
                state = "its state cannot be read" if active is None else "its run is not active"
                raise PeerError(f"{self._label} answered OK to begin, but {state}")
            if isinstance(error, PeerRejected) and active is None:
                raise PeerError(str(error))
            if isinstance(error, PeerRejected):
                self._drop()
            raise error

    async def end(self) -> None:
        """End its run; see `ioc.ports.Partner`."""
        if self._beginning is not None:
            self._beginning.cancel()
        async with self._lock:
            try:
                ended = await self._within(self._timeout, "end", self._end())
            except PeerError as error:
                self._drop()  # its operator gets it back
                raise type(error)(f"{error}; if it still runs, {_BY_HAND}") from None
            if not ended:
                if not self._controlled and self._may_be_slave:
                    self._drop()
                text = "still runs, but takes no command since its connection was lost in the run"
                raise PeerRejected(f"{self._label} {text}: set its run number to that of this run, then {_BY_HAND}")
            try:
                if self._may_be_slave:
                    await self._within(self._state_timeout, "set slave 0", self._set("set slave 0"))
            except PeerError:
                self._drop()
            self._controlled = False
            if self._owes():
                self._drop()  # a reply that never came must not be waited for in the next run

    async def _end(self) -> bool:
        """Return whether it has ended; False if it takes no command."""
        active = await self._is_active()
        while self._owes():  # a begin may be under way: an end in it would be refused, and the run would begin
            await asyncio.sleep(_AGAIN)
            active = await self._is_active()
        if not active:
            return True
        if not self._controlled:
            return False
        await self._transition("Halted", "end")
        while await self._is_active():  # noqa: ASYNC110 - it is another program's state
            await asyncio.sleep(_AGAIN)
        return True

    async def close(self) -> None:
        """End the connection: the ReadoutGUI controls itself."""
        self._closed = True
        self._drop()
        self._resolver.shutdown(wait=False, cancel_futures=True)

    # One conversation

    async def _state_after(self) -> bool | None:
        """Read whether its run is active; None if it cannot be read."""
        with contextlib.suppress(PeerError):
            return await self._within(self._state_timeout, "get state", self._is_active())
        return None

    def _owes(self) -> bool:
        return self._link is not None and self._link.owed > 0

    async def _is_active(self) -> bool:
        async with self._using() as link:
            return await link.is_active()

    async def _set(self, *requests: str) -> None:
        async with self._using() as link:
            for request in requests:
                if request == "set slave 1":
                    self._may_be_slave = True
                reply = await link.ask(request)
                if reply.status != "OK":
                    raise PeerRejected(f"{self._label} refused {request}: {reply.value}")
                if request.startswith("set slave"):
                    self._controlled = self._may_be_slave = request == "set slave 1"

    async def _transition(self, state: str, verb: str) -> None:
        async with self._using() as link:
            reply = await link.ask(verb if self._old else f"masterTransition {state}")
            if reply.status == "FAIL" and not self._old:
                self._old = True
                reply = await link.ask(verb)
            if reply.status != "OK":
                raise PeerRejected(f"{self._label} refused {verb}: {reply.value}")

    @contextlib.asynccontextmanager
    async def _using(self) -> AsyncGenerator[Link]:
        """The connection, which is made if there is none, and dropped if it breaks."""
        if self._closed:
            raise PeerError(f"{self._label} was not asked: this client is closed")
        try:
            if self._link is None:
                connecting = connect(self._place, self._resolver)
                self._link = Link(*await self._within(self._state_timeout, "the connection", connecting))
            yield self._link
        except BrokenLinkError as broken:
            self._drop()
            raise PeerError(f"{self._label} {broken}") from None

    async def _within(self, seconds: float, what: str, work: Awaitable[_Result]) -> _Result:
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            raise PeerTimeout(f"{self._label} did not answer {what} within {seconds:g} s") from None

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link, self._controlled, self._may_be_slave, self._old = None, False, False, False
