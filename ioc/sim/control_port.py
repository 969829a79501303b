"""The control port of a simulated site: one JSON object a line in, one a line out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from ioc.errors import AttpcError, PeerError
from ioc.sim.plan import HOST

Command = dict[str, Any]


class ControlPort:
    """Listens on a free port and hands one line after the other to `run`."""

    def __init__(self, run: Callable[[Command], Awaitable[Command]]) -> None:
        self._run = run
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> int:
        """Listen; returns the port."""
        self._listener = await asyncio.start_server(self._accept, HOST, 0)
        return self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection and stop listening."""
        if self._listener:
            self._listener.close()
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # the client went away, or sent a line beyond all bounds
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Command:
        try:
            async with self._one_at_a_time:
                return await self._run(json.loads(line))
        except (AttpcError, OSError, ValueError, TypeError, AttributeError) as error:
            return {"ok": False, "error": str(error)}


async def send_command(port: int, command: Command) -> Command:
    """Send one command to the control port of a running simulator and return its answer.

    Raises:
        PeerError: nothing answers there.
    """
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(json.dumps(command).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        finally:
            writer.close()
            await writer.wait_closed()
    except OSError as error:
        raise PeerError(f"control port {port} of the simulator does not answer: {error}") from None
    if not line:
        raise PeerError(f"control port {port} of the simulator closed the connection")
    return json.loads(line)
