"""The Channel Access server: starts and ends its parts, and admits clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from ioc.ca.beacons import Beacons
from ioc.ca.circuit import Circuit
from ioc.ca.environment import Environment
from ioc.ca.limits import Complaints, Limits
from ioc.ca.puts import Journal, PutRecord, Puts
from ioc.ca.pv import Pv
from ioc.ca.search import OtherServers, SearchListener
from ioc.ca.site import MayWrite, Namespace, Site
from ioc.ca.sockets import CannotServe, listening_sockets

logger = logging.getLogger("ioc.ca")

_WATCH_PERIOD = 0.5


@dataclass(frozen=True)
class ServerStats:
    """Statistics for the health PVs."""

    clients: int
    """Open circuits."""
    dropped_clients: int
    """Clients dropped so far because they stopped reading."""
    queue_high_water: int
    """Greatest number of answers and updates that ever waited for one client."""
    pvs: int
    other_servers: tuple[str, ...] = ()
    """Addresses of other servers with the same PV names."""


class CaServer:
    """Serves PVs by Channel Access until it is closed; ports and interfaces come from the EPICS environment.

    `may_write` is called with the PV name, the address of the client's connection and the user name reported by the
    client. `journal` gets every put to a writable PV, bursts merged; both are called on the event loop and must not
    block or raise.
    """

    def __init__(
        self,
        pvs: Iterable[Pv[Any]],
        *,
        may_write: MayWrite,
        journal: Callable[[PutRecord], None],
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._site = Site(Namespace(pvs), Puts(Journal(journal)), may_write, limits, Complaints())
        self._circuits: dict[Circuit, None] = {}
        """In the order of connection."""
        self._none_left = asyncio.Event()
        self._dropped = 0
        self._high_water = 0
        self._servers: list[asyncio.Server] = []
        self._searches: SearchListener | None = None
        self._beacons: Beacons | None = None
        self._other_servers: OtherServers | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._died: asyncio.Future[str] | None = None
        self._closing = False

    @property
    def site(self) -> Site:
        """What another server of the same PVs shares with this one."""
        return self._site

    @property
    def port(self) -> int:
        """TCP port in use; 0 before `start`."""
        return self._site.port

    @property
    def died(self) -> asyncio.Future[str]:
        """Done, with the reason, if the server ends unexpectedly."""
        if self._died is None:
            self._died = asyncio.get_running_loop().create_future()
        return self._died

    async def start(self) -> None:
        """Open the sockets; the PVs can be reached when this returns.

        Raises:
            CannotServe: a port is in use or an environment variable is invalid.
        """
        environment = Environment.read()
        try:
            await self._open(environment)
        except BaseException:
            await self.close()
            raise

    async def _open(self, environment: Environment) -> None:
        site, loop = self._site, asyncio.get_running_loop()
        sockets, site.port = listening_sockets(environment.interfaces, environment.port)
        if site.port != environment.port:
            logger.warning(
                "TCP port %d is in use by another server, so this one listens on %d: if the other serves the same PVs, "
                "stop one of them",
                environment.port,
                site.port,
            )
        for sock in sockets:
            circuit = lambda: Circuit(site, self._admit, self._leave)  # noqa: E731
            self._servers.append(await loop.create_server(circuit, sock=sock, backlog=512))
        self._searches = searches = SearchListener(site, environment, self._lost)
        await searches.refresh()
        self._beacons = beacons = Beacons(environment, site)
        self._other_servers = others = OtherServers(site, environment)
        for work in (beacons.run(), self._watch(), self._watch_interfaces(searches, beacons), others.run()):
            self._own(work)
        for address in environment.absent:
            logger.warning("no interface has the address %s yet: clients can reach the server once one has", address)
        logger.info(
            "serving %d PVs on %s, TCP port %d, UDP port %d",
            len(site.namespace),
            ", ".join(environment.interfaces),
            site.port,
            environment.port,
        )

    async def close(self) -> None:
        """End all work and connections."""
        self._closing = True
        for server in self._servers:
            server.close()
        if self._searches is not None:
            self._searches.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._site.puts.close()
        for circuit in list(self._circuits):
            circuit.drop("the server ends")
        if self._circuits:
            self._none_left.clear()
            await self._none_left.wait()
        for server in self._servers:
            await server.wait_closed()
        self._site.puts.journal.close()

    def add(self, pv: Pv[Any]) -> None:
        """Add a PV. Raises ValueError if the name is taken or not allowed for a PV."""
        self._site.namespace.add(pv)
        if self._beacons is not None:
            self._beacons.restart()

    def remove(self, name: str) -> None:
        """Remove a PV and disconnect its channels. Raises ValueError if it does not exist."""
        gone = self._site.namespace.remove(name)
        for circuit in list(self._circuits):
            circuit.session.disconnect(gone)

    def refresh_access(self) -> None:
        """Call `may_write` again for every open channel and notify clients whose rights have changed."""
        for circuit in self._circuits:
            circuit.session.refresh_access()

    def stats(self) -> ServerStats:
        return ServerStats(
            len(self._circuits),
            self._dropped,
            max([self._high_water, *(circuit.outbox.high_water for circuit in self._circuits)]),
            len(self._site.namespace),
            self._other_servers.addresses if self._other_servers is not None else (),
        )

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._dies(f"the Channel Access server died: {task.exception()!r}")

    def _lost(self, error: Exception | None) -> None:
        self._dies(f"the Channel Access server lost its search socket: {error}")

    def _dies(self, reason: str) -> None:
        if not self._closing and not self.died.done():
            logger.error("%s", reason)
            self.died.set_result(reason)

    def _admit(self, circuit: Circuit) -> bool:
        """Admit a new client; at the limit, close the oldest without a channel, or else the new one."""
        most = self._site.limits.clients
        if len(self._circuits) >= most:
            idle = next((other for other in self._circuits if not other.session.channels), None)
            self._site.complaints.log(
                "clients",
                f"there are {len(self._circuits)} clients, but at most {most} are served: "
                f"{(idle or circuit).name} is closed",
            )
            if idle is None:
                return False
            del self._circuits[idle]
            idle.drop("made room for another")
        self._circuits[circuit] = None
        return True

    def _leave(self, circuit: Circuit) -> None:
        self._high_water = max(self._high_water, circuit.outbox.high_water)
        self._circuits.pop(circuit, None)
        if not self._circuits:
            self._none_left.set()

    async def _watch(self) -> None:
        """Drop clients that stopped reading, and connections that do not speak Channel Access."""
        limits, complaints = self._site.limits, self._site.complaints
        while True:
            await asyncio.sleep(_WATCH_PERIOD)
            now = time.monotonic()
            for circuit in list(self._circuits):
                name, stalled, age = circuit.name, circuit.stalled_for(), now - circuit.born
                if stalled > limits.stall_seconds:
                    self._dropped += 1
                    complaints.log(f"stalled {name}", f"client {name} read nothing for {stalled:.0f} s: dropped")
                    circuit.drop("took nothing")
                elif not circuit.session.spoken and age > limits.speak_seconds:
                    complaints.log("silent", f"connection {name} closed: it sent nothing for {age:.0f} s")
                    circuit.drop("did not speak")

    async def _watch_interfaces(self, searches: SearchListener, beacons: Beacons) -> None:
        """Check the interfaces regularly: an address may appear or change after the start."""
        while True:
            await asyncio.sleep(self._site.limits.interfaces_seconds)
            with contextlib.suppress(CannotServe):  # another program has the port of the new address: try again
                await searches.refresh()
            beacons.refresh()
