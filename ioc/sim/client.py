"""`Site`: a whole simulated AT-TPC as a child process of this one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ioc.errors import PeerError
from ioc.sim.child import Child
from ioc.sim.control_port import send_command
from ioc.sim.plan import SiteAddresses, SitePlan

_END_WITHIN = 6.0
"""Seconds; longer than the simulator gives its own children."""


class Site:
    """Async context manager: inside it the plan's site runs on loopback, at `addresses`.

    The simulator ends with the context, and also when this process dies. What it says goes to ``simulator.log`` in the
    plan's directory.
    """

    addresses: SiteAddresses
    """Where everything is; set on entry."""

    def __init__(self, plan: SitePlan) -> None:
        plan.check()
        self._plan = plan
        self._log_path = Path(plan.directory) / "simulator.log"
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        """Start the simulator and wait until all of it is ready.

        Raises:
            PeerError: it could not start; the message ends with its own last word.
        """
        self._child = await Child.start(
            "simulator", [sys.executable, "-m", "ioc.sim"], first_line=self._plan.to_json(), log_path=self._log_path
        )
        try:
            self.addresses = SiteAddresses.from_json(await self._child.answer())
        except PeerError as error:
            raise PeerError(f"{error}: {self._last_word()}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._child:
            await self._child.end(_END_WITHIN)

    def _last_word(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]

    async def control(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send one command of ``docs/simulator.md`` to the simulator and return its answer.

        Raises:
            PeerError: the simulator does not answer or could not do it.
        """
        answer = await send_command(self.addresses.control_port, command)
        if not answer.get("ok"):
            raise PeerError(f"the simulator did not do {command}: {answer.get('error')}")
        return answer
