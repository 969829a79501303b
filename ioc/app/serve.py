"""Runs the IOC of a topology until it is told to stop: starts every part, ends every part."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import AsyncGenerator, Callable, Generator

from ioc import __version__
from ioc.app.compose import Parts, build
from ioc.app.reload import Reloader
from ioc.errors import PeerError
from ioc.model import Event, Severity, chosen_experiment
from ioc.runlogic.events import ObservablesMissing
from ioc.topology.schema import Topology

log = logging.getLogger(__name__)

_GARBAGE_OBJECTS = 50_000
"""Objects made and not dropped again before new ones are looked through: more than there are samples under way."""


async def serve(
    topology: Topology,
    load: Callable[[], Topology],
    *,
    simulated: bool = False,
    when_ready: Callable[[], None] | None = None,
) -> None:
    """Run the IOC until SIGINT or SIGTERM. `load` reads the topology again when that is asked for.

    A reloaded topology that cannot be served (its database cannot be opened, say) makes room for the one before.

    Raises:
        PeerError: a port is taken, or the run database cannot be opened.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    present, before, complaint = topology, None, ""
    try:
        while not stop.is_set():
            reloader = Reloader(present, load)
            parts = build(present, simulated=simulated, reload=reloader.reload)
            reloader.parts = parts
            async with contextlib.AsyncExitStack() as stack:
                try:
                    await stack.enter_async_context(_started(parts))
                except PeerError as error:
                    if before is None:
                        raise
                    complaint = f"the reloaded topology cannot be served, the one before stays in use: {error}"
                    present, before = before, None
                    continue
                log.info("attpc-ioc %s serves %s with prefix %s", __version__, present.experiment, present.prefix)
                if complaint:
                    parts.journal.add(Event(time.time(), Severity.MAJOR, "IOC", complaint))
                    complaint = ""
                if when_ready is not None:
                    when_ready()
                await _until_asked(parts, stop, reloader.rebuild)
            before, present = present, reloader.following or present
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _until_asked(parts: Parts, stop: asyncio.Event, rebuild: asyncio.Event) -> None:
    """Wait until the IOC is to end or to be built anew.

    Raises:
        PeerError: the Channel Access server ended by itself.
    """
    died = parts.server.died
    asked = [asyncio.create_task(event.wait()) for event in (stop, rebuild)]
    try:
        await asyncio.wait([*asked, died], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in asked:
            task.cancel()
    if died.done() and not died.cancelled():
        raise PeerError(f"the Channel Access server ended: {died.result()}")


@contextlib.asynccontextmanager
async def _started(parts: Parts) -> AsyncGenerator[None]:
    """Start the parts in the order of what they need, end them in the opposite order, whatever happens."""
    async with contextlib.AsyncExitStack() as stack:
        await parts.store.start()
        stack.push_async_callback(parts.store.close)
        stack.enter_context(parts.journal.attached(asyncio.get_running_loop()))
        stack.push_async_callback(_close_peers, parts)
        experiment = chosen_experiment(await parts.store.load_settings(), parts.topology.experiment)
        await parts.recorder.start(_observable_listener(parts), experiment)
        stack.push_async_callback(parts.recorder.close)
        parts.tree.show_observables(parts.recorder.views(parts.recorder.names))
        await parts.server.start()
        stack.push_async_callback(parts.server.close)
        await stack.enter_async_context(_running(parts))
        stack.enter_context(_garbage_collected_seldom())
        yield


@contextlib.contextmanager
def _garbage_collected_seldom() -> Generator[None]:
    """Keep the garbage collector away from all that there is, and from samples on their way to the disk.

    To look through all of it, which the samples would make it do several times a minute, takes 0.15 s in which
    everything stands still.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _close_peers(parts: Parts) -> None:
    """Close all connections at once: each may take its time-out."""
    peers = (*parts.ecc.values(), *parts.hosts)
    for outcome in await asyncio.gather(*(peer.close() for peer in peers), return_exceptions=True):
        if isinstance(outcome, Exception):
            log.warning("%s", outcome)


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
        parts.tree.show_observables(parts.recorder.values(names))
        now = frozenset(parts.recorder.disconnected(parts.engine.plan.require))
        if now != missing:
            missing = now
            parts.engine.post(ObservablesMissing(now))

    return changed
