"""A simulated ReadoutGUI of FRIBDAQ: its remote control, and the DAQ port manager of its host.

Written from the protocol alone (docs/simulator.md), compared with the original, and as unkind: one client, whose
successor is disconnected at once while it is there; settings only for a slave; a slave only while halted; nobody's
slave once its client is gone. An error of the Tcl program gets no reply, and its remote control is stuck: it reads
nothing more, does not notice that its client goes, and so refuses every other one. Such are a line that is no Tcl list
or has a wrong number of words, ``begin`` for a new release, and a failed begin or end of an old one.

It is one thread: while a run begins or ends it reads nothing. (The original may, depending on its data sources.)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

from ioc.sim.plan import HOST, PartnerAddress, PartnerPlan, SimulatorError
from ioc.sim.ports import free_port
from ioc.sim.tcl_list import TclError, element, parse

_BOOLEANS = {
    **dict.fromkeys(("1", "true", "tru", "tr", "t", "yes", "ye", "y", "on"), True),
    **dict.fromkeys(("0", "false", "fals", "fal", "fa", "f", "no", "n", "off", "of"), False),
}
_SECONDS = 1.0
"""Of a begin or an end, divided by the speed of the site."""


class Manner(Enum):
    """How it answers."""

    HONEST = "honest"
    LYING = "lying"
    """OK to everything, but it does nothing."""
    MUTE = "mute"
    """It does everything, but answers nothing except questions."""
    BABBLING = "babbling"
    """A long line that is not an answer."""


class _StuckError(Exception):
    """An error in the Tcl program: nobody gets an answer any longer."""


class ReadoutGui:
    """One ReadoutGUI, always on the same ports."""

    def __init__(self, plan: PartnerPlan, speed: float) -> None:
        self.manner = Manner.HONEST
        self.thawed = asyncio.Event()
        self.thawed.set()
        self._plan = plan
        self._speed = speed
        self._new = plan.release == 2024
        self._no_slave = ("ERROR", "Must be in slave mode to do this" if self._new else "Not in slave mode")
        self._ports = free_port(), free_port()
        self._servers: list[asyncio.Server] = []
        self._client: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: dict[str, str] = {}
        self._delays: dict[str, float] = {}
        self._state = "Halted"
        self._slave = False
        self._run, self._title, self._recording = 0, "", False
        self._before = (0, "")
        self._history: list[dict[str, Any]] = []

    @property
    def address(self) -> PartnerAddress:
        return PartnerAddress(*self._ports)

    async def start(self) -> None:
        """Listen, as a program that has just been started."""
        if self._servers:
            raise SimulatorError(f"simulated ReadoutGUI {self._plan.name} runs already; kill it first")
        control, manager = self._ports
        self._servers = [
            await asyncio.start_server(self._accept, HOST, control),
            await asyncio.start_server(self._manage, HOST, manager),
        ]

    async def kill(self) -> None:
        """End it as kill -9 does."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.drop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._slave, self._state = False, "Halted"

    close = kill

    def drop(self) -> None:
        if self._client is not None:
            self._client.transport.abort()

    def fail_next(self, operation: str, message: str) -> None:
        """Let the next ``begin`` or ``end`` fail; ``source``: the next begin, but only when it is Active already."""
        self._failures[operation] = message

    def delay(self, operation: str, seconds: float) -> None:
        """Let every ``begin`` or ``end`` take so long from now on."""
        self._delays[operation] = seconds

    def status(self) -> dict[str, Any]:
        return {
            "state": self._state,
            "slave": self._slave,
            "run": self._run,
            "title": self._title,
            "recording": self._recording,
            "client": self._client is not None,
            "history": self._history,
        }

    def by_hand(self, state: str) -> None:
        """Its operator begins or ends a run at its buttons, or stops its data sources (NotReady)."""
        self._to(state)

    def _to(self, state: str) -> None:
        if state == "Active":
            self._history.append({"run": self._run, "title": self._title, "recording": self._recording})
        self._state = state

    # Its clients

    async def _manage(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The port manager of the host, which has other programs too."""
        with contextlib.suppress(OSError, ValueError):
            if (await reader.readline()).strip() == b"LIST":
                rows = (f"30001 RingMaster root\n30002 ReadoutGUIOutput {self._plan.user}\n").encode()
                own = f"{self._ports[0]} ReadoutGUIRemoteControl {self._plan.user}\n".encode()
                writer.write(b"OK 3\n" + rows + own)
                await writer.drain()
        writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.thawed.wait()
            if self._client is None:
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._client, self._before = writer, (self._run, self._title)
        try:
            with contextlib.suppress(OSError, ValueError):
                while line := await reader.readline():
                    await self.thawed.wait()
                    await self._answer(line.decode(errors="replace").rstrip("\r\n"), writer)
        except (TclError, _StuckError):
            with contextlib.suppress(asyncio.CancelledError):  # the task ends when it is killed
                await asyncio.Event().wait()
        finally:
            self._client = None
            if self._new:
                self._run, self._title = self._before
            self._slave = False

    async def _answer(self, line: str, writer: asyncio.StreamWriter) -> None:
        if self.manner is Manner.BABBLING:
            writer.write(b"x" * 10_000 + b"\n")
            return
        if not line:
            return
        words = parse(line) or [""]
        replies = [await self._obey(line, words)]
        if words[0] == "masterTransition" and replies[0][0] == "ERROR" and not self._slave:
            replies.append(("ERROR", f"Slave failed transition to {words[1]} "))
        if self.manner is Manner.MUTE and words[0] != "get":
            return
        for status, *value in replies:
            writer.write(" ".join([status, *map(element, filter(None, value))]).encode() + b"\r\n")
        await writer.drain()

    async def _obey(self, line: str, words: Sequence[str]) -> tuple[str, ...]:  # noqa: PLR0911 - one for each verb
        match words:
            case ["get", what]:
                return self._get(what)
            case ["set", _, _] if self.manner is Manner.LYING:
                return ("OK",)
            case ["set", what, value]:
                return self._set(what, value)
            case ["begin"] if self._new:
                raise _StuckError  # these releases have a bug there
            case ["begin"]:
                return await self._transition("Active", "begin", by_master=False)
            case ["end"]:
                return await self._transition("Halted", "end", by_master=False)
            case ["masterTransition", state] if self._new:
                return await self._transition(state, "begin" if state == "Active" else "end", by_master=True)
            case ["get" | "set" | "begin" | "end" | "masterTransition", *_] if (
                words[0] != "masterTransition" or self._new
            ):
                raise _StuckError  # wrong # args
            case _:
                return ("FAIL", f"Invalid command '{line}'")

    def _get(self, what: str) -> tuple[str, ...]:
        if what == "state":
            return ("OK", "active" if self._state == "Active" else "inactive")
        if what == "slave":
            return ("OK", str(int(self._slave)))
        return ("ERROR", f"Invalid get: {what}")

    def _set(self, what: str, value: str) -> tuple[str, ...]:  # noqa: PLR0911 - one for each kind of error
        flag = _BOOLEANS.get(value.lower())
        match what:
            case "slave" if flag is None:
                return ("ERROR", f"Slave state must be a boolean was: {value}")
            case "slave" if flag and self._state != "Halted":
                return ("ERROR", "State must be halted to perform set operations")
            case "slave":
                self._slave = bool(flag)
            case "run" if not _is_run_number(value):
                return ("ERROR", f"Run number must be a positive integer was '{value}'")
            case "recording" if flag is None:
                return ("ERROR", f"set recording value must be a boolean was: {value}")
            case "run" | "title" | "recording" if not self._slave:
                return self._no_slave
            case "run":
                self._run = int(value, 0)
            case "title":
                self._title = value
            case "recording":
                self._recording = bool(flag)
            case _:
                return ("ERROR", f"Invalid set: '{what}'")
        return ("OK",)

    async def _transition(self, state: str, operation: str, *, by_master: bool) -> tuple[str, ...]:
        if self.manner is Manner.LYING:
            return ("OK",)
        if not self._slave:
            return self._no_slave
        if (state, self._state) not in {("Active", "Halted"), ("Halted", "Active")}:
            old = "a begin run" if operation == "begin" else "the run to be ended"
            what = f"transitionsto {state}" if by_master else old
            return ("ERROR", f"The current state ({self._state}) does not allow {what}")
        await asyncio.sleep(self._delays.get(operation, _SECONDS / self._speed))
        if message := self._failures.pop(operation, ""):
            return _failed(message, by_master=by_master)
        self._to(state)
        if operation == "begin" and (message := self._failures.pop("source", "")):
            self._failures["end"] = "Run is already halted"
            return _failed(message, by_master=by_master)
        return ("OK",)


def _failed(message: str, *, by_master: bool) -> tuple[str, ...]:
    if not by_master:
        raise _StuckError
    return ("ERROR", f'Transition failed: {message} from {message}\n    while executing\n"error {{{message}}}"')


def _is_run_number(text: str) -> bool:
    number = r"\s*\+?(0|[1-9]\d{0,9}|0[xX][0-9a-fA-F]{1,8})\s*"
    return re.fullmatch(number, text, re.ASCII) is not None and int(text, 0) < 2**32
