"""The Channel Access server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from ioc.ca.beacons import Beacons
from ioc.ca.circuit import Circuit
from ioc.ca.clients import Clients
from ioc.ca.ears import Ears
from ioc.ca.environment import ANY, Environment
from ioc.ca.errors import CannotServe
from ioc.ca.interfaces import own_addresses
from ioc.ca.journal import Journal, PutRecord
from ioc.ca.limits import Complaints, Limits
from ioc.ca.namespace import Namespace
from ioc.ca.puts import Puts
from ioc.ca.pv import Pv
from ioc.ca.rivals import Rivals
from ioc.ca.site import MayWrite, Site
from ioc.ca.sockets import listening_sockets

logger = logging.getLogger("ioc.ca")


@dataclass(frozen=True)
class ServerStats:
    """Numbers for the health PVs."""

    clients: int
    """Circuits that are open now."""
    dropped_clients: int
    """Clients dropped so far because they took nothing of what waited for them."""
    queue_high_water: int
    """The most answers and updates that ever waited for one client."""
    pvs: int
    rivals: tuple[str, ...] = ()
    """Addresses of other servers that have PVs of the same names."""


class CaServer:
    """Serves PVs by Channel Access until it is closed; ports and interfaces come from the EPICS environment.

    `may_write` is asked with PV name, address of the client's connection and the user name the client says. `journal`
    gets every put to a writable PV, bursts merged; both are called on the event loop and must not block or raise.
    """

    def __init__(
        self,
        pvs: Iterable[Pv[Any]],
        *,
        may_write: MayWrite,
        journal: Callable[[PutRecord], None],
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        complaints = Complaints()
        self._journal = Journal(journal)
        self._site = Site(Namespace(pvs), Puts(self._journal), may_write, limits, complaints)
        self._clients = Clients(limits, complaints)
        self._servers: list[asyncio.Server] = []
        self._ears: Ears | None = None
        self._rivals: Rivals | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._beacons: Beacons | None = None
        self._died: asyncio.Future[str] | None = None
        self._closing = False

    @property
    def port(self) -> int:
        """TCP port in use; 0 before `start`."""
        return self._site.port

    @property
    def died(self) -> asyncio.Future[str]:
        """Done, with the reason, if the server ends without being asked to."""
        if self._died is None:
            self._died = asyncio.get_running_loop().create_future()
        return self._died

    async def start(self) -> None:
        """Open the sockets; the PVs can be reached when this returns.

        Raises:
            CannotServe: a port is in use or an environment variable makes no sense.
        """
        environment = Environment.read()
        try:
            await self._open(environment)
        except BaseException:
            await self.close()
            raise

    async def _open(self, environment: Environment) -> None:
        loop = asyncio.get_running_loop()
        sockets, self._site.port = listening_sockets(environment.interfaces, environment.port)
        if self._site.port != environment.port:
            logger.warning(
                "TCP port %d is taken by another server, this one listens on %d: if that serves the same PVs, end one",
                environment.port,
                self._site.port,
            )
        for sock in sockets:
            server = await loop.create_server(self._circuit, sock=sock, backlog=512)
            self._servers.append(server)
        self._ears = ears = Ears(self._site, environment, self._lost)
        await ears.refresh()
        self._beacons = beacons = Beacons(
            self._site.port, environment.beacons, environment.beacon_period, self._site.complaints
        )
        self._own(beacons.run())
        self._own(self._clients.watch())
        self._own(self._watch_interfaces(environment, ears, beacons))
        self._rivals = rivals = Rivals(self._site, environment)
        self._own(rivals.run())
        _warn_of_absent(environment)
        logger.info(
            "serving %d PVs on %s, TCP port %d, UDP port %d",
            len(self._site.namespace),
            ", ".join(environment.interfaces),
            self._site.port,
            environment.port,
        )

    async def _watch_interfaces(self, environment: Environment, ears: Ears, beacons: Beacons) -> None:
        """Look at the interfaces again now and then: one may get its address, or another, after the start."""
        while True:
            await asyncio.sleep(self._site.limits.interfaces_seconds)
            with contextlib.suppress(CannotServe):  # another program has the port of the new address: try again
                await ears.refresh()
            if (addresses := environment.beacons) != beacons.addresses:
                logger.info("beacons go to %s now", ", ".join(beacon.host for beacon in addresses) or "nobody")
                beacons.addresses = addresses
                beacons.restart()

    def _circuit(self) -> Circuit:
        return Circuit(self._site, self._clients.admit, self._clients.leave)

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

    async def close(self) -> None:
        """End all work and connections."""
        self._closing = True
        for server in self._servers:
            server.close()
        if self._ears is not None:
            self._ears.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._site.puts.close()
        await self._clients.close()
        for server in self._servers:
            await server.wait_closed()
        self._journal.close()

    def add(self, pv: Pv[Any]) -> None:
        """Serve one more PV. Raises ValueError if the name is taken or cannot be a PV's."""
        self._site.namespace.add(pv)
        if self._beacons is not None:
            self._beacons.restart()

    def remove(self, name: str) -> None:
        """Serve a PV no longer; its channels are disconnected. Raises ValueError if there is none of that name."""
        self._clients.disconnect(self._site.namespace.remove(name))

    def refresh_access(self) -> None:
        """Ask `may_write` again for every open channel and tell the clients what has changed."""
        for circuit in self._clients:
            circuit.refresh_access()

    def stats(self) -> ServerStats:
        return ServerStats(
            len(self._clients),
            self._clients.dropped,
            self._clients.high_water,
            len(self._site.namespace),
            self._rivals.addresses if self._rivals is not None else (),
        )


def _warn_of_absent(environment: Environment) -> None:
    mine = own_addresses()
    for address in environment.interfaces:
        if address != ANY and not address.startswith("127.") and address not in mine:
            logger.warning("no interface has the address %s yet: clients reach the server when one has", address)
