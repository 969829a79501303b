# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The process in which the clients of both protocols run, started by `ObservableFeed`.

It reads pickled lists of sources from standard input and monitors those of the newest list. It ends when its input
ends, and so with the IOC, however that ends. It writes pickled messages to standard output, each a tuple that begins
with its kind: ``readings`` (a list), ``properties`` (name, properties), ``log`` (logger, level, text), ``followed``
when it monitors a list, and ``alive`` every two seconds.

Signals do not end it: systemd sends them to all processes of a service, and the last readings would be lost. It ends
if it cannot check its monitors for 15 s, because more updates arrive than it can handle or the IOC does not read: the
backlog would fill the memory. The IOC then restarts it, and there is a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import pickle
import signal
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import aioca
from epicscorelibs.ca import cadef

from ioc.model import PVA_SCHEME, Reading
from ioc.observables.channel_monitor import ChannelMonitor
from ioc.observables.monitor import Monitor, Source
from ioc.observables.pva_monitor import PvaMonitor

_log = logging.getLogger("ioc.observables")

_CHECK_SECONDS = 2.0
_LATE_SECONDS = 15.0


class Receiver:
    """Monitors sources and sends their readings."""

    def __init__(self, output: BinaryIO, nowhere: TextIO) -> None:
        """`nowhere` is the null device."""
        self._output = output
        self._nowhere = nowhere
        self._monitors: dict[str, Monitor] = {}
        self._ready: list[Reading] = []

    async def run(self, lists: asyncio.Queue[Sequence[Source] | None]) -> None:
        """Monitor the sources of each list until None arrives."""
        while True:
            faulthandler.dump_traceback_later(_LATE_SECONDS, exit=True, file=self._nowhere)  # unless renewed before
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    sources = await lists.get()
            except TimeoutError:
                self.send("alive")
                for monitor in self._monitors.values():
                    monitor.check()
                continue
            if sources is not None:
                await self._follow(sources)
            self._deliver()
            if sources is None:
                break
            self.send("followed")

    async def _follow(self, sources: Sequence[Source]) -> None:
        wanted = {each.name: each for each in sources}
        gone = [name for name, monitor in self._monitors.items() if not monitor.follows(wanted.get(name))]
        await asyncio.gather(*(self._monitors.pop(name).close() for name in gone))
        for name, source in wanted.items():
            if name in self._monitors:
                self._monitors[name].change(source)
            else:
                monitor = PvaMonitor if source.pv.startswith(PVA_SCHEME) else ChannelMonitor
                self._monitors[name] = monitor(source, self._take, partial(self.send, "properties"))

    def _take(self, reading: Reading) -> None:
        """Send the readings of one turn of the event loop together."""
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._ready.append(reading)

    def _deliver(self) -> None:
        readings, self._ready = self._ready, []
        if readings:
            self.send("readings", readings)

    def send(self, *message: Any) -> None:
        """Send a message; blocks while the IOC does not read."""
        with contextlib.suppress(BrokenPipeError):  # the IOC is gone: the input also ends
            self._output.write(pickle.dumps(message))
            self._output.flush()


class _LogSender(logging.Handler):
    """Sends log messages to the IOC, which logs them."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self._receiver = receiver

    def emit(self, record: logging.LogRecord) -> None:
        self._receiver.send("log", record.name, record.levelno, record.getMessage())


async def _main(commands: BinaryIO, output: BinaryIO, nowhere: TextIO) -> None:
    loop = asyncio.get_running_loop()
    receiver = Receiver(output, nowhere)
    logging.basicConfig(level=logging.INFO, handlers=[_LogSender(receiver)])
    lists: asyncio.Queue[Sequence[Source] | None] = asyncio.Queue()

    def read() -> None:
        sources: Sequence[Source] | None = ()
        while sources is not None:
            try:
                sources = pickle.load(commands)  # noqa: S301 - from the IOC itself
            except (EOFError, pickle.UnpicklingError):
                sources = None
            loop.call_soon_threadsafe(lists.put_nowait, sources)

    @cadef.exception_handler
    def log_exception(details: Any) -> None:
        """Log an asynchronous exception of libca in one line; by default libca prints several to stderr."""
        context = (details.ctx or b"").decode(errors="replace")
        loop.call_soon_threadsafe(_log.info, "Channel Access: %s: %s", cadef.ca_message(details.stat), context)

    threading.Thread(target=read, daemon=True).start()
    aioca.get_channel_infos()  # creates the context for the handler
    cadef.ca_add_exception_event(log_exception, None)
    await receiver.run(lists)


def main() -> None:
    """Run until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)  # not ignored: libca's caRepeater would inherit that
    with Path(os.devnull).open("r+") as nowhere:
        commands, messages = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        os.dup2(nowhere.fileno(), 0)  # caRepeater would keep the pipe open
        os.dup2(2, 1)  # output of a library must not mix with the messages
        asyncio.run(_main(commands, messages, nowhere))
        os._exit(0)  # libca's own end waits for servers that hang
