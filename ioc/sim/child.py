"""A child process of the simulator, ended with it: the child must end by itself when its stdin does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ioc.errors import PeerError

_ANSWER_WITHIN = 15.0


class Child:
    """One running child process, which talks in lines; whoever started it must `end` or `kill` it."""

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
    ) -> None:
        self._name = name
        self._process = process
        self._stdin = stdin
        self._stdout = stdout

    @classmethod
    async def start(
        cls,
        name: str,
        arguments: Sequence[str],
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        log_path: Path | None = None,
        first_line: str = "",
    ) -> Child:
        """Start a process in a session of its own, so that a Ctrl-C in the terminal is left to us.

        `first_line` is written to its stdin; stderr is appended to `log_path`, or shared with us.
        """
        log = log_path.open("ab") if log_path else None
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        finally:
            if log:
                log.close()
        if process.stdin is None or process.stdout is None:
            raise PeerError(f"{name} was started without pipes")
        child = cls(name, process, process.stdin, process.stdout)
        if first_line:
            await child.send(first_line)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def answer(self) -> str:
        """Wait for the next line on its stdout; the first says that it is ready.

        Raises:
            PeerError: it ended, or said nothing in time; it is killed then.
        """
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                line = await self._stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            await self.kill()
            raise PeerError(f"{self._name} (process {self.pid}) ended, or did not answer within {_ANSWER_WITHIN:g} s")
        return line.decode().strip()

    async def send(self, line: str) -> None:
        """Write one line to its stdin.

        Raises:
            PeerError: it is dead.
        """
        try:
            self._stdin.write(line.encode() + b"\n")
            await self._stdin.drain()
        except OSError:
            raise PeerError(f"{self._name} (process {self.pid}) does not run any more") from None

    async def end(self, within: float = 2.0) -> None:
        """Close its stdin and wait until it has ended; kill it if that takes longer than `within` seconds."""
        self._stdin.close()
        try:
            async with asyncio.timeout(within):
                await self._gone()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it at once, without a chance to clean up."""
        if self.running:
            self._process.kill()
        self._stdin.close()
        await self._gone()

    async def _gone(self) -> None:
        # asyncio says that a process has ended only after its stdout was read to the end
        await self._stdout.read()
        await self._process.wait()
