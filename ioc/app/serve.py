"""Runs the IOC of a topology until it is stopped: starts and ends every part."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path

from ioc import __version__
from ioc.app.compose import Parts
from ioc.app.ending import Ending, signals
from ioc.app.reload import Reloader
from ioc.errors import PeerError
from ioc.model import Event, Severity, chosen_experiment
from ioc.pvs import start
from ioc.runlogic.events import ObservablesMissing
from ioc.topology.schema import Topology

log = logging.getLogger(__name__)

_DATABASE_SECONDS = 2.0
"""How long the PVs wait for the run database, so that normally they start with its stored values."""
_RETRY_SECONDS = 0.5
_PEERS_SECONDS = 1.5
_SWITCH_SECONDS = 0.0005
"""How long a recording thread may keep the interpreter from the event loop, which serves commands."""
_GARBAGE_OBJECTS = 50_000
"""Net allocations that trigger a collection of young objects: more than the samples waiting to be written."""


async def serve(
    topology: Topology,
    load: Callable[[], Topology],
    *,
    file: Path | None = None,
    simulated: bool = False,
    when_ready: Callable[[], None] | None = None,
    ending: Ending | None = None,
) -> None:
    """Run the IOC until SIGINT, SIGTERM or SIGHUP. `load` reads the topology for a reload.

    `file` is the topology's, to which `Obs:New:Add` adds observables; without it, that is refused.
    `ending` is given if the process ends with this call; without it, signals are handled only while this function runs.
    If a reloaded topology cannot be served, for example because its database is missing, the previous one returns.

    Raises:
        PeerError: a port is taken, or the run database cannot be opened.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with _listening(ending, loop, stop.set):
        await _serve_until(stop, topology, load, file, simulated=simulated, when_ready=when_ready)


@contextlib.contextmanager
def _listening(ending: Ending | None, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Generator[None]:
    if ending is not None:
        ending.listen(loop, stop)
        yield
        return
    listened = signals()
    for number in listened:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in listened:
            loop.remove_signal_handler(number)


async def _serve_until(
    stop: asyncio.Event,
    topology: Topology,
    load: Callable[[], Topology],
    file: Path | None,
    *,
    simulated: bool,
    when_ready: Callable[[], None] | None,
) -> None:
    present, before, complaint, first = topology, None, "", True
    while not stop.is_set():
        reloader = Reloader(present, load, file)
        parts = Parts(present, simulated=simulated, reload=reloader.reload, add_observable=reloader.add_observable)
        reloader.parts = parts
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(_started(parts, stop))
            except PeerError as error:
                if before is None:
                    raise
                complaint = f"the reloaded topology cannot be served, the previous one stays in use: {error}"
                present, before = before, None
                continue
            log.info("attpc-ioc %s serves %s with prefix %s", __version__, present.experiment, present.prefix)
            if complaint:
                parts.journal.add(Event(time.time(), Severity.MAJOR, "IOC", complaint))
                complaint = ""
            if first:
                parts.notifier.started()
            first = False
            if when_ready is not None:
                when_ready()
            await _until_asked(parts, stop, reloader.rebuild)
        before, present = reloader.topology, reloader.following or reloader.topology


async def _until_asked(parts: Parts, stop: asyncio.Event, rebuild: asyncio.Event) -> None:
    """Wait for a request to end or to restart internally.

    Raises:
        PeerError: the Channel Access server ended unexpectedly.
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
async def _started(parts: Parts, stop: asyncio.Event) -> AsyncGenerator[None]:
    """Start the parts in the order of their dependencies, and always end them in the opposite order.

    The PVs are served even while the run database is locked, or its disk full or slow.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(parts.store.close)
        stack.enter_context(parts.journal.attached(asyncio.get_running_loop()))
        stack.push_async_callback(_close_peers, parts, stop)
        recording = asyncio.create_task(_begin_recording(parts), name="begin recording")
        stack.push_async_callback(parts.recorder.close)
        stack.push_async_callback(_cancelled, recording)
        await asyncio.wait([recording], timeout=_DATABASE_SECONDS)
        if recording.done():
            await recording
        await start(parts.server)
        stack.push_async_callback(parts.server.close)
        await parts.pva.start()
        stack.push_async_callback(parts.pva.close)
        await stack.enter_async_context(_running(parts, recording))
        stack.enter_context(_rare_garbage_collection())
        stack.enter_context(_short_thread_switches())
        yield


async def _begin_recording(parts: Parts) -> None:
    """Follow the observables, open the run database, waiting as long as necessary, and begin to record them.

    Raises:
        PeerError: the file can never be opened.
    """
    await parts.recorder.follow(_observable_listener(parts))
    await parts.store.start()
    said = ""
    while True:
        try:
            experiment = chosen_experiment(await parts.store.load_settings(), parts.topology.experiment)
            await parts.recorder.start(experiment)
            break
        except PeerError as error:  # for example if it was locked again
            if str(error) != said:
                log.warning("observables are not recorded yet: %s", error)
            said = str(error)
            await asyncio.sleep(_RETRY_SECONDS)
    parts.tree.show_observables(parts.recorder.views(parts.recorder.names))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@contextlib.contextmanager
def _rare_garbage_collection() -> Generator[None]:
    """Exclude all existing objects from garbage collection, and collect rarely enough to skip samples under way.

    A full collection stops everything for 0.15 s, and the samples would trigger several per minute.
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


@contextlib.contextmanager
def _short_thread_switches() -> Generator[None]:
    """Let the event loop get the interpreter soon when it has work."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def _close_peers(parts: Parts, stop: asyncio.Event) -> None:
    """Close all connections concurrently: one after the other, their time-outs would delay the end of the process."""
    peers = (*parts.ecc.values(), *parts.hosts, parts.hooks, *parts.partners.values())
    closing = [asyncio.create_task(peer.close()) for peer in peers]
    if not closing:
        return
    done, left = await asyncio.wait(closing, timeout=_PEERS_SECONDS if stop.is_set() else None)
    for task in left:
        task.cancel()
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s", error)


@contextlib.asynccontextmanager
async def _running(parts: Parts, recording: asyncio.Task[None]) -> AsyncGenerator[None]:
    """Run the engine and the clock of the PVs in one task group, which ends with the context."""
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(parts.engine.run(), name="engine"),
            tasks.create_task(parts.tree.tick(parts.server), name="clock"),
            tasks.create_task(parts.tree.keep_history(), name="run history"),
            tasks.create_task(_outcome(recording), name="recording"),
            tasks.create_task(_aside("logbooks", parts.logbooks.run()), name="logbooks"),
            tasks.create_task(_aside("notifications", parts.notifier.run()), name="notifications"),
            tasks.create_task(_aside("checksums", parts.checksums.run()), name="checksums"),
            tasks.create_task(_aside("run cards", parts.cards.run()), name="run cards"),
            tasks.create_task(_aside("safe copies", parts.copies.run()), name="safe copies"),
        ]
        await asyncio.sleep(0)  # the engine accepts events once its task has begun
        try:
            yield
        finally:
            for task in running:
                task.cancel()


async def _aside(what: str, work: Awaitable[None]) -> None:
    """Do what runs do not need: a bug in it must not end the IOC."""
    try:
        await work
    except Exception:
        log.exception("the %s have ended", what)


async def _outcome(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


def _observable_listener(parts: Parts) -> Callable[[frozenset[str]], None]:
    """Show changes of observables, and report missing required ones to the core."""
    missing: frozenset[str] | None = None

    def changed(names: frozenset[str]) -> None:
        nonlocal missing
        parts.watching.changed(names)
        parts.tree.show_observables(parts.recorder.values(names))
        now = frozenset(parts.recorder.disconnected(parts.engine.plan.require))
        if now != missing:
            missing = now
            parts.engine.post(ObservablesMissing(now))

    return changed
