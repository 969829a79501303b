"""A server in a process of its own: python -m tests.ca.served LIMITS NAME…

LIMITS is JSON, like {"vanish_seconds": 2}. Each PV is a LONG that counts ten times a second. Prints the log, and a line
``clients N`` whenever their number changes. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import uvloop

from ioc.ca import CaServer, IntPv, Limits


async def main() -> None:
    pvs = [IntPv(name, "") for name in sys.argv[2:]]
    limits = Limits(**json.loads(sys.argv[1]))
    server = CaServer(pvs, may_write=lambda *_: True, journal=lambda _: None, limits=limits)
    await server.start()
    print("port is", server.port, flush=True)
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    clients = 0
    while not ended.done():
        for pv in pvs:
            pv.post(pv.value + 1)
        if (now := server.stats().clients) != clients:
            clients = now
            print("clients", clients, flush=True)
        await asyncio.sleep(0.1)
    await server.close()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    uvloop.run(main())
