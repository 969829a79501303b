"""Named fakes of the engine's five ports. They do what a test scripts; without a script everything goes well."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ioc.errors import PeerError, PeerRejected
from ioc.model import (
    ConfigBackup,
    ConfigChoice,
    DataLink,
    EccReading,
    EccState,
    FiledFile,
    FilingReport,
    HookOutcome,
    HookPoint,
    Operation,
    PartnerReading,
    RouterFacts,
    RunClass,
    RunConfig,
    RunId,
    RunInterval,
    RunQuality,
    RunRecord,
    Scalar,
    Transition,
    TransitionReply,
)
from tests.runlogic.peers import TABLE, Database


class FakeEcc:
    """An ECC server. `reads` and `replies` are what it answers next: an exception is raised, None = as it is."""

    def __init__(self, state: EccState = EccState.Idle) -> None:
        self.state = state
        self.under_way = Transition.NoTransition
        self.reads: deque[Exception | EccReading | None] = deque()
        self.replies: deque[Exception | TransitionReply | None] = deque()
        self.configs: tuple[ConfigChoice, ...] | Exception = (ConfigChoice("front", "e20", "e20"),)
        self.down: Exception | None = None
        """What every call raises as long as it is set."""
        self.sent: list[Operation] = []
        self.read_at: list[float] = []
        """The loop's time of every GetState."""
        self.replied_at = 0.0
        """`time.perf_counter` of the last reply to a transition."""
        self.takes = 0.0
        """Seconds of a transition."""

    async def get_state(self) -> EccReading:
        self.read_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        scripted = self.reads.popleft() if self.reads else self.down
        if isinstance(scripted, Exception):
            raise scripted
        return scripted or EccReading(self.state, self.under_way, time.time())

    async def get_configs(self) -> tuple[ConfigChoice, ...]:
        await asyncio.sleep(0)
        if isinstance(self.configs, Exception):
            raise self.configs
        return self.configs

    async def transition(
        self, operation: Operation, config: ConfigChoice, links: Sequence[DataLink]
    ) -> TransitionReply:
        self.sent.append(operation)
        scripted = self.replies.popleft() if self.replies else self.down
        self.under_way = Transition(list(Operation).index(operation) + 1)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.under_way = Transition.NoTransition
        self.replied_at = time.perf_counter()
        if isinstance(scripted, Exception):
            raise scripted
        self.state = TABLE.get((operation, self.state), self.state)
        return scripted or TransitionReply()


class FakeHost:
    """A machine. `faults` maps the name of a method to what it raises."""

    def __init__(self, name: str, routers: Sequence[str], servers: Sequence[str]) -> None:
        self.name = name
        self.routers = tuple(routers)
        self.servers = tuple(servers)
        self.faults: dict[str, Exception] = {}
        self.facts = {router: RouterFacts(True, "/data", 0, 0, 10**12, 2 * 10**12, False, 0.0) for router in routers}
        self.looked_at: list[float] = []
        self.run_directories: set[str] = set()
        """Those that exist, for every router."""
        self.asked_for: list[str] = []
        """The run directories of the looks."""
        self.files: tuple[FiledFile, ...] = ()
        self.filed: list[tuple[str, RunId]] = []
        self.backed_up: list[str] = []
        self.restarted: list[str] = []

    async def router_facts(self, run_directory: str) -> Mapping[str, RouterFacts]:
        self.looked_at.append(asyncio.get_running_loop().time())
        self.asked_for.append(run_directory)
        asked_at = asyncio.get_running_loop().time()
        await self._do("router_facts")
        exists = run_directory in self.run_directories
        now = time.time()
        times = {"asked_at": asked_at, "answered_at": asyncio.get_running_loop().time(), "read_at": now}
        return {
            name: replace(facts, **times, run_directory=run_directory, run_dir_exists=exists)
            for name, facts in self.facts.items()
        }

    async def file_run(
        self,
        router: str,
        run: RunId,
        record: Callable[[FiledFile], Awaitable[None]],
        directories: Sequence[str] = (),
        may_be_gone: Sequence[str] = (),
    ) -> FilingReport:
        await self._do("file_run")
        for file in self.files:
            await record(file)
        self.facts[router] = replace(self.facts[router], file_count=0, staged_bytes=0)
        self.filed.append((router, run))
        return FilingReport(self.files)

    async def backup_configs(self, server: str, run: RunId, config: ConfigChoice) -> ConfigBackup:
        await self._do("backup_configs")
        self.backed_up.append(server)
        return ConfigBackup(())

    async def restart_unit(self, unit: str) -> None:
        await self._do("restart_unit")
        self.restarted.append(unit)

    async def _do(self, method: str) -> None:
        await asyncio.sleep(0)
        if fault := self.faults.get(method):
            raise fault


class FakePartner:
    """Another data acquisition. `faults` maps the name of a method to what it raises, after it has been done."""

    def __init__(self) -> None:
        self.active = False
        self.faults: dict[str, Exception] = {}
        self.calls: list[str] = []

    async def read(self) -> PartnerReading:
        await self._do("read")
        return PartnerReading(self.active, controlled=self.active)

    async def begin(self, number: int, title: str) -> None:
        self.calls.append(f"begin {number} {title}".strip())
        self.active = not isinstance(self.faults.get("begin"), PeerRejected)
        await self._do("begin")

    async def end(self) -> None:
        self.calls.append("end")
        self.active = False
        await self._do("end")

    async def _do(self, method: str) -> None:
        await asyncio.sleep(0)
        if fault := self.faults.get(method):
            raise fault


class FakeStore:
    """A run database in memory. `fault` is what every call raises; `faults` the same for one method."""

    def __init__(self, database: Database | None = None) -> None:
        self.database = database or Database()
        self.fault: Exception | None = None
        self.faults: dict[str, Exception] = {}
        self.takes = 0.0
        """Seconds of a call."""
        self.calls: list[str] = []
        """Methods in the order of their begin, also those that failed."""
        self.edits = 0
        """Transactions of other programs."""
        self.stored: list[str] = []
        """What was written, in order."""
        self.configs: dict[RunId, tuple[RunConfig, ...]] = {}
        self.files: list[str] = []
        self.sources: set[str] = set()
        """Ids of the data sources that the files are of."""

    async def last_run(self, experiment: str) -> RunRecord | None:
        await self._call("last_run")
        return self.database.last_run(experiment)

    async def get_run(self, run: RunId) -> RunRecord | None:
        await self._call("get_run")
        return self.database.runs.get(run)

    async def unfinished_runs(self) -> tuple[RunRecord, ...]:
        await self._call("unfinished_runs")
        return self.database.unfinished()

    async def reserve_run(
        self, experiment: str, title: str, run_class: RunClass, config_name: str, *, at_least: int = 0
    ) -> RunRecord:
        await self._call("reserve_run")
        return self.database.reserve(experiment, title, run_class, config_name, time.time(), at_least=at_least)

    async def save_run(self, record: RunRecord) -> None:
        await self._call("save_run")
        self.database.save(record)
        self.stored.append(f"{record.run} {record.state}")

    async def save_verdict(self, run: RunId, *, comment: str | None, quality: RunQuality | None) -> None:
        await self._call("save_verdict")
        self.database.judge(run, comment, quality)
        self.stored.append(f"{run} {comment} {quality}")

    def changes_elsewhere(self) -> int:
        return self.edits

    async def save_run_configs(self, run: RunId, configs: Sequence[RunConfig]) -> None:
        await self._call("save_run_configs")
        self.configs[run] = tuple(configs)
        self.stored.append(f"configs of {run}")

    async def save_interval(self, interval: RunInterval) -> None:
        await self._call("save_interval")
        self.stored.append(f"interval of {interval.interlock}")

    async def add_files(self, run: RunId, *files: FiledFile) -> None:
        await self._call("add_files")
        self.files += [file.path for file in files]
        self.sources |= {file.source for file in files}
        self.stored += [f"file {file.path}" for file in files]

    def problem(self) -> str:
        return str(self.fault or "")

    async def load_settings(self) -> Mapping[str, str]:
        await self._call("load_settings")
        return dict(self.database.settings)

    async def save_settings(self, settings: Mapping[str, str]) -> None:
        await self._call("save_settings")
        self.database.settings |= settings
        self.stored += [f"{name}={value}" for name, value in settings.items()]

    async def _call(self, method: str) -> None:
        self.calls.append(method)
        await asyncio.sleep(self.takes)
        if fault := self.fault or self.faults.get(method):
            raise fault


class FakeHooks:
    """The hooks. `outcomes` is how each ends, by name; `hang` names those that do not end until they are aborted."""

    def __init__(self) -> None:
        self.outcomes: dict[str, HookOutcome | Exception] = {}
        self.hang: set[str] = set()
        self.ran: list[tuple[HookPoint, str, RunRecord]] = []
        self.cancelled: list[str] = []
        self.aborted: list[str] = []
        self._aborted: dict[str, asyncio.Event] = {}

    async def run(self, point: HookPoint, name: str, record: RunRecord) -> HookOutcome:
        self.ran.append((point, name, record))
        try:
            if name in self.hang:
                await self._aborted.setdefault(name, asyncio.Event()).wait()
                return HookOutcome("it was aborted")
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        outcome = self.outcomes.get(name, HookOutcome())
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def abort(self, point: HookPoint, name: str) -> None:
        self.aborted.append(name)
        self._aborted[name].set()


class FakeRecorder:
    """The recorder of observables. `faults` maps the name of a method to what it raises."""

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.calls: defaultdict[str, list[Any]] = defaultdict(list)

    async def begin_run(self, run: RunId) -> None:
        await self._call("begin_run", run)

    async def end_run(self, run: RunId, ended_at: float | None = None) -> None:
        await self._call("end_run", run)

    async def copy_manual_from(self, run: RunId) -> None:
        await self._call("copy_manual_from", run)

    async def set_manual(self, name: str, value: Scalar) -> None:
        await self._call("set_manual", (name, value))

    async def change_experiment(self, experiment: str) -> None:
        await self._call("change_experiment", experiment)

    async def resume_run(self, run: RunId, last_alive: float) -> None:
        await self._call("resume_run", run)

    async def _call(self, method: str, argument: object) -> None:
        self.calls[method].append(argument)
        await asyncio.sleep(0)
        if fault := self.faults.get(method):
            raise fault


LOCKED = PeerError("the run database runs.db is locked by another program")
