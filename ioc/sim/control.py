"""The control port of a running simulator: one JSON object per line in each direction.

From the shell: ``python -m ioc.sim.control PORT '{"ecc": "CoBo0", "do": "kill"}'``; ``docs/simulator.md`` lists the
commands.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from ioc.sim.plan import HOST, SimulatorError
from ioc.sim.site import send_command


async def serve_control(run: Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]) -> asyncio.Server:
    """Listen on a free port and pass the commands of all clients to `run`, one after the other."""
    one_at_a_time = asyncio.Lock()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):  # the client disconnected, or sent an endless line
            while line := await reader.readline():
                try:
                    async with one_at_a_time:
                        answer = await run(json.loads(line))
                except (SimulatorError, OSError, ValueError, TypeError, AttributeError) as error:
                    answer = {"ok": False, "error": str(error)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, HOST, 0)


def main() -> int:
    """Send the command on the command line; exit code 0 if it was carried out."""
    parser = argparse.ArgumentParser(
        prog="python -m ioc.sim.control", description="Send a command to a running simulator and print its answer."
    )
    parser.add_argument("port", type=int, help="control port of the simulator, as the demo shows it")
    parser.add_argument("command", type=json.loads, help='for example \'{"ecc": "CoBo0", "do": "kill"}\'')
    arguments = parser.parse_args()
    try:
        answer = asyncio.run(send_command(arguments.port, arguments.command))
    except (SimulatorError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0 if answer["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
