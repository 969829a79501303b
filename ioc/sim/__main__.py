"""``python -m ioc.sim``: a plan on the first line of stdin, the addresses on stdout, until stdin ends or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial

from ioc.sim.control import serve_control
from ioc.sim.faults import run_command
from ioc.sim.plan import MAX_LINE, SimulatorError, SitePlan
from ioc.sim.simulation import Simulation


async def serve() -> None:
    """Run the simulation of the plan until stdin ends or a signal arrives."""
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    signalled = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: signalled.done() or signalled.set_result(None))
    simulation = Simulation(SitePlan.from_json((await stdin.readline()).decode(errors="replace")))
    try:
        await simulation.start()
        control = await serve_control(partial(run_command, simulation))
        print(simulation.addresses(control.sockets[0].getsockname()[1]).to_json(), flush=True)
        end_of_stdin = loop.create_task(stdin.read())
        await asyncio.wait([end_of_stdin, signalled], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await simulation.close()


def main() -> int:
    """Run the simulator; exit code 2 for an invalid plan, 1 for other failures, with one line on stderr."""
    try:
        asyncio.run(serve())
    except (SimulatorError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    except ExceptionGroup as errors:
        for error in errors.exceptions:
            print(f"simulator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
