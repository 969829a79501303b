"""The engine: one loop turns events into a new state and effects, and tasks turn effects into events.

Theory of operation. `post` is the only place where the state changes: it calls the core, notifies the listeners
and begins the effects, all before it returns. Effects that touch the database in order, and answers, go through the
`Ledger`; every other effect is performed in its own task (`Performer`), which ends in exactly one event. One task
watches each peer: a poll is an event like any other, and a server is polled right after something was sent to it.

The engine owns every task it starts: they live in the task group of `Engine.run` and end with it. An effect that begins
while the group ends is dropped: the next process finds the unfinished work in the database and in the peers.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from ioc.engine import observe, restore
from ioc.engine.ledger import Ledger
from ioc.engine.perform import INTERNAL, Performer, Timing
from ioc.errors import PeerError, Refused
from ioc.model import Client, Event, Reading, RunId
from ioc.ports import EccClient, HookRunner, Host, Partner, RunRecorder, RunStore
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic import memory
from ioc.runlogic.plan import Plan
from ioc.runlogic.state import State
from ioc.runlogic.step import initial, step, wake_at

log = logging.getLogger(__name__)

StateListener = Callable[[State], None]
"""Takes every new state, on the event loop; must not block."""

_ALIVE_PERIOD = 5.0
"""Seconds between heartbeats: the uncertainty of the end of a run that ended while the IOC was down."""
_LIST_PERIOD = 5.0
"""Seconds between attempts to read a list of configurations."""
_DATABASE_PERIOD = 0.5
"""Seconds between checks whether the run database can be written."""


class Engine:
    """Runs one installation. All methods belong to the event loop's thread."""

    def __init__(
        self,
        plan: Plan,
        *,
        ecc: Mapping[str, EccClient],
        hosts: Sequence[Host],
        partners: Mapping[str, Partner],
        store: RunStore,
        recorder: RunRecorder,
        hooks: HookRunner,
        timing: Timing,
        journal: Callable[[Event], None],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`steady`: the monotonic clock of the core, in seconds."""
        self.plan = plan
        self.steady = steady
        self.state = initial(plan)
        self._ecc = ecc
        self._hosts = hosts
        self._partners = partners
        self._store = store
        self._recorder = recorder
        self._timing = timing
        self._journal = journal
        self._listeners: list[StateListener] = []
        self._answers: dict[ev.Command, asyncio.Future[None]] = {}
        self._hurry = {name: asyncio.Event() for name in ecc}
        self._ledger = Ledger(store, self._answer)
        self._performer = Performer(
            plan,
            ecc=ecc,
            hosts=hosts,
            partners=partners,
            store=store,
            recorder=recorder,
            hooks=hooks,
            timing=timing,
            post=self.post,
            next_directory=self._next_directory,
            record=self._ledger.record,
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._alarm: asyncio.TimerHandle | None = None
        """Sends the core `TimePassed`."""

    def subscribe(self, listener: StateListener) -> None:
        """Call `listener` with every new state from now on."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Restore from the database, then run until cancelled. Open commands fail when it ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    tasks.create_task(self._ledger.run(), name="ledger")
                    tasks.create_task(self._watch_database(), name="watch database")
                    for name, client in self._ecc.items():
                        tasks.create_task(self._watch_server(name, client), name=f"watch ECC:{name}")
                    for host in self._hosts:
                        look = self._poll(self._timing.poll_routers, partial(self._read_routers, host))
                        tasks.create_task(look, name=f"watch host {host.name}")
                    for name, partner in self._partners.items():
                        look = self._poll(self._timing.poll_partners, partial(observe.read_partner, name, partner))
                        tasks.create_task(look, name=f"watch partner {name}")
                    self.post(await restore.restore(self._store, self.plan))
                    await restore.enter_experiment(self._recorder, self.state.experiment)
                    await self._stay_alive()
                finally:
                    self._tasks = None
                    self._set_alarm(None)
                    self._give_up_commands()
        finally:
            await self._ledger.finish()

    def change_plan(self, plan: Plan, readings: tuple[Reading, ...]) -> None:
        """Continue with a plan in which only interlocks and observables differ.

        `readings` are the latest ones of the observables that the core watches with it. The performer keeps the first
        plan: it needs only sources and routers, which stay.
        """
        before, self.plan = self.plan, plan
        self.post(ev.PlanChanged(before, readings))

    def post(self, event: ev.Event) -> None:
        """Handle one event: the state changes at once, listeners are called, effects begin."""
        before = self.state
        try:
            self.state, effects = step(self.plan, self.state, event, time.time(), self.steady())
        except Exception:
            log.exception("the core failed on %s: nothing was done", type(event).__name__)
            effects = ()
            if isinstance(event, ev.Command) and (answer := self._answers.get(event)) is not None:
                answer.set_exception(PeerError(INTERNAL))  # no message has it yet
        if self.state is not before:  # first: what a listener defers to the next turn still comes before the answer
            for listener in self._listeners:
                self._notify(listener)
        for effect in effects:
            self._begin(effect, before)
        self._set_alarm(wake_at(self.plan, self.state))  # always: a timer may fire a little early

    def _set_alarm(self, at: float | None) -> None:
        """Send `TimePassed` at a time on the core's monotonic clock; None: not at all."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if at is not None and self._tasks is not None:
            delay = max(0.0, at - self.steady())
            self._alarm = asyncio.get_running_loop().call_later(delay, self.post, ev.TimePassed())

    async def command(self, command: ev.Command) -> None:
        """Submit a command to the core. Returns when it is done.

        Raises:
            Refused: nothing was done, with the reason.
            PeerError: it failed, with the reason.
        """
        if self._tasks is None:
            raise Refused("the IOC is not running yet, or is stopping")
        answer = self._answers[command] = asyncio.get_running_loop().create_future()
        try:
            self.post(command)
            await answer
        finally:
            self._answers.pop(command, None)

    async def copy_previous(self, client: Client) -> None:
        """Copy title, class and manual observables from the run before the open or next one.

        Raises:
            Refused: if there is no such run.
            PeerError: if the database cannot be read.
        """
        run = self.state.run
        number = run.number - 1 if run.open else run.number
        previous = await self._store.get_run(RunId(self.state.experiment, number)) if number >= 0 else None
        if previous is not None:
            await self._recorder.copy_manual_from(previous.run)
        await self.command(ev.CopyPrevious(client, previous))

    async def refresh_configs(self, server: str) -> None:
        """Read the list of configurations of one server again.

        Raises:
            PeerError: if it cannot be read.
        """
        try:
            offers = await self._ecc[server].get_configs()
        except PeerError as error:
            error.logged = not self.state.servers[server].list_failed  # else the core has reported an earlier failure
            self.post(ev.ConfigsLost(server, str(error)))
            raise
        self.post(ev.ConfigsRead(server, offers))

    def _answer(self, answer: ef.Answer) -> None:
        future = self._answers.pop(answer.command, None)
        if future is None or future.done():
            return
        if not answer.error:
            future.set_result(None)
        else:
            error = (Refused if answer.refused else PeerError)(answer.error)
            error.logged = True
            future.set_exception(error)

    def _give_up_commands(self) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(PeerError("the IOC is stopping: the outcome is unknown"))
        self._answers.clear()

    def _notify(self, listener: StateListener) -> None:
        try:
            listener(self.state)
        except Exception:
            log.exception("a new state could not be shown")

    def _begin(self, effect: ef.Effect, before: State) -> None:
        match effect:
            case ef.Log():
                run = before.run if before.run.open else self.state.run  # the end of a run belongs to it
                self._journal(
                    Event(
                        occurred_at=time.time(),
                        severity=effect.severity,
                        source=str(effect.subject),
                        message=effect.text,
                        run=effect.run or (run.record.run if run.open and run.record else None),
                        client=effect.client,
                    )
                )
            case (
                ef.SaveRun()
                | ef.SaveVerdict()
                | ef.SaveRunConfigs()
                | ef.SaveInterval()
                | ef.SaveSetting()
                | ef.Answer()
            ):
                self._ledger.put(effect)
            case _:
                if isinstance(effect, ef.SendTransition):
                    self._hurry[effect.server].set()
                self._spawn(self._performer.perform(effect, self._ledger.settled()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._tasks is None:  # the engine ends: the next process finds the unfinished work
            work.close()
        else:
            self._tasks.create_task(work)

    async def _watch_server(self, name: str, client: EccClient) -> None:
        """Poll one server, more often while it is busy; read its configurations whenever it comes online."""
        loop = asyncio.get_running_loop()
        ask_again_at = 0.0
        while True:
            began = loop.time()
            was_online = self.state.servers[name].online
            self.post(await observe.read_server(name, client))
            server = self.state.servers[name]
            if server.online and not server.list_read and (not was_online or began >= ask_again_at):
                ask_again_at = began + _LIST_PERIOD
                self._spawn(self._offers(name))
            busy = self.state.servers[name].busy
            at = began + self._timing.poll_ecc_busy if busy else _next_multiple(self._timing.poll_ecc, began)
            await _pause(max(0.0, at - loop.time()), self._hurry[name])

    async def _offers(self, name: str) -> None:
        try:
            await self.refresh_configs(name)
        except PeerError:
            pass  # already reported by the core
        except Exception:
            log.exception("reading the configurations of ECC server %s", name)

    async def _poll(self, period: float, read: Callable[[], Awaitable[ev.Event]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self.post(await read())
            await asyncio.sleep(max(0.0, began + period - loop.time()))

    def _read_routers(self, host: Host) -> Awaitable[ev.Event]:
        return observe.read_routers(host, self._next_directory())

    def _next_directory(self) -> str:
        return self.state.next_run.directory

    async def _stay_alive(self) -> None:
        """Save a heartbeat for the next process."""
        while True:
            if (run := self.state.run).open and not self.state.undecided:
                alive = memory.Alive(time.time(), run.duration(self.steady()), run.number)
                self._ledger.put(memory.ALIVE.save(alive))
            await asyncio.sleep(_ALIVE_PERIOD)

    async def _watch_database(self) -> None:
        """Report to the core whether the run database can be written, and what others have changed in it."""
        seen = self._store.changes_elsewhere()
        while True:
            problem = self._store.problem()
            if problem != self.state.database_problem:
                self.post(ev.DatabaseProblem(problem))
            changes = self._store.changes_elsewhere()
            if changes != seen and await self._read_edited_run():
                seen = changes
            await asyncio.sleep(_DATABASE_PERIOD)

    async def _read_edited_run(self) -> bool:
        """Read the last run again; False if that has to be repeated because the run has changed meanwhile."""
        record = self.state.run.record
        if self._ledger.behind:
            return False
        if record is None:
            return True
        try:
            found = await self._store.get_run(record.run)
        except PeerError:
            return False
        except Exception:
            log.exception("reading %s", record.run)
            return True
        if self.state.run.record is not record or self._ledger.behind:
            return False
        if found is not None:
            self.post(ev.RunEdited(found))
        return True


def _next_multiple(period: float, after: float) -> float:
    """Return when to poll a peer at rest again.

    All are polled at the same moments, for one after the other costs several times as much: the process wakes up for
    each, with cold caches. Left alone, they drift apart. A timer that ends a moment early must not cause a second poll.
    """
    return (math.floor(after / period + 0.1) + 1) * period


async def _pause(seconds: float, hurry: asyncio.Event) -> None:
    """Sleep, but return early if there is a reason to poll again soon."""
    try:
        async with asyncio.timeout(seconds):
            await hurry.wait()
        hurry.clear()
    except TimeoutError:
        pass
