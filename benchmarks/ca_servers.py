"""The servers that `benchmarks.ca` compares, each with the same PVs.

``B:0`` … ``B:(N-1)`` are DOUBLEs that change RATE times a second, ``B:Put`` is a DOUBLE that may be put. Run with
python -m benchmarks.ca_servers NAME N RATE ; it serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any


async def ticks(rate: float, tick: Callable[[float], Coroutine[Any, Any, None]]) -> None:
    """Call `tick` `rate` times a second for ever, 0 = never."""
    if not rate:
        await asyncio.Event().wait()
    loop = asyncio.get_running_loop()
    due = loop.time()
    number = 0.0
    while True:
        due = max(due + 1 / rate, loop.time())
        await asyncio.sleep(due - loop.time())
        number += 1
        await tick(number)


async def until_stdin_ends(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ours(count: int, rate: float, *, pva: bool = False) -> None:
    from ioc.ca import CaServer, FloatPv  # noqa: PLC0415 - each process loads the server it is

    async def put(_: object, value: float) -> None:
        writable.post(value)

    writable = FloatPv("B:Put", "", on_put=put)
    pvs = [FloatPv(f"B:{number}", "") for number in range(count)]
    server = CaServer([writable, *pvs], may_write=lambda *_: True, journal=lambda _: None)
    await server.start()

    async def tick(number: float) -> None:
        for pv in pvs:
            pv.post(number)

    if pva:
        await asyncio.to_thread(import_module, "ioc.pva")  # as the IOC does
        from ioc.pva import PvaServer  # noqa: PLC0415

        second = PvaServer(server.site)
        await second.start()
    await until_stdin_ends(ticks(rate, tick))
    await server.close()


async def caproto(count: int, rate: float) -> None:
    from caproto import ChannelDouble  # noqa: PLC0415
    from caproto.asyncio.server import start_server  # noqa: PLC0415

    pvs = {f"B:{number}": ChannelDouble(value=0.0) for number in range(count)}
    server = asyncio.create_task(start_server({"B:Put": ChannelDouble(value=0.0), **pvs}))

    async def tick(number: float) -> None:
        for pv in pvs.values():
            await pv.write(number)

    await until_stdin_ends(ticks(rate, tick))
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)


def pythonsoftioc(count: int, rate: float) -> None:
    from softioc import asyncio_dispatcher, builder, softioc  # noqa: PLC0415

    dispatcher = asyncio_dispatcher.AsyncioDispatcher()
    builder.SetDeviceName("B")
    builder.aOut("Put")
    pvs = [builder.aIn(str(number)) for number in range(count)]
    builder.LoadDatabase()
    softioc.iocInit(dispatcher)

    async def tick(number: float) -> None:
        for pv in pvs:
            pv.set(number)

    dispatcher(lambda: ticks(rate, tick))
    sys.stdin.read()


def softioc_database(count: int, rate: float) -> Path:
    """The database for EPICS base's softIoc."""
    scan = {0: "Passive", 1: "1 second", 2: ".5 second", 10: ".1 second"}[int(rate)]
    records = [
        f'record(calc, "B:{number}") {{ field(CALC, "A+1") field(INPA, "B:{number}") field(SCAN, "{scan}") }}'
        for number in range(count)
    ]
    path = Path(tempfile.mkstemp(suffix=".db")[1])
    path.write_text("\n".join(['record(ao, "B:Put") {}', *records]))
    return path


def main() -> None:
    name, count, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if name == "pythonSoftIOC":
        pythonsoftioc(count, rate)
        return
    import uvloop  # noqa: PLC0415

    factory = uvloop.new_event_loop if "+uvloop" in name else None
    serve = partial(ours, pva=True) if name.endswith("+pva") else ours if name.startswith("attpc-ioc") else caproto
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(count, rate))


if __name__ == "__main__":
    main()
