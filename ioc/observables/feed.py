# pyright: reportUnknownMemberType=false
"""All observables that come from other IOCs; the program's only Channel Access client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ioc.model import Reading
from ioc.observables.inbox import Inbox
from ioc.observables.libca import forget_context, log_exceptions, searched_from
from ioc.observables.source import PropertiesListener, Source
from ioc.ports import ReadingsListener
from ioc.topology.schema import Observable

_log = logging.getLogger(__name__)

_CHECK_SECONDS = 2.0


class ObservableFeed:
    """Follows the PVs of the observables and delivers their readings on the event loop.

    A source that goes away is delivered as a reading without value, once; its next reading says that it is back.
    Observables without a PV are ignored.
    """

    def __init__(self) -> None:
        """`commands` go before readings."""
        self._inbox = Inbox()
        self._sources: dict[str, Source] = {}
        self._listeners: tuple[ReadingsListener, PropertiesListener] | None = None
        self._ready: list[Reading] = []
        self._checker: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._searched_from = frozenset[str]()

    @property
    def received(self) -> int:
        """Updates that Channel Access brought since the start."""
        return self._inbox.received

    @property
    def dropped(self) -> int:
        """Of them those that were given up because they came faster than they could be taken."""
        return self._inbox.dropped

    async def start(
        self, observables: Sequence[Observable], deliver: ReadingsListener, tell_properties: PropertiesListener
    ) -> None:
        """Begin to follow; `tell_properties` gets an observable's name and its source's units when they are known.

        The EPICS_CA_* variables are read by libca when aioca is first imported, which is here.
        """
        self._listeners = (deliver, tell_properties)
        self._searched_from = searched_from()
        log_exceptions()
        self._inbox.open()
        self._checker = asyncio.create_task(self._check(), name="observables check")
        await self.update(observables)

    async def update(self, observables: Sequence[Observable]) -> None:
        """Follow these from now on; one whose PV and type have not changed is not interrupted."""
        if self._listeners is None:
            raise RuntimeError("the feed must be started before it is updated")
        async with self._changing:
            wanted = {each.name: each for each in observables if each.pv is not None}
            gone = [name for name, source in self._sources.items() if not source.is_of(wanted.get(name))]
            await asyncio.gather(*(self._sources.pop(name).close() for name in gone))
            for name, observable in wanted.items():
                if name in self._sources:
                    self._sources[name].change(observable)
                else:
                    self._follow(observable)

    def _follow(self, observable: Observable) -> None:
        assert self._listeners is not None
        assert observable.pv is not None
        source = Source(observable, observable.pv, self._inbox, self._pass_on, self._listeners[1])
        self._sources[observable.name] = source

    async def _follow_anew(self) -> None:
        """Search again from the addresses that this machine has now."""
        async with self._changing:
            self._searched_from = searched_from()
            _log.info("observables are searched from %s now", ", ".join(sorted(self._searched_from)) or "nowhere")
            sources, self._sources = list(self._sources.values()), {}
            for source in sources:
                source.went_away()
            await asyncio.gather(*(source.close() for source in sources))
            forget_context()
            log_exceptions()
            for source in sources:
                self._follow(source.observable)

    async def close(self) -> None:
        """End all subscriptions, tasks and channels."""
        if self._checker is None:
            return
        import aioca  # noqa: PLC0415 - as above

        self._checker.cancel()
        await asyncio.gather(
            self._checker, *(source.close() for source in self._sources.values()), return_exceptions=True
        )
        self._sources.clear()
        self._checker = None
        self._inbox.report()
        self._inbox.close()
        self._deliver_ready()  # not after this has returned
        aioca.purge_channel_caches()

    def _pass_on(self, reading: Reading) -> None:
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._deliver_ready)
        self._ready.append(reading)

    def _deliver_ready(self) -> None:
        readings, self._ready = self._ready, []
        if readings and self._listeners is not None:
            self._listeners[0](readings)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for source in self._sources.values():
                source.check()
            self._inbox.report()
            # those that are connected are disturbed only for one that may be found now
            if not all(source.connected for source in self._sources.values()) and searched_from() - self._searched_from:
                await self._follow_anew()
