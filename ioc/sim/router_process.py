"""One simulated data router: a process really named ``dataRouter``, standing in its own working directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ioc.errors import Refused
from ioc.sim.child import Child
from ioc.sim.plan import RouterAddress, RouterPlan

_SCRIPT = Path(__file__).with_name("datarouter.py")


def link_interpreter(directory: Path) -> Path:
    """Make ``dataRouter``, a link to this Python: ps and lsof show a process by the name that it was run by."""
    target = Path(sys.executable).resolve()
    link = directory / "dataRouter"
    directory.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return link


class RouterProcess:
    """Starts, kills and restarts one router on the same ports."""

    def __init__(self, plan: RouterPlan, directory: Path, interpreter: Path, file_size: int, disk_budget: int) -> None:
        self._plan = plan
        self._interpreter = interpreter
        self._file_size = file_size
        self._disk_budget = disk_budget
        self._directory = directory
        self._work_dir = directory / "data"
        self._log_path = directory / "dataRouter.log"
        self._control_port = 0
        self._port = 0
        self._child: Child | None = None

    @property
    def address(self) -> RouterAddress:
        return RouterAddress(self._port, os.fspath(self._work_dir), os.fspath(self._log_path), self._control_port)

    @property
    def pid(self) -> int:
        """Process id, 0 if it does not run."""
        return self._child.pid if self._child and self._child.running else 0

    async def start(self, directory: str = "data") -> None:
        """Run the process in this directory below its own and wait until it listens."""
        if self.pid:
            raise Refused(f"simulated router {self._plan.name} runs already; kill it first")
        if "/" in directory or directory in {"", ".", ".."}:
            raise Refused(f"directory of simulated router {self._plan.name} is {directory!r}, but must be one name")
        self._work_dir = self._directory / directory
        self._work_dir.mkdir(parents=True, exist_ok=True)
        host = self._plan.host
        self._child = await Child.start(
            f"simulated router {self._plan.name}",
            [
                os.fspath(self._interpreter),
                *("-I", "-S", os.fspath(_SCRIPT)),
                *(f"{host}:{self._control_port}", f"{host}:{self._port}", self._plan.type, "FrameStorage"),
                *(os.fspath(self._log_path), str(self._file_size), str(self._disk_budget)),
            ],
            directory=self._work_dir,
        )
        self._control_port, self._port = map(int, (await self._child.answer()).split())

    async def kill(self) -> None:
        """End it as kill -9 does."""
        if self._child:
            await self._child.kill()

    async def command(self, command: str) -> None:
        """Let it obey one of the script's commands; returns when it has."""
        if not self._child or not self.pid:
            raise Refused(f"simulated router {self._plan.name} does not run; restart it first")
        await self._child.send(command)
        await self._child.answer()

    def write_stray_file(self, name: str, size: int) -> None:
        """Put a .graw file into the working directory that belongs to no run."""
        if "/" in name or not name.endswith(".graw"):
            raise Refused(f"name of a stray file is {name!r}, but must end with .graw and have no '/'")
        (self._work_dir / name).write_bytes(bytes(size))

    async def close(self) -> None:
        if self._child:
            await self._child.end()
