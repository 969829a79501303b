"""All observables measured by other IOCs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ioc.observables.monitor import PropertiesListener, Source, disconnected

if TYPE_CHECKING:
    from ioc.model import Reading
    from ioc.ports import ReadingsListener
    from ioc.topology.schema import Observable

_log = logging.getLogger(__name__)

_CHECK_SECONDS = 2.0
_END_SECONDS = 2.0
_POLL_SECONDS = 0.01
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from ioc.observables.receiver import main; main()"
"""Starts the receiving process from the same package as this one."""


class ObservableFeed:
    """Monitors the PVs of the observables and delivers their readings.

    When a source disconnects, one reading without value is delivered; its next reading shows that it is back.
    Observables without a PV are ignored. The methods belong to the event loop; the listeners are called in a thread,
    which reads what the receiving process sends.
    """

    def __init__(self, *, silent_checks: int = 15) -> None:
        """`silent_checks`: without a message during so many checks, one every 2 s, the receiving process hangs."""
        self._silent_checks = silent_checks
        self._sources: list[Source] = []
        self._connected: dict[str, bool] = {}
        self._silent = 0
        """Checks since the last message from the process."""
        self._listeners: tuple[ReadingsListener, PropertiesListener] | None = None
        self._receiver: _Receiver | None = None
        self._searched_from = frozenset[str]()
        self._checker: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    async def start(
        self, observables: Sequence[Observable], deliver: ReadingsListener, tell_properties: PropertiesListener
    ) -> None:
        """Start; `tell_properties` gets an observable's name and the properties of its source when they are known."""
        self._listeners = (deliver, tell_properties)
        self._sources = _sources(observables)
        self._launch()
        self._checker = asyncio.create_task(self._check(), name="observables check")

    async def update(self, observables: Sequence[Observable]) -> None:
        """Monitor these from now on; those with unchanged PV and type are not interrupted.

        When this returns, nothing more is delivered for the others.
        """
        async with self._changing:
            self._sources = _sources(observables)
            if self._receiver is not None:
                await self._receiver.follow(self._sources)

    async def close(self) -> None:
        """End all subscriptions and the process; nothing is delivered after this returns."""
        if self._checker is not None:
            self._checker.cancel()
            await asyncio.gather(self._checker, return_exceptions=True)
            self._checker = None
        await self._end()

    def _launch(self) -> None:
        self._searched_from = _addresses()
        self._connected = {}
        self._silent = 0
        try:
            self._receiver = _Receiver(self._sources, self._take)
        except OSError as error:  # too many processes or open files
            _log.error("the process that receives observables cannot be started: %s", error)

    async def _end(self) -> None:
        if self._receiver is not None:
            await self._receiver.end()
            self._receiver = None

    async def _check(self) -> None:
        """Restart the process if it has ended, hangs, or does not search all networks.

        libca reads the network interfaces when it creates the first channel, so it would never find a PV by broadcast
        on a network that appears later. Connected PVs are interrupted only if a disconnected one may be found now.
        """
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            self._silent += 1
            if self._receiver is not None and self._silent > self._silent_checks:
                _log.error("the process that receives observables hangs and is killed")
                self._receiver.kill()
                self._silent = 0
            if self._changing.locked():
                continue  # a change of the observables waits for the process, at most until it is killed
            async with self._changing:
                lost = any(not self._connected.get(source.name) for source in self._sources)
                if self._receiver is None:
                    pass  # it could not be started
                elif not self._receiver.alive:
                    _log.error("the process that receives observables has ended and is restarted")
                elif lost and _addresses() - self._searched_from:
                    _log.info("this machine has a new address: searching for the observables again")
                else:
                    continue
                await self._end()
                now = time.time()
                gone = [each.name for each in self._sources if self._connected.get(each.name)]
                self._take("readings", [disconnected(name, now) for name in gone])
                self._launch()

    def _take(self, kind: str, *content: Any) -> None:
        """Handle a message of the process."""
        assert self._listeners is not None
        self._silent = 0
        match kind:
            case "readings":
                readings: list[Reading] = content[0]
                self._connected.update([(each.observable, each.connected) for each in readings])
                self._listeners[0](readings)
            case "properties":
                self._listeners[1](*content)
            case "alive":
                pass
            case _:
                name, level, text = content
                logging.getLogger(name).log(level, "%s", text)


class _Receiver:
    """The process of `ioc.observables.receiver`; a thread for each pipe, which fills up when the process hangs."""

    def __init__(self, sources: Sequence[Source], take: Callable[..., None]) -> None:
        """`take` gets the parts of each message, in a thread."""
        self._take = take
        self._lists: queue.SimpleQueue[Sequence[Source] | None] = queue.SimpleQueue()
        self._sent = self._followed = 0
        """Number of lists sent, and of those that the process has begun to monitor."""
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C goes to the IOC, which ends this process
        )
        self._thread = threading.Thread(target=self._receive, name="observables", daemon=True)
        self._thread.start()
        threading.Thread(target=self._write, name="observables followed", daemon=True).start()
        self._send(sources)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._thread.is_alive()

    async def follow(self, sources: Sequence[Source]) -> None:
        """Monitor these; returns when the process does so or has ended."""
        self._send(sources)
        number = self._sent
        while self.alive and self._followed < number:  # noqa: ASYNC110 - the thread may end without an event
            await asyncio.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        self._process.kill()

    async def end(self) -> None:
        """End the process; returns when all its messages are handled."""
        self._lists.put(None)
        until = time.monotonic() + _END_SECONDS
        while self.alive or self._process.poll() is None:
            if time.monotonic() > until:
                self.kill()
            await asyncio.sleep(_POLL_SECONDS)

    def _send(self, sources: Sequence[Source]) -> None:
        self._sent += 1
        self._lists.put(sources)

    def _write(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stream:  # it may have ended
            while (sources := self._lists.get()) is not None:
                stream.write(pickle.dumps(sources))
                stream.flush()

    def _receive(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while True:
                try:
                    message = pickle.load(stream)  # noqa: S301 - from our own process
                except (EOFError, pickle.UnpicklingError):
                    break
                if message == ("followed",):
                    self._followed += 1
                    continue
                try:
                    self._take(*message)
                except Exception:
                    _log.exception("an update of observables cannot be handled")


def _sources(observables: Sequence[Observable]) -> list[Source]:
    return [
        Source(each.name, each.pv, each.type, each.deadband, each.max_rate)
        for each in observables
        if each.pv is not None
    ]


def _addresses() -> frozenset[str]:
    """This machine's addresses on the networks that libca would search by broadcast now."""
    if os.environ.get("EPICS_CA_AUTO_ADDR_LIST", "").strip().upper() == "NO":
        return frozenset()
    up = {name for name, interface in psutil.net_if_stats().items() if interface.isup}
    return frozenset(
        one.address
        for name, addresses in psutil.net_if_addrs().items()
        for one in addresses
        if name in up and one.family == socket.AF_INET and not one.address.startswith("127.")
    )
