"""Effects that take time: each is performed in its own task and ends in exactly one event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ioc.engine import observe
from ioc.errors import PeerError, PeerRejected, Refused
from ioc.model import EccReading, FiledFile, Operation, RunId, RunRecord, Scalar, Transition, TransitionReply
from ioc.ports import EccClient, HookRunner, Host, Partner, RunRecorder, RunStore
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.plan import Plan
from ioc.runlogic.subject import Kind

log = logging.getLogger(__name__)

INTERNAL = "internal error, see the log of the IOC"


@dataclass(frozen=True)
class Timing:
    """Periods and time-outs in seconds."""

    poll_ecc: float = 1.0
    poll_ecc_busy: float = 0.2
    poll_routers: float = 2.0
    poll_partners: float = 1.0
    state_timeout: float = 5.0
    transition_timeout: float = 180.0


@dataclass(frozen=True)
class Performer:
    """Any number of effects may be under way."""

    plan: Plan
    ecc: Mapping[str, EccClient]
    hosts: Sequence[Host]
    partners: Mapping[str, Partner]
    store: RunStore
    recorder: RunRecorder
    hooks: HookRunner
    timing: Timing
    post: Callable[[ev.Event], None]
    next_directory: Callable[[], str]
    record: Callable[[RunId, FiledFile], Awaitable[None]]

    def _host_of_router(self, name: str) -> Host:
        return next(host for host in self.hosts if name in host.routers)

    def _host_of_server(self, name: str) -> Host:
        return next(host for host in self.hosts if name in host.servers)

    async def perform(self, effect: ef.Effect, settled: asyncio.Event) -> None:
        """Perform an effect and always post its end. Waits for `settled` if the database is involved."""
        if isinstance(effect, ef.SendTransition):
            await self._transition(effect)
            return
        if isinstance(effect, ef.AbortHook):
            self.hooks.abort(effect.point, effect.name)  # here, so that it cannot overtake the begin of the hook
            return
        awaited = isinstance(effect, ef.RunHook) and effect.job  # its job does not wait for the database
        if not awaited and not isinstance(effect, ef.ProbeRouters | ef.BackUp | ef.RestartUnit):
            await settled.wait()
        result, error = None, ""
        try:
            result = await self._work(effect)
        except (PeerError, Refused) as failure:
            error = str(failure)
        except Exception:
            log.exception("performing %s", effect)
            error = INTERNAL
        self.post(ev.Ended(effect, result, error))

    def _work(self, effect: ef.Effect) -> Awaitable[object]:  # noqa: PLR0911, PLR0912 - one for each kind of effect
        match effect:
            case ef.ProbeRouters():
                return self._probe()
            case ef.BackUp(server=server, run=run, config=config):
                return self._host_of_server(server).backup_configs(server, run, config)
            case ef.BeginPartner():
                return self._begin_partner(effect)
            case ef.EndPartner(partner=partner):
                return self.partners[partner].end()
            case ef.ReserveRun(experiment=name, title=title, run_class=kind, config_name=configs, at_least=number):
                return self.store.reserve_run(name, title, kind, configs, at_least=number)
            case ef.TakeSnapshot(run=run, which=ef.Snapshot.Begin):
                return self.recorder.begin_run(run)
            case ef.TakeSnapshot(run=run, which=ef.Snapshot.End, at=at):
                return self.recorder.end_run(run, ended_at=at)
            case ef.TakeSnapshot(run=run, at=at):
                return self.recorder.resume_run(run, last_alive=at or 0.0)
            case ef.FileRouter(router=router, run=run, directories=directories, may_be_gone=may_be_gone):
                record = partial(self._record_file, router, run)
                return self._host_of_router(router).file_run(router, run, record, directories, may_be_gone)
            case ef.RunHook(point=point, name=name, record=run_record):
                return self.hooks.run(point, name, run_record)
            case ef.RestartUnit(subject=subject, unit=unit):
                host_of = self._host_of_server if subject.kind is Kind.Server else self._host_of_router
                return host_of(subject.name).restart_unit(unit)
            case ef.SetManual(values=values):
                return self._set_manual(values)
            case ef.OpenExperiment(name=name):
                return self._open_experiment(name)
            case _:
                raise AssertionError(effect)

    async def _begin_partner(self, effect: ef.BeginPartner) -> str:
        """Return why it refused."""
        try:
            await self.partners[effect.partner].begin(effect.number, effect.title)
        except PeerRejected as refusal:
            return str(refusal)
        return ""

    async def _record_file(self, router: str, run: RunId, file: FiledFile) -> None:
        await self.record(run, self.plan.attributed(router, file))

    async def _set_manual(self, values: Sequence[tuple[str, Scalar]]) -> None:
        for name, value in values:
            await self.recorder.set_manual(name, value)

    async def _open_experiment(self, name: str) -> RunRecord | None:
        last_run = await self.store.last_run(name)
        await self.recorder.change_experiment(name)
        return last_run

    async def _probe(self) -> None:
        async with asyncio.TaskGroup() as looks:
            for host in self.hosts:
                looks.create_task(self._look(host))

    async def _look(self, host: Host) -> None:
        self.post(await observe.read_routers(host, self.next_directory()))

    async def _transition(self, effect: ef.SendTransition) -> None:
        name, operation = effect.server, effect.operation
        client = self.ecc[name]
        until = asyncio.get_running_loop().time() + self.timing.transition_timeout
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
        self.post(
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
        """Read the state at once; retry for a short time if the server does not answer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.timing.state_timeout
        while True:
            event = await observe.read_server(name, self.ecc[name])
            if isinstance(event, ev.ServerRead):
                return event.reading
            if loop.time() >= until:
                return None
            await asyncio.sleep(self.timing.poll_ecc_busy)

    async def _at_rest(self, name: str, until: float) -> EccReading | None:
        """After a lost reply, the transition may still run: wait for its end as long as it may take."""
        loop = asyncio.get_running_loop()
        while True:
            reading = await self._state_after(name)
            if reading is None or reading.transition is Transition.NoTransition or loop.time() >= until:
                return reading
            await asyncio.sleep(self.timing.poll_ecc_busy)
