"""Runs the IOC of a topology until it is told to stop: starts every part, ends every part."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncGenerator, Callable

from ioc import __version__
from ioc.app.compose import Parts, build
from ioc.app.reload import Reloader
from ioc.errors import PeerError
from ioc.runlogic.events import ObservablesMissing
from ioc.topology.schema import Topology

log = logging.getLogger(__name__)


async def serve(
    topology: Topology,
    load: Callable[[], Topology],
    *,
    simulated: bool = False,
    when_ready: Callable[[], None] | None = None,
) -> None:
    """Run the IOC until SIGINT or SIGTERM. `load` reads the topology again when that is asked for.

    Raises:
        PeerError: a port is taken, or the run database cannot be opened.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        following: Topology | None = topology
        while following is not None and not stop.is_set():
            following = await _serve_one(following, load, stop, simulated=simulated, when_ready=when_ready)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _serve_one(
    topology: Topology,
    load: Callable[[], Topology],
    stop: asyncio.Event,
    *,
    simulated: bool,
    when_ready: Callable[[], None] | None,
) -> Topology | None:
    """Run one topology until `stop` or until another is to take its place, which is returned."""
    reloader = Reloader(topology, load)
    parts = build(topology, simulated=simulated, reload=reloader.reload)
    reloader.parts = parts
    async with _started(parts):
        log.info("attpc-ioc %s serves %s with prefix %s", __version__, topology.experiment, topology.prefix)
        if when_ready is not None:
            when_ready()
        died = parts.server.died
        asked = [asyncio.create_task(event.wait()) for event in (stop, reloader.rebuild)]
        try:
            await asyncio.wait([*asked, died], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in asked:
                task.cancel()
        if died.done() and not died.cancelled():
            raise PeerError(f"the Channel Access server ended: {died.result()}")
    return reloader.following if not stop.is_set() else None


@contextlib.asynccontextmanager
async def _started(parts: Parts) -> AsyncGenerator[None]:
    """Start the parts in the order of what they need, end them in the opposite order, whatever happens."""
    async with contextlib.AsyncExitStack() as stack:
        await parts.store.start()
        stack.push_async_callback(parts.store.close)
        stack.enter_context(parts.journal.attached(asyncio.get_running_loop()))
        for peer in (*parts.ecc.values(), *parts.hosts):
            stack.push_async_callback(peer.close)
        await parts.recorder.start(_observable_listener(parts))
        stack.push_async_callback(parts.recorder.close)
        parts.tree.show_observables(parts.recorder.views())
        await parts.server.start()
        stack.push_async_callback(parts.server.close)
        await stack.enter_async_context(_running(parts))
        yield


@contextlib.asynccontextmanager
async def _running(parts: Parts) -> AsyncGenerator[None]:
    """Run the engine and the clock of the PVs in one task group, which ends with the context."""
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(parts.engine.run(), name="engine"),
            tasks.create_task(parts.tree.tick(parts.server), name="clock"),
        ]
        await asyncio.sleep(0)  # the engine takes events as soon as its task has begun
        try:
            yield
        finally:
            for task in running:
                task.cancel()


def _observable_listener(parts: Parts) -> Callable[[frozenset[str]], None]:
    """Show what the observables do, and tell the core which required ones are missing."""
    missing: frozenset[str] | None = None

    def changed(names: frozenset[str]) -> None:
        nonlocal missing
        parts.tree.show_observables(view for view in parts.recorder.views() if view.name in names)
        now = frozenset(parts.recorder.disconnected(parts.engine.plan.require))
        if now != missing:
            missing = now
            parts.engine.post(ObservablesMissing(now))

    return changed
