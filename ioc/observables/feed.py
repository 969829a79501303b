"""All observables that come from other IOCs; the program's only Channel Access client."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from ioc.model import Reading
from ioc.observables.channel_monitor import ChannelMonitor
from ioc.observables.context import addresses_appeared, open_client
from ioc.observables.properties import PropertiesListener
from ioc.ports import ReadingsListener
from ioc.topology.schema import Observable

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_CHECK_SECONDS = 2.0
_JOIN_SECONDS = 1.0


class ObservableFeed:
    """Follows the PVs of the observables and delivers their readings, in a thread of its own.

    A source that goes away is delivered as a reading without value, once; its next reading tells that it is back.
    Observables without a PV are ignored. The methods belong to the main event loop.
    """

    def __init__(self) -> None:
        self._client: _ClientThread | None = None
        self._listeners: tuple[ReadingsListener, PropertiesListener] | None = None
        self._checker: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    @property
    def received(self) -> int:
        """Updates from the PVs that are followed now, since each was first followed."""
        return 0 if self._client is None else self._client.received

    async def start(
        self, observables: Sequence[Observable], deliver: ReadingsListener, tell_properties: PropertiesListener
    ) -> None:
        """Begin to follow; `tell_properties` gets an observable's name and its source's units when they are known.

        Both are called in the client's thread.
        """
        self._listeners = (deliver, tell_properties)
        self._client = await _ClientThread.started(*self._listeners)
        await self.update(observables)
        self._checker = asyncio.create_task(self._check(), name="observables check")

    async def update(self, observables: Sequence[Observable]) -> None:
        """Follow these from now on; one whose PV and type have not changed is not interrupted."""
        if self._client is None:
            raise RuntimeError("the feed must be started before it is updated")
        async with self._changing:
            await self._client.follow(observables)

    async def close(self) -> None:
        """End all subscriptions, channels and the thread; nothing is delivered when this has returned."""
        if self._checker is not None:
            self._checker.cancel()
            await asyncio.gather(self._checker, return_exceptions=True)
            self._checker = None
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            async with self._changing:
                assert self._client is not None
                # Those that are connected are interrupted only for one that may be found now.
                if not await self._client.check() and addresses_appeared():
                    await self._search_again()

    async def _search_again(self) -> None:
        """Search from the addresses that this machine has now."""
        assert self._client is not None
        assert self._listeners is not None
        _log.info("this machine has a new address: observables are searched again")
        observables = self._client.observables
        await self._client.close(lost=True)
        self._client = await _ClientThread.started(*self._listeners)
        await self._client.follow(observables)


class _ClientThread:
    """A thread with an event loop in which aioca runs; the coroutines below run there."""

    def __init__(self, deliver: ReadingsListener, tell_properties: PropertiesListener) -> None:
        self._deliver = deliver
        self._tell_properties = tell_properties
        self._aioca: Any = None
        self._monitors: dict[str, ChannelMonitor] = {}
        self._ready: list[Reading] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="observables", daemon=True)

    @classmethod
    async def started(cls, deliver: ReadingsListener, tell_properties: PropertiesListener) -> _ClientThread:
        """Start the thread, with a context of libca."""
        made = cls(deliver, tell_properties)
        made._thread.start()
        await made._run(made._open())
        return made

    @property
    def received(self) -> int:
        return sum(each.received for each in list(self._monitors.values()))

    @property
    def observables(self) -> list[Observable]:
        return [each.observable for each in list(self._monitors.values())]

    async def follow(self, observables: Sequence[Observable]) -> None:
        await self._run(self._follow(observables))

    async def check(self) -> bool:
        """Restart what has ended by itself; whether all sources are connected."""
        return await self._run(self._check())

    async def close(self, *, lost: bool = False) -> None:
        """End everything; with `lost` tell that each source went away."""
        await self._run(self._close(lost=lost))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_SECONDS)

    async def _run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def _serve(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _open(self) -> None:
        self._aioca = open_client()

    async def _follow(self, observables: Sequence[Observable]) -> None:
        wanted = {each.name: each for each in observables if each.pv is not None}
        gone = [name for name, monitor in self._monitors.items() if not monitor.follows(wanted.get(name))]
        await asyncio.gather(*(self._monitors.pop(name).close() for name in gone))
        for name, observable in wanted.items():
            if name in self._monitors:
                self._monitors[name].change(observable)
            else:
                self._monitors[name] = ChannelMonitor(self._aioca, observable, self._pass_on, self._tell_properties)

    async def _check(self) -> bool:
        for monitor in self._monitors.values():
            monitor.check()
        return all(monitor.connected for monitor in self._monitors.values())

    async def _close(self, *, lost: bool) -> None:
        if lost:
            for monitor in self._monitors.values():
                monitor.went_away()
        await asyncio.gather(*(monitor.close() for monitor in self._monitors.values()))
        self._monitors.clear()
        self._deliver_ready()
        self._aioca.purge_channel_caches()

    def _pass_on(self, reading: Reading) -> None:
        """Deliver together what comes in one turn of the loop."""
        if not self._ready:
            self._loop.call_soon(self._deliver_ready)
        self._ready.append(reading)

    def _deliver_ready(self) -> None:
        readings, self._ready = self._ready, []
        if readings:
            self._deliver(readings)
