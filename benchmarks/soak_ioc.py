"""The IOC of the soak: what `attpc-ioc run` runs, and it tells what lives in its process.

    python -m benchmarks.soak_ioc PORT TOPOLOGY

A connection to PORT is answered by a line of JSON (`alive`).
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import sys
from pathlib import Path

import uvloop

from ioc.app.heap import bound_heap
from ioc.app.journal import set_up_stderr
from ioc.app.serve import serve
from ioc.topology.load import load

_OTHERS = ("arena", "ordblks", "smblks", "hblks", "usmblks", "fsmblks", "fordblks", "keepcost")


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (*_OTHERS[:4], "hblkhd", *_OTHERS[4:6], "uordblks", *_OTHERS[6:])]


def _c_heap() -> tuple[float, float]:
    """MB that C libraries and large Python objects use now, and MB that are free in it; 0 if unknown."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:  # not glibc, or an old one
        return 0.0, 0.0
    mallinfo2.restype = _Mallinfo
    of = mallinfo2()
    return (of.uordblks + of.hblkhd) / 2**20, of.fordblks / 2**20


def alive() -> dict[str, float]:
    """Numbers of objects, blocks of memory, and tasks."""
    gc.collect()
    used, free = _c_heap()
    return {
        "objects": len(gc.get_objects()) + gc.get_freeze_count(),
        "blocks of Python's memory": sys.getallocatedblocks(),
        "C heap in use, MB": used,
        "free in it, MB": free,
        "tasks": len(asyncio.all_tasks()),
    }


async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(json.dumps(alive()).encode() + b"\n")
    await writer.drain()
    writer.close()


async def main(port: int, topology: Path) -> None:
    """Run the IOC until it is stopped."""
    server = await asyncio.start_server(_answer, "127.0.0.1", port)
    async with server:
        await serve(load(topology), lambda: load(topology))


if __name__ == "__main__":
    set_up_stderr("info")
    bound_heap()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), Path(sys.argv[2])))
