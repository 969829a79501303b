"""A process that subscribes to counters and prints of how many callbacks libca's thread remembered nothing."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import aioca

from ioc.observables.inbox import Receiver
from ioc.observables.layout import layout_of
from ioc.observables.monitor import Monitor
from tests.epics import eventually


class Memory:
    """In place of the inbox: notes on libca's thread whether that remembers the callback before."""

    def __init__(self) -> None:
        self.callbacks = 0
        self.without = 0
        self._thread = threading.local()

    def put(self, receiver: Receiver, update: bytes | None) -> None:
        self.callbacks += 1
        self.without += not hasattr(self._thread, "called")
        self._thread.called = True


async def main(pvs: list[str], callbacks: int) -> None:
    memory: Any = Memory()
    channels = [aioca.camonitor(pv, lambda _: None, events=aioca.DBE_PROPERTY, count=1) for pv in pvs]
    infos = await aioca.cainfo(pvs)
    monitors = [
        Monitor(channel.channel, layout_of(info.datatype, text=False), memory, lambda _: None)
        for channel, info in zip(channels, infos, strict=True)
    ]
    await eventually(lambda: memory.callbacks >= callbacks, timeout=20)
    for monitor in monitors:
        monitor.close()
    print(memory.callbacks, memory.without)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[2:], int(sys.argv[1])))
