"""Notifies people: looks at the conditions once a second, and sends what the rules decide.

Each target has a queue and a task, so a target that hangs delays no other one. A message that cannot be sent is tried
three times; then a line of the log says so, without the address. The queue is short: old messages are of no use.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from ioc.engine import Engine
from ioc.errors import PeerError, PeerRejected
from ioc.model import Event, Severity
from ioc.notify import told
from ioc.notify.conditions import Subject, conditions, failed_run
from ioc.notify.rules import Memory, decide, is_quiet
from ioc.notify.sender import SECONDS, send
from ioc.runlogic.state import State
from ioc.topology.schema import Notifications, Target, Topology

log = logging.getLogger(__name__)

_PERIOD = 1.0
_PAUSES = (5.0, 60.0)
"""Seconds before the second and the third attempt."""
_MOST_WAITING = 20
_FAILED_SECONDS = 90.0
"""How long a failed run is reported although the next one has begun: longer than a rule waits between messages."""


class Notifier:
    """Belongs to the event loop; `run` owns everything that it starts."""

    def __init__(
        self,
        topology: Topology,
        engine: Engine,
        journal: Callable[[Event], None],
        *,
        pauses: tuple[float, ...] = _PAUSES,
        seconds: float = SECONDS,
    ) -> None:
        """Nothing is started before `run`."""
        self._settings = settings = topology.notifications
        self._title = f"{topology.prefix.rstrip(':-_')}: {topology.experiment}"
        self._engine = engine
        self._journal = journal
        self._pauses = pauses
        self._seconds = seconds
        self._started = ""
        self._file = Path(f"{topology.database}-notified")
        self._before: frozenset[Subject] | None = None
        """The run that had failed when the database was read, if any: it is not reported again."""
        self._failed: dict[Subject, tuple[str, float]] = {}
        """Runs that failed a short time ago, and when: the next one may have begun since."""
        self._hours = tuple(rule.hours for rule in settings.rules if rule.when == "disk_below") if settings else ()
        self._queues: dict[str, asyncio.Queue[str]] = {}
        if settings is not None:
            engine.subscribe(self._show)

    def started(self) -> None:
        """Take note that the IOC has been started; not called when it restarts internally."""
        self._started = f"the IOC was started at {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"

    async def run(self) -> None:
        """Notify until cancelled."""
        if self._settings is None:
            return
        self._queues = {target.name: asyncio.Queue(_MOST_WAITING) for target in self._settings.targets}
        threads = ThreadPoolExecutor(len(self._queues) + 1, thread_name_prefix="notify")
        try:
            async with asyncio.TaskGroup() as tasks:
                for target in self._settings.targets:
                    tasks.create_task(self._serve(target, threads), name=f"notify {target.name}")
                await self._watch(self._settings, threads)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _show(self, state: State) -> None:
        if not state.restored:
            return
        failed = failed_run(state)
        if self._before is None:
            # whether anybody was told of one that is still being filed, its file knows
            self._before = frozenset() if state.run.open else frozenset(failed)
        for subject, text in failed.items():
            self._failed.setdefault(subject, (text, time.monotonic()))

    async def _watch(self, settings: Notifications, threads: Executor) -> None:
        run, now, wall = asyncio.get_running_loop().run_in_executor, time.monotonic(), time.time()
        memories = await run(threads, told.load, self._file, settings.rules, now, wall)
        while True:
            now = time.monotonic()
            try:
                memories, news = self._look(settings, memories, now)
                if news:
                    await run(threads, told.save, self._file, memories, now, time.time())
            except OSError as error:
                log.info("%s cannot be written: %s", self._file, error.strerror)
            except Exception:  # runs go on without notifications
                log.exception("notifications")
            await asyncio.sleep(_PERIOD)

    def _look(
        self, settings: Notifications, memories: tuple[Memory, ...], now: float
    ) -> tuple[tuple[Memory, ...], bool]:
        """Return what the rules remember, and whether there was a message."""
        self._failed = {subject: each for subject, each in self._failed.items() if now < each[1] + _FAILED_SECONDS}
        present = {subject: text for subject, (text, _) in self._failed.items()}
        present |= conditions(self._engine.plan, self._engine.state, self._hours)
        if self._started:
            present[("ioc_restarted", "")] = self._started
        before = self._before or frozenset()
        news = {subject: text for subject, text in present.items() if subject not in before}
        clock = datetime.now().astimezone()
        quiet = is_quiet(settings.quiet_hours, clock.hour * 60 + clock.minute)
        memories, messages = decide(settings.rules, memories, news, now, quiet=quiet)
        for message in messages:
            for name in settings.rules[message.rule].to or self._queues:
                self._put(name, "\n".join(message.lines))
        return memories, bool(messages)

    def _put(self, name: str, text: str) -> None:
        queue = self._queues[name]
        if queue.full():
            queue.get_nowait()
            self._say(name, "too many messages wait: the oldest one is dropped")
        queue.put_nowait(text)

    async def _serve(self, target: Target, threads: ThreadPoolExecutor) -> None:
        while True:
            text = await self._queues[target.name].get()
            try:
                await self._send(target, text, threads)
            except PeerError as error:
                self._say(target.name, f"a message was not sent: {error}")
            except Exception:  # a bug must not end the notifications
                log.exception("notification to %s", target.name)

    async def _send(self, target: Target, text: str, threads: ThreadPoolExecutor) -> None:
        for pause in (*self._pauses, None):
            try:
                await send(target, self._title, text, threads, seconds=self._seconds)
            except PeerError as error:
                if pause is None or isinstance(error, PeerRejected):
                    raise
                await asyncio.sleep(pause)
            else:
                return

    def _say(self, name: str, text: str) -> None:
        self._journal(Event(time.time(), Severity.MINOR, f"Notify:{name}", text))
