"""``python -m ioc.sim``: a plan on the first line of stdin, the addresses on stdout, until stdin ends or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

from ioc.errors import AttpcError
from ioc.sim.commands import Commands
from ioc.sim.control_port import ControlPort
from ioc.sim.plan import SitePlan
from ioc.sim.simulation import Simulation

_MAX_PLAN = 1 << 20


async def serve() -> None:
    """Simulate what the plan says until nobody wants it any more."""
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=_MAX_PLAN)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    unwanted = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, unwanted.set)
    plan = SitePlan.from_json((await stdin.readline()).decode(errors="replace"))
    end_of_stdin = loop.create_task(_end_of(stdin, unwanted))
    simulation = Simulation(plan)
    control = ControlPort(Commands(simulation).run)
    try:
        await simulation.start()
        addresses = simulation.addresses(await control.start())
        print(addresses.to_json(), flush=True)
        await unwanted.wait()
    finally:
        end_of_stdin.cancel()
        await control.close()
        await simulation.close()


async def _end_of(stdin: asyncio.StreamReader, unwanted: asyncio.Event) -> None:
    while await stdin.read(_MAX_PLAN):
        pass
    unwanted.set()


def main() -> int:
    """Run the simulator; exit code 2 for a wrong plan, 1 for other failures, with one line on stderr."""
    try:
        asyncio.run(serve())
    except (AttpcError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    except ExceptionGroup as errors:
        for error in errors.exceptions:
            print(f"simulator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
