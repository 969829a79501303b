"""`Site`: a whole simulated AT-TPC as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Self

from ioc.sim.plan import HOST, MAX_LINE, SimulatorError, SiteAddresses, SitePlan
from ioc.sim.processes import Child

_END_WITHIN = 6.0
"""Seconds; longer than the simulator's time-out for its own children."""


class Site(Child):
    """Async context manager in which the plan's site runs on loopback, at `addresses`.

    The simulator ends with the context, or when this process dies. Its messages go to ``simulator.log`` in the
    plan's directory.
    """

    addresses: SiteAddresses
    """Addresses of all parts; set on entry."""

    def __init__(self, plan: SitePlan) -> None:
        super().__init__("simulator")
        self._plan = plan.to_json()
        self._log_path = Path(plan.directory) / "simulator.log"

    async def __aenter__(self) -> Self:
        """Start the simulator and wait until all of it is ready.

        Raises:
            SimulatorError: it could not start; the message ends with the last line that it logged.
        """
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        command = (sys.executable, "-m", "ioc.sim")
        try:
            addresses = await self.launch(*command, first_line=self._plan, log_path=self._log_path)
        except SimulatorError as error:
            log = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
            raise SimulatorError(f"{error}: {log[-1] if log else 'nothing logged'}") from None
        self.addresses = SiteAddresses.from_json(addresses)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close(_END_WITHIN)

    async def control(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send one command of ``docs/simulator.md`` to the simulator and return its answer.

        Raises:
            SimulatorError: the simulator does not answer or cannot carry it out.
        """
        answer = await send_command(self.addresses.control_port, command)
        if not answer.get("ok"):
            raise SimulatorError(f"the simulator did not do {command}: {answer.get('error')}")
        return answer


async def send_command(port: int, command: dict[str, Any]) -> dict[str, Any]:
    """Send one command to the control port of a running simulator and return its answer.

    Raises:
        SimulatorError: nothing answers there.
    """
    try:
        reader, writer = await asyncio.open_connection(HOST, port, limit=MAX_LINE)
        try:
            writer.write(json.dumps(command).encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
            with contextlib.suppress(OSError):  # there may be an answer all the same
                await writer.wait_closed()
    except OSError as error:
        raise SimulatorError(f"control port {port} of the simulator does not answer: {error}") from None
    if not line:
        raise SimulatorError(f"control port {port} of the simulator closed the connection")
    return json.loads(line)
