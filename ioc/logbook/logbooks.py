"""All logbooks of a topology."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ioc.errors import PeerError
from ioc.logbook.elog import Elog
from ioc.logbook.keeper import Book, Keeper
from ioc.logbook.markdown_file import MarkdownFile
from ioc.logbook.occasions import due
from ioc.logbook.olog import Olog
from ioc.logbook.plot import Plotter
from ioc.model import Event, LogbookState, LogbookStatus, RunRecord, Severity
from ioc.runlogic.state import State
from ioc.topology.schema import Logbook, Topology

log = logging.getLogger(__name__)

KINDS: dict[str, Callable[[Logbook, Executor], Book]] = {"olog": Olog, "elog": Elog, "markdown": MarkdownFile}
_RECENT_RUNS = 20
_RECENT_SECONDS = 86400.0
"""A process that starts makes the missing entries of runs that are not older."""
_AGAIN_SECONDS = 5.0


class Logbooks:
    """Belongs to the event loop; `run` owns everything that it starts."""

    def __init__(
        self,
        topology: Topology,
        last_runs: Callable[[str, int], Awaitable[Sequence[RunRecord]]],
        journal: Callable[[Event], None],
    ) -> None:
        """Nothing is opened or started before `run`."""
        self._topology = topology
        self._last_runs = last_runs
        self._journal = journal
        self._keepers: tuple[Keeper, ...] = ()
        self._record: RunRecord | None = None
        self._experiment = asyncio.Event()
        self._state = State()
        self._caught_up = False
        """What an earlier process did not come to is older than the present run, so it comes first."""
        self._problem = ""

    def show(self, state: State) -> None:
        """Take a new state of the core."""
        if not self._topology.logbook or not state.restored:
            return
        self._state = state
        self._experiment.set()
        if state.run.record is not self._record:
            self._record = state.run.record
            if self._caught_up:
                self._consider_present()

    def status(self) -> LogbookStatus:
        if not self._topology.logbook:
            return LogbookStatus(LogbookState.Off, "no logbook is set up")
        waiting = sum(keeper.waiting for keeper in self._keepers)
        texts = [f"{keeper.name}: {keeper.problem}" for keeper in self._keepers if keeper.problem]
        if self._problem:
            texts.append(self._problem)
        if texts:
            return LogbookStatus(LogbookState.Waiting, "; ".join(texts), waiting)
        refused = [f"{keeper.name} has refused {keeper.refused}" for keeper in self._keepers if keeper.refused]
        if refused:
            return LogbookStatus(LogbookState.Refused, "; ".join(refused), waiting)
        return LogbookStatus(LogbookState.Ok, "", waiting)

    async def run(self) -> None:
        """Keep all logbooks until cancelled."""
        if not self._topology.logbook:
            return
        database = Path(self._topology.database)
        plotter = Plotter(database)
        pools: list[ThreadPoolExecutor] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in self._topology.logbook:
                    threads = ThreadPoolExecutor(2, thread_name_prefix=f"logbook {each.name}")
                    pools.append(threads)
                    keeper = Keeper(
                        each.name,
                        KINDS[each.kind](each, threads),
                        folder=database.with_name(f"{database.name}-logbook") / each.name,
                        database=database,
                        plotter=plotter,
                        threads=threads,
                        report=partial(self._report, each.name),
                    )
                    self._keepers = (*self._keepers, keeper)
                    tasks.create_task(keeper.run(), name=f"logbook {each.name}")
                await self._catch_up()
                self._caught_up = True
                self._consider_present()
        finally:
            for threads in pools:
                threads.shutdown(wait=False, cancel_futures=True)

    async def _catch_up(self) -> None:
        """Find what an earlier process did not come to."""
        await self._experiment.wait()
        while True:
            try:
                runs = await self._last_runs(self._state.experiment, _RECENT_RUNS)
                break
            except PeerError as error:
                self._problem = f"the latest runs cannot be read: {error}"
                await asyncio.sleep(_AGAIN_SECONDS)
            except Exception:  # a row that somebody has changed by hand
                log.exception("the logbooks cannot read the latest runs")
                self._problem = ""
                return
        self._problem = ""
        oldest = time.time() - _RECENT_SECONDS
        self._consider([run for run in reversed(runs) if (run.stopped_at or run.reserved_at) >= oldest])

    def _consider_present(self) -> None:
        self._consider([] if self._record is None else [self._record])

    def _consider(self, records: Sequence[RunRecord]) -> None:
        for keeper in self._keepers:
            for record in records:
                keeper.consider(due(record))

    def _report(self, name: str, text: str, severity: Severity) -> None:
        self._journal(Event(time.time(), severity, f"Logbook:{name}", text))
