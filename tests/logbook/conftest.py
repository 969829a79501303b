"""A run database with a run, and logbooks that keep it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ioc.logbook.keeper import Keeper, Pace
from ioc.logbook.logbooks import KINDS
from ioc.logbook.plot import Plotter
from ioc.model import (
    ConfigChoice,
    DocumentState,
    FiledFile,
    RunClass,
    RunConfig,
    RunRecord,
    Severity,
    Statistics,
)
from ioc.rundb import SqliteRunStore
from ioc.rundb.documents import Measurement
from ioc.topology.schema import Logbook, Observable
from tests.logbook.olog_stub import PASSWORD, USER, OlogStub

QUICK = Pace(first_pause=0.05, longest_pause=0.2, again=0.05)
PRESSURE = Observable(name="pressure", pv="GAS:P", units="Torr")


@pytest.fixture
def olog() -> Iterator[OlogStub]:
    """A good Olog."""
    with OlogStub() as stub:
        yield stub


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteRunStore]:
    """An open run database with the observable pressure."""
    opened = await SqliteRunStore.open(tmp_path / "runs.db")
    await opened.define_observables("e1", [PRESSURE])
    yield opened
    await opened.close()


async def finished_run(store: SqliteRunStore, title: str = "krypton", *, failed: bool = False) -> RunRecord:
    """A run with a condition, a configuration and a file."""
    record = await store.reserve_run("e1", title, RunClass.Production, "a/b/c")
    began = time.time()
    record = replace(
        record,
        state=DocumentState.Failed if failed else DocumentState.Complete,
        started_at=None if failed else began,
        stopped_at=began + 3723,
        duration=None if failed else 3723.0,
        message="2026-11-27T12:00:00+01:00 no data from CoBo[0] <b>for</b> 10 s",
    )
    await store.save_run_configs(record.run, [RunConfig("CoBo0", ConfigChoice("a", "b", "c"))])
    statistics = Statistics(1.0, 3.0, 2.0, 5, Severity.NO_ALARM, 0.0)
    await store.save_measurements(record.run, [Measurement("pressure", 1.5, 2.5, statistics)])
    await store.add_files(record.run, FiledFile("data0", "h", "/data/e1/run_0000/a|b.graw", 2_500_000, began))
    await store.save_run(record)
    await store.flush()
    return record


class Desk:
    """Makes keepers of logbooks of a database, and owns their threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        """What they wrote into the log."""
        self._pools: list[ThreadPoolExecutor] = []

    def keeper(
        self,
        logbook: Logbook,
        *,
        seconds: float = 0.5,
        plotter: Plotter | None = None,
        new: bool = False,
        pace: Pace = QUICK,
    ) -> Keeper:
        """A keeper of a logbook; unless it is `new`, it has existed since 1970."""
        made = self.folder / "spool" / logbook.name / "made.json"
        if not new and not made.exists():
            made.parent.mkdir(parents=True)
            made.write_text('{"since": 0, "made": []}')
        threads = ThreadPoolExecutor(2, thread_name_prefix="logbook")
        self._pools.append(threads)
        database = self.folder / "runs.db"
        book: Any = KINDS[logbook.kind](logbook, threads)
        if hasattr(book, "seconds"):
            book.seconds = seconds
        return Keeper(
            logbook.name,
            book,
            folder=self.folder / "spool" / logbook.name,
            database=database,
            plotter=plotter or Plotter(Path("/nonexistent")),
            threads=threads,
            report=lambda text, severity: self.lines.append(f"{severity.name} {text}"),
            pace=pace,
        )

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def to_olog(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Logbook]:
    """The section of the topology for an Olog."""
    monkeypatch.setenv("OLOG_PASSWORD", PASSWORD)

    def section(stub: OlogStub, **changes: Any) -> Logbook:
        usual: dict[str, Any] = {
            "name": "olog",
            "kind": "olog",
            "url": stub.url,
            "user": USER,
            "password": "env:OLOG_PASSWORD",
            "logbooks": ["Operations"],
            "tags": ["run"],
        }
        return Logbook.model_validate(usual | changes)

    return section
