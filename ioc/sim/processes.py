"""Child processes: the whole simulator (for `Site`), and in it the data routers and the IOC of the slow controls.

A child reads commands from stdin and answers on stdout, one per line, and must end when its stdin closes, so none is
left behind, however its parent ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ioc.sim.plan import HOST, MAX_LINE, ObservablePlan, RouterAddress, RouterPlan, SimulatorError
from ioc.sim.ports import free_port

_ANSWER_WITHIN = 60.0
_START_WITHIN = 120.0
"""Three hundred routers take 15 s to start on an idle machine; a child that ends is noticed at once."""
_ROUTER_SCRIPT = Path(__file__).with_name("datarouter.py")
_MIN_PERIOD = 0.1


class Child:
    """A process that can be started, killed and restarted; its owner must `close` or `kill` it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Process id, 0 if it is not running."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    async def launch(
        self,
        *arguments: str,
        first_line: str = "",
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        log_path: Path | None = None,
    ) -> str:
        """Start it with `first_line` on its stdin; return the first line on its stdout, which reports that it is ready.

        Its stderr is appended to `log_path`, or inherited. It has its own session, so Ctrl-C does not reach it.

        Raises:
            SimulatorError: it runs already, has ended, or did not answer in time.
        """
        if self.pid:
            raise SimulatorError(f"{self._name} runs already; stop it first")
        with log_path.open("ab") if log_path else contextlib.nullcontext() as log:
            self._process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=MAX_LINE,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        return await self.ask(first_line, _START_WITHIN)

    async def ask(self, line: str, within: float = _ANSWER_WITHIN) -> str:
        """Write one line to its stdin, unless empty, and return the next line on its stdout.

        Raises:
            SimulatorError: it is not running, has ended, or did not answer in time; in the last case it is killed.
        """
        answer = b""
        if self._process and self._process.stdin and self._process.stdout:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(within):
                    if line:
                        self._process.stdin.write(line.encode() + b"\n")
                        await self._process.stdin.drain()
                    answer = await self._process.stdout.readline()
        if not answer:
            await self.kill()
            raise SimulatorError(f"{self._name} is not running, or did not answer within {within:g} s")
        return answer.decode().strip()

    async def close(self, within: float = 2.0) -> None:
        """Close its stdin and wait until it has ended; kill it if that takes longer than `within` seconds."""
        if self._process:
            try:
                async with asyncio.timeout(within):
                    await self._process.communicate(b"")
            except TimeoutError:
                await self.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process and self.pid:
            self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process:
            if self.pid:
                self._process.kill()
            await self._process.communicate(b"")


def link_interpreter(directory: Path) -> Path:
    """Make ``dataRouter``, a link to this Python: ps and lsof show a process under the name used to start it."""
    target = Path(sys.executable).resolve()
    link = directory / "dataRouter"
    directory.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return link


class RouterProcess(Child):
    """One simulated data router: a process with the real name ``dataRouter``, always on the same ports."""

    def __init__(self, plan: RouterPlan, directory: Path, interpreter: Path, file_size: int, disk_budget: int) -> None:
        super().__init__(f"simulated router {plan.name}")
        self._plan = plan
        self._interpreter = interpreter
        self._limits = (str(file_size), str(disk_budget))
        self._directory = directory
        self._work_dir = directory / "data"
        self._log_path = directory / "dataRouter.log"
        self._ports = free_port(), free_port()

    @property
    def address(self) -> RouterAddress:
        control, data = self._ports
        return RouterAddress(data, str(self._work_dir), str(self._log_path), control)

    async def start(self, directory: str = "data") -> None:
        """Run the process in this directory below its own and wait until it listens."""
        if "/" in directory or directory in {"", ".", ".."}:
            raise SimulatorError(f"directory of {self._name} is {directory!r}, but must be one name")
        self._work_dir = self._directory / directory
        self._work_dir.mkdir(parents=True, exist_ok=True)
        control, data = (f"{self._plan.host}:{port}" for port in self._ports)
        script = (str(self._interpreter), "-I", "-S", str(_ROUTER_SCRIPT))
        flow = (control, data, self._plan.type, "FrameStorage")
        ports = await self.launch(*script, *flow, str(self._log_path), *self._limits, directory=self._work_dir)
        control, data = ports.split()
        self._ports = int(control), int(data)

    def write_stray_file(self, name: str, size: int) -> None:
        """Put a .graw file that belongs to no run into the working directory."""
        if "/" in name or not name.endswith(".graw"):
            raise SimulatorError(f"name of a stray file is {name!r}, but must end with .graw and have no '/'")
        (self._work_dir / name).write_bytes(bytes(size))


class SlowControls(Child):
    """The IOC with one PV per observable, always on the same Channel Access port.

    Values change once a second, with `speed` that much more often, but ten times a second at most.
    """

    def __init__(self, observables: tuple[ObservablePlan, ...], speed: float) -> None:
        super().__init__("simulated slow-control IOC")
        by_pv = {observable.pv: asdict(observable) for observable in reversed(observables)}
        self._first_line = json.dumps({"observables": list(by_pv.values()), "period": max(_MIN_PERIOD, 1.0 / speed)})
        self.port = free_port() if observables else 0

    async def start(self) -> None:
        """Run the IOC and wait until it is ready; without observables, none is started."""
        if self.port:
            await self.launch(
                *(sys.executable, "-m", "ioc.sim.slowcontrol"),
                first_line=self._first_line,
                environment={
                    "EPICS_CA_SERVER_PORT": str(self.port),
                    "EPICS_CAS_SERVER_PORT": str(self.port),
                    "EPICS_CAS_INTF_ADDR_LIST": HOST,
                    "EPICS_CAS_BEACON_ADDR_LIST": HOST,
                    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
                    "EPICS_CAS_BEACON_PORT": os.environ.get("EPICS_CA_REPEATER_PORT", "5065"),
                    "EPICS_CAS_IGNORE_ADDR_LIST": "",
                },
            )

    async def command(self, pv: str, command: Mapping[str, Any]) -> dict[str, Any]:
        """Pass a command for one PV (or ``*``) to the IOC and return its answer."""
        return json.loads(await self.ask(json.dumps({**command, "pv": pv})))
