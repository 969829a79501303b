"""An Olog that is good, away, slow, lying or full: every entry is there in the end, once, and nothing waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ioc.logbook import keeper as keeper_module
from ioc.logbook.keeper import Keeper
from ioc.logbook.occasions import due
from ioc.logbook.plot import Plotter
from ioc.model import DocumentState, RunId, RunRecord
from ioc.rundb import SqliteRunStore
from tests.epics import eventually
from tests.laps import Laps
from tests.logbook.conftest import QUICK, Desk, finished_run
from tests.logbook.olog_stub import OlogStub
from tests.rundb.rows import execute

Section = Callable[..., Any]
BOTH = ["Run 0 started: krypton", "Run 0 ended: krypton"]


@contextlib.asynccontextmanager
async def working(keeper: Keeper, *records: RunRecord) -> AsyncIterator[Keeper]:
    """A keeper that works inside the context, with these runs due."""
    task = asyncio.create_task(keeper.run())
    try:
        for record in records:
            keeper.consider(due(record))
        yield keeper
    finally:
        task.cancel()
        await asyncio.wait([task])


def kept(desk: Desk) -> list[Path]:
    """The files of the entries that wait for the Olog."""
    return list((desk.folder / "spool/olog").glob("0*.json"))


async def test_a_run_gets_two_entries(store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section) -> None:
    """Start and end are entries with title, level, logbooks, tags, what is known of the run, and its id."""
    async with working(desk.keeper(to_olog(olog, level="Request"))) as keeper:
        keeper.consider(due(await finished_run(store)))
        await eventually(lambda: olog.titles() == BOTH)
        await eventually(lambda: keeper.waiting == 0)
    start, end = olog.entries
    assert (end["level"], end["logbooks"], end["tags"]) == ("Request", [{"name": "Operations"}], [{"name": "run"}])
    assert "| pressure | 1.5 | 2.5 | 1 | 3 | 2 | Torr |" in end["source"]
    assert "| CoBo0 | a | b | c |" in end["source"]
    assert r"a\|b.graw | 2.5 MB |" in end["source"]
    assert r"no data from CoBo\[0\] &lt;b&gt;for&lt;/b&gt; 10 s" in end["source"]
    assert "**Duration:** 01:02:03" in end["source"]
    assert "Duration" not in start["source"]
    assert {each["name"]: each["value"] for each in end["properties"][0]["attributes"]}.items() >= {
        ("run", "0"),
        ("experiment", "e1"),
        ("entry", "end"),
    }
    assert not list((desk.folder / "spool/olog").glob("run*")), "nothing is left in the spool"
    assert desk.lines == []


async def test_a_failed_run_gets_one(store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section) -> None:
    """A run that never was Running has an entry that says what went wrong."""
    async with working(desk.keeper(to_olog(olog))) as keeper:
        keeper.consider(due(await finished_run(store, failed=True)))
        await eventually(lambda: olog.titles() == ["Run 0 failed: krypton"])
    assert "### What went wrong" in olog.entries[0]["source"]


async def test_the_plot_is_attached(store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section) -> None:
    """The entry at the end has the plot of the run, drawn by matplotlib in another process."""
    pytest.importorskip("matplotlib")
    from tests.rundb.rows import reading

    run = await store.reserve_run("e1", "x", (await finished_run(store)).run_class, "")
    began = time.time()
    store.add_samples("e1", run.run, [reading(value, began + value) for value in (1.0, 2.0, 3.0)])
    await store.flush()
    record = replace(await finished_run(store), run=run.run, reserved_at=run.reserved_at)
    await store.save_run(record)
    with_samples = replace(record, stopped_at=began + 10)
    await store.save_run(with_samples)
    from ioc.model import Severity, Statistics
    from ioc.rundb.documents import Measurement

    statistics = Statistics(1.0, 3.0, 2.0, 3, Severity.NO_ALARM, 0.0)
    await store.save_measurements(run.run, [Measurement("pressure", 1.0, 3.0, statistics)])
    await store.flush()
    async with working(desk.keeper(to_olog(olog), plotter=Plotter(desk.folder / "runs.db"))) as keeper:
        keeper.consider(due(with_samples))
        await eventually(lambda: len(olog.entries) == 2, 60)
    [(name, png)] = olog.files.items()
    assert png.startswith(b"\x89PNG")
    assert name == olog.entries[1]["attachments"][0]["filename"]


@pytest.mark.parametrize(
    "fault", ["lost reply", "no files", "close", "garbage", "huge", "trickle", "hang", "500", "503", "401"]
)
async def test_sent_once_whatever_happens(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, fault: str
) -> None:
    """After a fault, even one in which the entry was stored without an answer, each entry is there exactly once."""
    olog.faults.extend([fault] * 3)
    async with working(desk.keeper(to_olog(olog)), await finished_run(store)) as keeper:
        await eventually(lambda: len(olog.entries) == 2 and keeper.waiting == 0)
        await asyncio.sleep(0.3)  # nothing more may come
    assert sorted(olog.titles()) == sorted(BOTH)
    assert any("entries wait" in line for line in desk.lines)
    assert "the logbook can be written again" in desk.lines[-1]
    assert "secret page" not in "".join(desk.lines)


@pytest.mark.parametrize("fault", ["hang", "trickle", "garbage", "close", "huge", "lies", "404", "500"])
async def test_a_bad_service_blocks_nothing(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, fault: str
) -> None:
    """While the service is bad in any way, the event loop runs, entries are kept, and the end does not wait for it."""
    olog.always = fault
    desk_lines = desk.lines
    async with working(desk.keeper(to_olog(olog), seconds=20), await finished_run(store)) as keeper:
        await eventually(lambda: len(olog.requests) > 0)
        if fault != "lies":
            await eventually(lambda: len(kept(desk)) == 2)
        deadline = time.monotonic() + 0.5
        with Laps() as laps:
            while time.monotonic() < deadline:
                await laps.turn()
        ended = time.monotonic()
    assert time.monotonic() - ended < 1.0, "the service has 20 s"
    assert laps.longest < 0.3
    if fault != "lies":
        assert len(kept(desk)) == 2
        assert desk_lines == [] or "entries wait" in desk_lines[0]
    assert keeper.refused == 0


async def test_a_service_that_is_away_gets_everything_later(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section
) -> None:
    """Entries made while nobody listens are sent in their order when somebody does, by another process too."""
    url = olog.url
    dead = to_olog(olog, url="http://127.0.0.1:1/Olog")
    records = [await finished_run(store, f"run {n}") for n in range(3)]
    async with working(desk.keeper(dead)) as keeper:
        for record in records:
            keeper.consider(due(record))
        await eventually(lambda: len(kept(desk)) == 6 and keeper.problem)
        assert "cannot be reached" in keeper.problem
    assert olog.entries == []
    async with working(desk.keeper(to_olog(olog, url=url))) as keeper:
        await eventually(lambda: len(olog.entries) == 6)
    assert olog.titles()[:2] == ["Run 0 started: run 0", "Run 0 ended: run 0"]
    assert sorted(olog.titles()) == olog.titles() or len(set(olog.titles())) == 6


@pytest.mark.parametrize("change", [{"logbooks": ["Opperations"]}, {"tags": ["beam time"]}])
async def test_what_is_never_accepted_is_put_aside(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, change: dict[str, Any]
) -> None:
    """An entry that the service rejects is kept in `refused` with a line in the log, and later ones are sent."""
    async with working(desk.keeper(to_olog(olog, **change)), await finished_run(store)) as keeper:
        await eventually(lambda: keeper.refused == 2)
        assert keeper.waiting == 0
    assert any("is refused and kept in" in line and "logbooks and tags" in line for line in desk.lines)
    refused = desk.folder / "spool/olog/refused"
    for file in refused.iterdir():  # somebody mends the topology and moves them back
        file.replace(refused.parent / file.name)
    async with working(desk.keeper(to_olog(olog))) as keeper:
        await eventually(lambda: sorted(olog.titles()) == sorted(BOTH))


async def test_too_large_a_plot_is_left_out(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section
) -> None:
    """If the service takes no file of this size, the entry comes without it."""

    class Large(Plotter):
        async def draw(self, occasion: Any, page: Any) -> bytes | None:
            return b"\x89PNG" * 100_000

    olog.largest = 100_000
    keeper = desk.keeper(to_olog(olog), plotter=Large(Path()))
    async with working(keeper, await finished_run(store)):
        await eventually(lambda: sorted(olog.titles()) == sorted(BOTH))
    assert olog.files == {}


async def test_two_logbooks_at_one_service(store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section) -> None:
    """Each logbook of the topology has its own entries with their plots, after a lost reply too."""

    class Small(Plotter):
        async def draw(self, occasion: Any, page: Any) -> bytes | None:
            return b"\x89PNG small"

    record = await finished_run(store)
    for name in ("shift", "experts"):
        olog.faults.extend(["lost reply"] * 2)
        async with working(desk.keeper(to_olog(olog, name=name), plotter=Small(Path())), record) as keeper:
            await eventually(lambda: keeper.problem)
            await eventually(lambda: keeper.waiting == 0)
    assert sorted(olog.titles()) == sorted(BOTH * 2)
    assert sum(len(entry["attachments"]) for entry in olog.entries) == 2


@pytest.mark.parametrize(
    "case", [("close", "closed the connection without an answer"), ("garbage", "something that is not HTTP")]
)
async def test_what_is_no_answer_is_said(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, case: tuple[str, str]
) -> None:
    """A connection that ends early is not reported as a service of another kind."""
    olog.always, said = case
    async with working(desk.keeper(to_olog(olog)), await finished_run(store)) as keeper:
        await eventually(lambda: said in keeper.problem)


async def test_a_wrong_address_is_said(store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section) -> None:
    """An address without an Olog is not reported as a wrong password, neither when it writes nor when it searches."""
    wrong = to_olog(olog, url=olog.url.removesuffix("/Olog"))
    async with working(desk.keeper(wrong), await finished_run(store)) as keeper:
        await eventually(lambda: any(each.startswith("GET") for each in olog.requests))
        assert "there is no Olog at this address" in keeper.problem
    assert len(desk.lines) == 1


async def test_the_password_is_read_again(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, tmp_path: Path
) -> None:
    """A wrong password is reported, never shown, and a new one in its file is used without a restart."""
    secret = tmp_path / "secret"
    secret.write_text("wr0ngsecret\n")
    secret.chmod(0o600)
    async with working(desk.keeper(to_olog(olog, password=f"file:{secret}")), await finished_run(store)) as keeper:
        await eventually(lambda: "user and password" in keeper.problem)
        secret.chmod(0o640)
        await eventually(lambda: "has mode 640, but must have 600" in keeper.problem)
        secret.write_text("pässword:1")
        secret.chmod(0o600)
        await eventually(lambda: len(olog.entries) == 2)
    everything = "".join([*desk.lines, *(file.read_text() for file in (tmp_path / "spool").rglob("*.json"))])
    assert "wr0ngsecret" not in everything
    assert "pässword" not in everything


async def test_a_full_disk_is_waited_for(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing can be stored nothing is sent; when the disk has space, every entry is there once."""
    import errno
    import os

    full = True
    real = os.fsync

    def fsync(file: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    async with working(desk.keeper(to_olog(olog))) as keeper:
        monkeypatch.setattr(os, "fsync", fsync)
        keeper.consider(due(await finished_run(store)))
        await eventually(lambda: "No space left" in keeper.problem)
        assert olog.entries == []
        full = False
        await eventually(lambda: olog.titles() == BOTH)
    assert not list((desk.folder / "spool").rglob("*.part"))


async def test_the_spool_is_bounded(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its limit nothing more is kept, with one line in the log."""
    monkeypatch.setattr(keeper_module, "MOST_WAITING", 3)
    olog.always = "503"
    async with working(desk.keeper(to_olog(olog))) as keeper:
        for n in range(3):
            keeper.consider(due(await finished_run(store, f"run {n}")))
        await eventually(lambda: keeper.waiting == 3 and any("no more are kept" in line for line in desk.lines))
    assert sum("no more are kept" in line for line in desk.lines) == 1


async def test_the_database_is_waited_for(store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section) -> None:
    """An entry waits until the database has the run as it is: its rows are stored a little later than it ends."""
    async with working(desk.keeper(to_olog(olog))) as keeper:
        record = await finished_run(store)
        await store.save_run(replace(record, state=DocumentState.Filing))
        keeper.consider(due(record))
        await eventually(lambda: olog.titles() == BOTH[:1])
        await store.save_run(record)
        await eventually(lambda: olog.titles() == BOTH)


async def test_runs_before_the_logbook_get_no_entry(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section
) -> None:
    """A run whose number was taken before the logbook was set up is not written, nor is one twice."""
    old = await finished_run(store, "old")
    async with working(desk.keeper(to_olog(olog), new=True)) as keeper:
        await eventually((desk.folder / "spool/olog/made.json").exists)
        new = await finished_run(store, "new")
        keeper.consider(due(old))
        keeper.consider(due(new))
        await eventually(lambda: len(olog.entries) == 2)
    async with working(desk.keeper(to_olog(olog)), old, new) as keeper:
        await eventually(lambda: keeper.waiting == 0)
    assert olog.titles() == ["Run 1 started: new", "Run 1 ended: new"]


async def test_a_broken_file_in_the_spool_is_put_aside(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section
) -> None:
    """Whatever somebody leaves in the folder does not stop the entries after it."""
    async with working(desk.keeper(to_olog(olog))):
        pass
    spool = desk.folder / "spool/olog"
    for name, text in {"0": "", "1[x]": "{}", "2": json.dumps({"id": 1}), "3": "[1]"}.items():
        (spool / f"{name}.json").write_text(text)
    async with working(desk.keeper(to_olog(olog))) as keeper:
        keeper.consider(due(await finished_run(store)))
        await eventually(lambda: olog.titles() == BOTH and keeper.refused == 4)


async def test_a_bad_row_stops_nothing(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, caplog: pytest.LogCaptureFixture
) -> None:
    """A row that somebody has spoilt costs one entry and a line of the log; the next run has its entries."""
    spoilt = await finished_run(store, "spoilt")
    execute(desk.folder / "runs.db", "UPDATE measurements SET minimum = x'00', begin_value = NULL")
    execute(desk.folder / "runs.db", "UPDATE files SET bytes = 'many'")
    async with working(desk.keeper(to_olog(olog)), spoilt) as keeper:
        await eventually(lambda: keeper.waiting == 0)
        keeper.consider(due(await finished_run(store, "good")))
        await eventually(lambda: "Run 1 ended: good" in olog.titles())
    assert "no entry for run 0" in caplog.text


async def test_a_run_that_cannot_be_read_blocks_no_other(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section
) -> None:
    """The logbook says which run it waits for, goes on with the next one, and gives the first one up after a while."""
    run = await finished_run(store)
    lost = replace(run, run=RunId("e1", 99), reserved_at=run.reserved_at - 1.0, title="lost")
    slow = replace(QUICK, lag=0.2, give_up=2.0)
    async with working(desk.keeper(to_olog(olog), pace=slow), lost, run) as keeper:
        await eventually(lambda: len(olog.entries) == 2)
        assert "run 99" in keeper.problem
        await eventually(lambda: keeper.waiting == 2)
        await eventually(lambda: keeper.waiting == 0)
        assert not keeper.problem
    assert len(olog.entries) == 2
    assert sum("entries wait" in line and "run 99" in line for line in desk.lines) == 1
    assert sum("gets no entry" in line and "run 99" in line for line in desk.lines) == 2


async def test_a_database_that_is_away_is_waited_for(
    store: SqliteRunStore, desk: Desk, olog: OlogStub, to_olog: Section, tmp_path: Path
) -> None:
    """No entry is given up because the whole database cannot be read: all are made when it is back."""
    run = await finished_run(store)
    database = tmp_path / "runs.db"
    aside = database.replace(tmp_path / "aside.db")
    async with working(desk.keeper(to_olog(olog), pace=replace(QUICK, lag=0.1, give_up=0.3)), run) as keeper:
        await eventually(lambda: keeper.problem)
        waited = time.monotonic() + 0.6
        await eventually(lambda: time.monotonic() > waited)
        assert keeper.waiting == 2
        aside.replace(database)
        await eventually(lambda: len(olog.entries) == 2)
    assert desk.lines[-1].startswith("NO_ALARM")
