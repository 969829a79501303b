"""A process that follows observables (`following.py`), and what it has told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil

from tests.epics import PATIENCE, Epics

ROOT = Path(__file__).parents[2]


class Follower:
    """The process of `following.py` and what it has told so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told: list[dict[str, Any]] = []
        self.logged = b""
        """What it is expected to print to stderr; nothing else must be there."""

    def receiver(self) -> psutil.Process:
        """The process that receives."""
        (process,) = psutil.Process(self._process.pid).children()
        return process

    def kill(self) -> None:
        self._process.kill()

    def suspend(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fact for fact in self.told if fact.get("name") == name]

    async def until(self, name: str, timeout: float = PATIENCE, **expected: Any) -> dict[str, Any]:
        """Wait until the newest reading of an observable is as expected."""
        async with asyncio.timeout(timeout):
            while True:
                for fact in self.of(name)[-1:]:
                    if all(fact[key] == value for key, value in expected.items()):
                        return fact
                await self.next()

    async def until_counted(self, count: int, timeout: float = PATIENCE) -> None:
        """Wait until so many readings have come, if it only counts them."""
        async with asyncio.timeout(timeout):
            while (await self.next()).get("count", 0) < count:
                pass

    async def next(self) -> dict[str, Any]:
        """The next fact that the process tells."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the process has ended"
        self.told.append(json.loads(line))
        return self.told[-1]

    async def send(self, *observables: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(observables).encode() + b"\n")
        await self._process.stdin.drain()

    async def log_until(self, *names: str, timeout: float = PATIENCE) -> dict[str, str]:
        """Wait until it has logged a line about each of these observables, and return them by name."""
        assert self._process.stderr is not None
        found: dict[str, str] = {}
        async with asyncio.timeout(timeout):
            while set(found) < set(names):
                line = (await self._process.stderr.readline()).decode()
                name = line.removeprefix("observable ").partition(":")[0]
                assert name not in found, f"logged twice: {line}"
                found[name] = line
        return found

    async def end(self) -> None:
        """Let the process end by itself; it must have left no task and logged only what is expected."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            while "tasks" not in await self.next():
                pass
            assert self.told[-1] == {"tasks": []}
            assert self._process.stderr is not None
            assert await self._process.stderr.read() == self.logged
            assert await self._process.wait() == 0


@contextlib.asynccontextmanager
async def follower(epics: Epics, *observables: dict[str, Any], option: str = "") -> AsyncIterator[Follower]:
    """A running follower of these observables."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.observables.following",
        option,
        cwd=ROOT,
        env=epics.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    made = Follower(process)
    try:
        await made.send(*observables)
        yield made
        if process.returncode is None:
            await made.end()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def observable(name: str, pv: str, kind: str = "float", **more: Any) -> dict[str, Any]:
    return {"name": name, "pv": pv, "type": kind, **more}
