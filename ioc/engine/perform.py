"""Effects that take time: each is performed in a task of its own and ends in exactly one event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from ioc.engine import observe
from ioc.engine.timing import Timing
from ioc.errors import PeerError, PeerRejected
from ioc.model import EccReading, FiledFile, Operation, RunId, RunRecord, Transition, TransitionReply
from ioc.ports import EccClient, Host, RunRecorder, RunStore
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.plan import Plan

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

INTERNAL = "internal error, see the log of the IOC"


class Performer:
    """Performs one effect at a time, as often as asked, at the same time."""

    def __init__(
        self,
        plan: Plan,
        *,
        ecc: Mapping[str, EccClient],
        hosts: Sequence[Host],
        store: RunStore,
        recorder: RunRecorder,
        timing: Timing,
        post: Callable[[ev.Event], None],
        next_directory: Callable[[], str],
        record: Callable[[RunId, FiledFile], Awaitable[None]],
    ) -> None:
        self._plan = plan
        self._ecc = ecc
        self._hosts = hosts
        self._host_of_router = {name: host for host in hosts for name in host.routers}
        self._host_of_server = {name: host for host in hosts for name in host.servers}
        self._store = store
        self._recorder = recorder
        self._timing = timing
        self._post = post
        self._next_directory = next_directory
        self._record = record

    async def perform(self, effect: ef.Effect, settled: asyncio.Event) -> None:
        """Do it, whatever happens, and post what came of it. Waits for `settled` where the database is read."""
        match effect:
            case ef.SendTransition():
                await self._transition(effect)
            case ef.ProbeRouters():
                await self._probe(effect)
            case ef.ReserveRun():
                await settled.wait()
                await self._reserve(effect)
            case ef.TakeSnapshot():
                await settled.wait()
                await self._snapshot(effect)
            case ef.FileRouter():
                await settled.wait()
                await self._file(effect)
            case ef.BackUp():
                await self._back_up(effect)
            case ef.OpenExperiment():
                await settled.wait()
                await self._open_experiment(effect)
            case _:
                raise AssertionError(effect)

    async def _transition(self, effect: ef.SendTransition) -> None:
        name, operation = effect.server, effect.operation
        client = self._ecc[name]
        until = asyncio.get_running_loop().time() + self._timing.transition_timeout
        reply, error = TransitionReply(), ""
        replied = True
        try:
            reply = await client.transition(operation, effect.config, effect.links)
        except PeerRejected as rejection:
            error = str(rejection)
        except PeerError as failure:
            error, replied = str(failure), False
        except Exception:
            log.exception("%s of ECC server %s", operation, name)
            error, replied = f"ECC server {name}: {operation} failed: {INTERNAL}", False
        reading = await (self._state_after(name) if replied else self._at_rest(name, until))
        if reading is not None and reading.transition is not Transition.NoTransition and not error:
            error = f"ECC server {name} is {reading.transition.label} again after {operation}"
        self._post(
            ev.TransitionEnded(
                name,
                operation,
                error,
                reading,
                sources=reply.sources if operation is Operation.Describe else (),
                config_digest=reply.config_digest,
            )
        )

    async def _state_after(self, name: str) -> EccReading | None:
        """Read the state at once; try a little longer if the server does not answer just now."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timing.state_timeout
        while True:
            event = await observe.read_server(name, self._ecc[name])
            if isinstance(event, ev.ServerRead):
                return event.reading
            if loop.time() >= until:
                return None
            await asyncio.sleep(self._timing.poll_ecc_busy)

    async def _at_rest(self, name: str, until: float) -> EccReading | None:
        """The reply was lost: the transition may still run, so wait for its end as long as one may take."""
        loop = asyncio.get_running_loop()
        while True:
            reading = await self._state_after(name)
            if reading is None or reading.transition is Transition.NoTransition or loop.time() >= until:
                return reading
            await asyncio.sleep(self._timing.poll_ecc_busy)

    async def _probe(self, effect: ef.ProbeRouters) -> None:
        async with asyncio.TaskGroup() as looks:
            for host in self._hosts:
                looks.create_task(self._look(host))
        self._post(ev.Probed(effect.job))

    async def _look(self, host: Host) -> None:
        self._post(await observe.read_routers(host, self._next_directory()))

    async def _reserve(self, effect: ef.ReserveRun) -> None:
        record, error = await self._attempt(
            "reserving a run number",
            self._store.reserve_run(
                effect.experiment, effect.title, effect.run_class, effect.config_name, at_least=effect.at_least
            ),
        )
        self._post(ev.Reserved(effect.job, record, error))

    async def _snapshot(self, effect: ef.TakeSnapshot) -> None:
        match effect.which:
            case ef.Snapshot.Begin:
                work = self._recorder.begin_run(effect.run)
            case ef.Snapshot.End:
                work = self._recorder.end_run(effect.run, ended_at=effect.at)
            case ef.Snapshot.Resume:
                work = self._recorder.resume_run(effect.run, last_alive=effect.at or 0.0)
        _, error = await self._attempt(f"recording the observables of {effect.run}", work)
        if effect.which is not ef.Snapshot.Resume:
            self._post(ev.SnapshotTaken(effect.job, error))
        elif error:
            log.warning("observables of %s: %s", effect.run, error)

    async def _file(self, effect: ef.FileRouter) -> None:
        async def record(file: FiledFile) -> None:
            await self._record(effect.run, self._plan.attributed(effect.router, file))

        host = self._host_of_router[effect.router]
        report, error = await self._attempt(
            f"filing {effect.run} of router {effect.router}",
            host.file_run(effect.router, effect.run, record, effect.directories),
        )
        self._post(ev.FilingEnded(effect.router, report, error))

    async def _back_up(self, effect: ef.BackUp) -> None:
        host = self._host_of_server[effect.server]
        backup, error = await self._attempt(
            f"backing up the configuration of ECC server {effect.server}",
            host.backup_configs(effect.server, effect.run, effect.config),
        )
        self._post(ev.BackupEnded(effect.job, effect.server, backup, error))

    async def _open_experiment(self, effect: ef.OpenExperiment) -> None:
        last_run, error = await self._attempt(f"opening experiment {effect.name}", self._enter(effect.name))
        self._post(ev.ExperimentOpened(effect.name, last_run, error))

    async def _enter(self, experiment: str) -> RunRecord | None:
        last_run = await self._store.last_run(experiment)
        await self._recorder.change_experiment(experiment)
        return last_run

    async def _attempt(self, what: str, work: Awaitable[_Result]) -> tuple[_Result | None, str]:
        """Return what `work` gave, and why it failed; the reason is empty if it did not."""
        try:
            return await work, ""
        except PeerError as failure:
            return None, str(failure)
        except Exception:
            log.exception("%s", what)
            return None, INTERNAL
