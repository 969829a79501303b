"""The live checks of this machine: run database, ports, observables."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ioc.app.live_report import Doubt, Judge, Table
from ioc.ca.environment import ANY, Environment
from ioc.ca.sockets import CannotServe, listening_sockets, search_socket
from ioc.errors import PeerError
from ioc.model import Reading
from ioc.observables import ObservableFeed, Properties
from ioc.rundb.probe import Probed, probe
from ioc.topology.derived import watched_pvs
from ioc.topology.schema import Observable, Topology

_PVA_PORT = 5075
_CONNECT_SECONDS = 5.0
"""How long PVs may take to be found, with the start of the process that searches; the rest is for its end."""


class ThisMachine:
    """The checks of the machine on which the IOC runs."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._database = Path(topology.database)
        self._followed = [each for each in (*topology.observables, *watched_pvs(topology)) if each.pv]
        loop = asyncio.get_running_loop()
        self._probed: asyncio.Future[Probed] = loop.create_future()
        # A daemon, because a file system that hangs must not keep the process.
        threading.Thread(target=self._probe, args=(loop,), name="probe database", daemon=True).start()

    def _probe(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            result: Probed | PeerError = probe(self._database)
        except PeerError as error:
            result = error
        with contextlib.suppress(RuntimeError):  # the loop has given up
            loop.call_soon_threadsafe(self._take, result)

    def _take(self, result: Probed | PeerError) -> None:
        if isinstance(result, PeerError):
            self._probed.set_exception(result)
            self._probed.exception()  # it need not be asked for
        else:
            self._probed.set_result(result)

    async def settings(self) -> Mapping[str, str]:
        """Return what an IOC stored; nothing if it cannot be read."""
        try:
            return (await asyncio.shield(self._probed)).settings
        except PeerError:
            return {}

    async def check(self, judge: Judge) -> Table:
        checks = [("database", self._check_database()), ("Channel Access", self._check_ca())]
        if self._topology.pva:
            checks.append(("PVAccess", self._check_pva()))
        if self._followed:
            checks.append(("observables", self._check_observables()))
        return Table("this machine", await judge.all(*checks))

    async def _check_database(self) -> str:
        probed = await asyncio.shield(self._probed)
        if probed.owner is not None:
            return f"{self._database} is in use by the running attpc-ioc (process {probed.owner})"
        if not probed.exists:
            return f"the IOC will create {self._database}"
        if probed.outdated:
            raise Doubt(f"{self._database} can be written; the IOC will upgrade it: make a backup first")
        return f"{self._database} can be written"

    async def _running(self) -> int | None:
        try:
            return (await asyncio.shield(self._probed)).owner
        except PeerError:
            return None

    async def _check_ca(self) -> str:
        if (owner := await self._running()) is not None:
            return f"ports in use by the running attpc-ioc (process {owner})"
        try:
            environment = Environment.read()
            sockets, port = listening_sockets(environment.interfaces, environment.port)
            for each in sockets:
                each.close()
            search_socket(environment.interfaces[0], environment.port).close()
        except CannotServe as error:
            raise PeerError(str(error)) from None
        if port != environment.port:
            raise Doubt(f"TCP port {environment.port} is in use by another program: the IOC will take any free one")
        return f"TCP and UDP port {port} are free"

    async def _check_pva(self) -> str:
        if (owner := await self._running()) is not None:
            return f"ports in use by the running attpc-ioc (process {owner})"
        text = os.environ.get("EPICS_PVAS_SERVER_PORT", "").strip() or str(_PVA_PORT)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise PeerError(f"EPICS_PVAS_SERVER_PORT is {text!r}, but must be a port number from 1 to 65535")
        with socket.socket() as probing:
            probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probing.bind((ANY, int(text)))
                probing.listen()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise PeerError(f"TCP port {text} cannot be opened: {error.strerror}") from None
                raise Doubt(f"TCP port {text} is in use by another program: the IOC will take any free one") from None
        return f"TCP port {text} is free"

    async def _check_observables(self) -> str:
        """Connect to all PVs that the IOC follows."""
        followed = self._followed
        connected = await _connected(followed)
        missing = [f"{each.pv} ({each.name})" for each in followed if each.name not in connected]
        if missing:
            raise PeerError(
                f"{len(missing)} of {len(followed)} PVs do not answer: {', '.join(missing)}; check that their IOCs "
                f"run and that EPICS_CA_ADDR_LIST leads to them"
            )
        return f"all {len(followed)} PVs answer"


async def _connected(observables: Sequence[Observable]) -> frozenset[str]:
    """Follow these for a moment; returns the names of those that have a value."""
    loop, wanted = asyncio.get_running_loop(), {each.name for each in observables}
    seen, complete = set[str](), asyncio.Event()

    def take(readings: Sequence[Reading]) -> None:
        seen.update(reading.observable for reading in readings if reading.connected)
        if wanted <= seen:
            loop.call_soon_threadsafe(complete.set)

    feed = ObservableFeed()
    await feed.start(observables, take, _ignore)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await complete.wait()
    except TimeoutError:
        pass
    finally:
        await feed.close()
    return frozenset(seen)


def _ignore(name: str, properties: Properties) -> None:
    """It does not check units and the like."""
