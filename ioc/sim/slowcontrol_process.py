"""Starts, stops and commands the process of the simulated slow controls, always on the same Channel Access port."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict
from typing import Any

from ioc.errors import PeerError, Refused
from ioc.sim.child import Child
from ioc.sim.plan import HOST, ObservablePlan

_MIN_PERIOD = 0.1


def free_port() -> int:
    """A port that is free for UDP and TCP: Channel Access wants both."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind((HOST, 0))
            port: int = udp.getsockname()[1]
            try:
                tcp.bind((HOST, port))
            except OSError:
                continue
            return port


class SlowControls:
    """The IOC with one PV per observable; values change once a second, faster with `speed`, ten times at most."""

    def __init__(self, observables: tuple[ObservablePlan, ...], speed: float) -> None:
        by_pv = {observable.pv: asdict(observable) for observable in reversed(observables)}
        self._first_line = json.dumps({"observables": list(by_pv.values()), "period": max(_MIN_PERIOD, 1.0 / speed)})
        self._child: Child | None = None
        self.port = free_port() if observables else 0

    @property
    def pid(self) -> int:
        """Process id, 0 if it does not run."""
        return self._child.pid if self._child and self._child.running else 0

    async def start(self) -> None:
        """Run the IOC and wait until it serves; without observables there is none."""
        if self.pid:
            raise Refused("the simulated slow controls run already; stop them first")
        if not self.port:
            return
        self._child = await Child.start(
            "simulated slow controls",
            [sys.executable, "-m", "ioc.sim.slowcontrol"],
            environment={
                "EPICS_CA_SERVER_PORT": str(self.port),
                "EPICS_CAS_SERVER_PORT": str(self.port),
                "EPICS_CAS_INTF_ADDR_LIST": HOST,
                "EPICS_CAS_BEACON_ADDR_LIST": HOST,
                "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
                "EPICS_CAS_BEACON_PORT": os.environ.get("EPICS_CA_REPEATER_PORT", "5065"),
                "EPICS_CAS_IGNORE_ADDR_LIST": "",
            },
            first_line=self._first_line,
        )
        await self._child.answer()

    async def stop(self) -> None:
        """End it as a crash does: every client is disconnected."""
        if self._child:
            await self._child.kill()

    async def command(self, pv: str, command: dict[str, Any]) -> dict[str, Any]:
        """Hand a command for one PV (or ``*``) to the IOC and return its answer."""
        if not self._child or not self._child.running:
            raise PeerError("the simulated slow controls do not run; start them first")
        await self._child.send(json.dumps(command | {"pv": pv}))
        return json.loads(await self._child.answer())

    async def close(self) -> None:
        if self._child:
            await self._child.end()
