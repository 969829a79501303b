"""All observables that come from other IOCs; the program's only Channel Access client."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

from ioc.model import Reading
from ioc.observables.channel_monitor import ChannelMonitor
from ioc.observables.context import addresses_appeared, open_client
from ioc.observables.reading import PropertiesListener
from ioc.ports import ReadingsListener
from ioc.topology.schema import Observable

_log = logging.getLogger(__name__)

_CHECK_SECONDS = 2.0
_JOIN_SECONDS = 1.0


class ObservableFeed:
    """Follows the PVs of the observables and delivers their readings, in a thread of its own.

    A source that goes away is delivered as a reading without value, once; its next reading tells that it is back.
    Observables without a PV are ignored. The public methods belong to the main event loop, everything else to that of
    the thread.
    """

    def __init__(self) -> None:
        self._aioca: Any = None
        self._deliver: ReadingsListener = lambda readings: None
        self._tell_properties: PropertiesListener = lambda name, properties: None
        self._monitors: dict[str, ChannelMonitor] = {}
        self._ready: list[Reading] = []
        self._changing = asyncio.Lock()
        self._checker: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="observables", daemon=True)

    @property
    def received(self) -> int:
        """Updates from the PVs that are followed now."""
        return sum(each.received for each in list(self._monitors.values()))

    async def start(
        self, observables: Sequence[Observable], deliver: ReadingsListener, tell_properties: PropertiesListener
    ) -> None:
        """Begin to follow; `tell_properties` gets an observable's name and its source's units when they are known.

        Both are called in the feed's thread.
        """
        self._deliver, self._tell_properties = deliver, tell_properties
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        await self._in_thread(self._start(observables))

    async def update(self, observables: Sequence[Observable]) -> None:
        """Follow these from now on; one whose PV and type have not changed is not interrupted."""
        await self._in_thread(self._update(observables))

    async def close(self) -> None:
        """End all subscriptions, channels and the thread; nothing is delivered when this has returned."""
        if self._loop is not None:
            await self._in_thread(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_JOIN_SECONDS)
            self._loop = None

    async def _in_thread(self, coroutine: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None, "the feed must be started first"
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def _serve(self) -> None:
        assert self._loop is not None
        loop = self._loop
        try:
            loop.run_forever()
        finally:
            loop.close()

    async def _start(self, observables: Sequence[Observable]) -> None:
        self._aioca = open_client()
        await self._update(observables)
        self._checker = asyncio.create_task(self._check(), name="observables check")

    async def _update(self, observables: Sequence[Observable]) -> None:
        async with self._changing:
            wanted = {each.name: each for each in observables if each.pv is not None}
            gone = [name for name, monitor in self._monitors.items() if not monitor.follows(wanted.get(name))]
            await asyncio.gather(*(self._monitors.pop(name).close() for name in gone))
            for name, observable in wanted.items():
                if name in self._monitors:
                    self._monitors[name].change(observable)
                else:
                    self._follow(observable)

    def _follow(self, observable: Observable) -> None:
        monitor = ChannelMonitor(self._aioca, observable, self._pass_on, self._tell_properties)
        self._monitors[observable.name] = monitor

    async def _end(self) -> None:
        if self._checker is not None:
            self._checker.cancel()
            await asyncio.gather(self._checker, return_exceptions=True)
        await self._close_channels()
        self._monitors.clear()
        self._deliver_ready()

    async def _close_channels(self) -> None:
        await asyncio.gather(*(monitor.close() for monitor in self._monitors.values()))
        self._aioca.purge_channel_caches()

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            async with self._changing:
                for monitor in self._monitors.values():
                    monitor.check()
                # Those that are connected are interrupted only for one that may be found now.
                if not all(monitor.connected for monitor in self._monitors.values()) and addresses_appeared():
                    await self._search_again()

    async def _search_again(self) -> None:
        """Search from the addresses that this machine has now."""
        _log.info("this machine has a new address: observables are searched again")
        for monitor in self._monitors.values():
            monitor.went_away()
        await self._close_channels()
        self._aioca = open_client()
        for monitor in tuple(self._monitors.values()):
            self._follow(monitor.observable)

    def _pass_on(self, reading: Reading) -> None:
        """Deliver together what comes in one turn of the loop."""
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._deliver_ready)
        self._ready.append(reading)

    def _deliver_ready(self) -> None:
        readings, self._ready = self._ready, []
        if readings:
            self._deliver(readings)
