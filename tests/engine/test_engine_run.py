"""The engine as a whole: order of what it does, what peers may raise, how it begins and ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ioc.errors import PeerError, Refused
from ioc.model import (
    DocumentState,
    EccState,
    FiledFile,
    Operation,
    RunClass,
    RunId,
    RunQuality,
    RunRecord,
    RunState,
    Severity,
)
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.state import State
from tests.engine.bench import ANA, Bench
from tests.engine.fakes import LOCKED

BUG = ZeroDivisionError("bug")
RUN_0 = RunId("e20", 0)


async def test_a_run_from_idle_to_complete() -> None:
    """A run goes through its states in the database, with snapshots, files and backups of every part."""
    async with Bench() as bench:
        for host in bench.hosts:
            [router] = host.routers
            host.files = (FiledFile(router, host.name, f"/data/e20/run_0000/{router}.graw", 10, 0.0),)
        await bench.to_running()
        await bench.run(Operation.Stop)
        assert bench.state.run.state is RunState.Stopped
        stored = [text for text in bench.store.stored if text.startswith("run ")]
        assert stored == ["run 0 running", "run 0 stopping", "run 0 filing", "run 0 complete"]
        assert bench.recorder.calls["begin_run"] == bench.recorder.calls["end_run"] == [RUN_0]
        assert [host.filed for host in bench.hosts] == [[(name, RUN_0)] for name in ("data0", "data1", "mutant")]
        assert [set(host.backed_up) for host in bench.hosts] == [{"CoBo0"}, {"CoBo1"}, set()]
        assert sorted(bench.store.files) == [
            f"/data/e20/run_0000/{router}.graw" for router in ("data0", "data1", "mutant")
        ]
        assert bench.store.sources == {"CoBo[0]", "CoBo[1]", "Mutant[master]"}
        assert bench.store.database.runs[RUN_0].message == ""
        for said in ("run 0 is starting", "run 0 is Running", "run 0 is complete"):
            assert {event.run for event in bench.journal if event.message == said} == {RUN_0}
        assert next(event for event in bench.journal if event.message == "run 0 is Running").client == ANA


async def test_start_is_answered_after_its_record() -> None:
    """Start is not answered before the database has the run as Running, however slow it is."""
    async with Bench() as bench:
        await bench.to_ready()
        bench.store.takes = 0.4
        await bench.run(Operation.Start)
        assert bench.store.database.runs[RUN_0].state is DocumentState.Running


async def test_a_run_is_stopped_although_the_database_fails() -> None:
    """Stop ends the run and files it while nothing can be stored; all of it is stored when the database is back."""
    async with Bench() as bench:
        await bench.to_running()
        bench.store.fault = LOCKED
        await bench.run(Operation.Stop)
        assert bench.state.run.state is RunState.Stopped
        assert all(ecc.state is EccState.Ready for ecc in bench.ecc.values())
        with pytest.raises(Refused, match=r"run 1 cannot start: no run number could be reserved: .* is locked") as no:
            await bench.run(Operation.Start)
        assert no.value.logged, "the journal need not log it again"
        assert str(no.value) in bench.log
        bench.store.fault = None
        await bench.until(lambda: bench.store.database.runs[RUN_0].state is DocumentState.Complete)
        await bench.run(Operation.Start)
        assert bench.state.run.number == 1


async def test_files_are_recorded_before_the_run_is_complete() -> None:
    """A database that fails holds up no filing; when it works again, the files are in it before the run is complete."""
    async with Bench() as bench:
        await bench.to_running()
        bench.hosts[0].files = tuple(FiledFile("data0", "host0", f"/data/{n}.graw", 10, 0.0) for n in range(3))
        bench.store.fault = LOCKED
        began = asyncio.get_running_loop().time()
        await bench.run(Operation.Stop)
        assert asyncio.get_running_loop().time() - began < 3
        assert bench.store.files == []
        bench.store.fault = None
        bench.store.stored.clear()
        await bench.until(lambda: bench.store.database.runs[RUN_0].state is DocumentState.Complete)
        assert bench.store.files == ["/data/0.graw", "/data/1.graw", "/data/2.graw"]
        assert bench.store.stored.index("file /data/2.graw") < bench.store.stored.index("run 0 complete")


@pytest.mark.parametrize("fault", [PeerError("it does not work"), BUG])
@pytest.mark.parametrize(
    "method", ["begin_run", "end_run", "file_run", "backup_configs", "router_facts", "add_files", "get_state"]
)
async def test_nothing_that_a_peer_raises_ends_the_engine(method: str, fault: Exception) -> None:
    """Each peer may raise what it likes in a run: Stop is answered, the engine goes on, all goes well afterwards."""
    async with Bench() as bench:
        await bench.to_running()
        host = bench.hosts[0]
        host.files = (FiledFile("data0", "host0", "/data/a.graw", 10, 0.0),)
        for faults in (bench.recorder.faults, bench.store.faults, host.faults):
            faults[method] = fault
        if method == "get_state":
            bench.ecc["CoBo0"].down = fault
        try:
            await bench.run(Operation.Stop)
        except PeerError as error:
            assert str(error)  # noqa: PT017 - it may succeed as well
        for faults in (bench.recorder.faults, bench.store.faults, host.faults):
            faults.clear()
        bench.ecc["CoBo0"].down = None
        await bench.until(lambda: bench.state.servers["CoBo0"].online and bench.state.routers["data0"].online)
        assert bench.task is not None
        assert not bench.task.done()
        if bench.state.run.open:
            await bench.engine.command(ev.Organize(ANA, "data0"))
        assert bench.state.run.state is RunState.Stopped


@pytest.mark.parametrize("method", ["load_settings", "last_run", "unfinished_runs", "change_experiment"])
@pytest.mark.parametrize("fault", [LOCKED, BUG])
async def test_a_database_that_fails_at_the_start_is_waited_for(
    method: str, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Until the database was read nothing but single servers can be commanded; it is tried again, and said once."""
    bench = Bench()
    bench.store.faults[method] = bench.recorder.faults[method] = fault
    async with bench:
        await asyncio.sleep(600)
        assert bench.state.restored == (method == "change_experiment")
        if method != "change_experiment":
            with pytest.raises(Refused, match="has not been read yet"):
                await bench.run(Operation.Start)
        await bench.server("CoBo0", Operation.Describe)
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1, caplog.text
        bench.store.faults.clear()
        await bench.until(lambda: bench.state.restored)


async def test_a_listener_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in what shows the state is logged; the others are told, the engine goes on."""
    bench = Bench()

    def broken(state: State) -> None:
        raise BUG

    told: list[State] = []
    bench.engine.subscribe(broken)
    bench.engine.subscribe(told.append)
    async with bench:
        await bench.until(lambda: bench.state.restored)
        await bench.server("CoBo0", Operation.Describe)
        assert told[-1] is bench.state
    assert "ZeroDivisionError" in caplog.text


async def test_pending_commands_fail_when_the_engine_ends() -> None:
    """A command that waits when the IOC stops fails with that reason, and nothing is left behind."""
    async with Bench() as bench:
        await bench.to_ready()
        for ecc in bench.ecc.values():
            ecc.takes = 100.0
        start = asyncio.create_task(bench.run(Operation.Start))
        alone = asyncio.create_task(bench.engine.refresh_configs("CoBo0"))
        await bench.until(lambda: bench.state.run.state is RunState.Starting and bench.ecc["CoBo0"].sent)
        await alone
        assert bench.task is not None
        bench.task.cancel()
        with pytest.raises(PeerError, match="the IOC is stopping: the outcome is unknown"):
            await start
        await asyncio.wait([bench.task])
        assert bench.task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(Refused, match="is not running"):
            await bench.run(Operation.Stop)


async def test_commands_while_the_engine_ends_are_refused() -> None:
    """A command that comes while the last records are being stored is refused, not lost."""
    async with Bench() as bench:
        await bench.to_ready()
        bench.store.takes = 0.8
        bench.engine.post(ev.SetTitle(ANA, "last words"))
        assert bench.task is not None
        bench.task.cancel()
        await asyncio.sleep(0.5)
        assert not bench.task.done(), "it stores what is left"
        with pytest.raises(Refused, match="is not running"):
            await bench.server("CoBo0", Operation.Undo)
        bench.engine.post(ev.Ended(ef.ProbeRouters(0)))
        await asyncio.wait([bench.task])
        assert bench.store.database.settings["title"] == "last words"


async def test_commands_before_the_engine_runs_are_refused() -> None:
    """Before its start nothing can be commanded."""
    bench = Bench()
    with pytest.raises(Refused, match="is not running"):
        await bench.run(Operation.Start)


async def test_an_open_run_goes_on_after_a_restart() -> None:
    """The second engine on the same database finds the run, its title and its servers, and stops it."""
    first = Bench()
    async with first:
        await first.to_running()
        await first.engine.command(ev.SetTitle(ANA, "keep me"))
    second = Bench(state=EccState.Running)
    second.store.database = first.store.database
    async with second:
        await second.until(lambda: second.state.run.state is RunState.Running)
        assert (second.state.run.number, second.state.run.title) == (0, "keep me")
        await second.until(lambda: second.recorder.calls["resume_run"] == [RUN_0])
        await second.run(Operation.Stop)
    assert second.store.database.runs[RUN_0].state is DocumentState.Complete


async def test_signs_of_life_are_left_in_a_run_only() -> None:
    """While a run is open its end can be told to 5 s after a crash; between runs nothing is written."""
    async with Bench() as bench:
        await bench.to_ready()
        await asyncio.sleep(60)
        assert "last_alive" not in bench.store.database.settings
        await bench.run(Operation.Start)
        await asyncio.sleep(60)
        signs = [text for text in bench.store.stored if text.startswith("last_alive=")]
        assert 12 <= len(signs) <= 13


async def test_what_the_run_before_had_is_copied() -> None:
    """SameAsPrevious copies title, class and manual observables of the last run; without one it is refused."""
    async with Bench() as bench:
        await bench.until(lambda: bench.state.restored)
        with pytest.raises(Refused, match="nothing to copy"):
            await bench.engine.copy_previous(ANA)
        await bench.to_ready()
        await bench.engine.command(ev.SetTitle(ANA, "alphas"))
        await bench.engine.command(ev.SetClass(ANA, RunClass.Beam))
        await bench.run(Operation.Start)
        await bench.run(Operation.Stop)
        assert bench.state.run.title == ""
        await bench.engine.copy_previous(ANA)
        assert (bench.state.run.title, bench.state.run.run_class) == ("alphas", RunClass.Beam)
        assert bench.recorder.calls["copy_manual_from"] == [RUN_0]


async def test_a_number_reserved_by_another_program_is_not_used_twice() -> None:
    """If the database has a newer run than we knew, the number after that one is taken."""
    async with Bench() as bench:
        await bench.to_ready()
        other = RunRecord(RunId("e20", 4), DocumentState.Complete, RunClass.Junk, "", 0.0)
        bench.store.database.runs[other.run] = other
        await bench.run(Operation.Start)
        assert bench.state.run.number == 5


async def test_a_bug_in_the_core_answers_the_command(caplog: pytest.LogCaptureFixture) -> None:
    """A command that the core cannot take (here: of a server that does not exist) fails, and the engine goes on."""
    async with Bench() as bench:
        await bench.until(lambda: bench.state.restored)
        with pytest.raises(PeerError, match="internal error") as failure:
            await bench.server("Nobody", Operation.Describe)
        assert not failure.value.logged, "the core said nothing: whoever passes it on must"
        await bench.server("CoBo0", Operation.Describe)
        assert bench.ecc["CoBo0"].sent == [Operation.Describe]
    assert all(event.severity < Severity.MAJOR for event in bench.journal if "Describe" in event.message)
    assert "KeyError" in caplog.text


async def test_what_is_edited_in_the_database_shows() -> None:
    """The last run is read again when another program has written; what was set meanwhile is not undone by it."""
    async with Bench() as bench:
        await bench.to_running()
        await bench.run(Operation.Stop)
        runs = bench.store.database.runs
        runs[RUN_0] = replace(runs[RUN_0], comment="edited")
        bench.store.edits += 1
        await bench.until(lambda: bench.state.run.record == runs[RUN_0])
        bench.store.faults["save_verdict"] = LOCKED  # it is stored later: until then the database has the old one
        await bench.engine.command(ev.SetQuality(ANA, RunQuality.Good))
        runs[RUN_0] = replace(runs[RUN_0], comment="edited again")
        bench.store.edits += 1
        await bench.until(lambda: bench.store.calls.count("save_verdict") > 3)
        assert bench.state.run.record == replace(runs[RUN_0], comment="edited", quality=RunQuality.Good)
        del bench.store.faults["save_verdict"]
        await bench.until(lambda: bench.state.run.record == runs[RUN_0])
        assert (runs[RUN_0].comment, runs[RUN_0].quality) == ("edited again", RunQuality.Good)
        [changed] = [event for event in bench.journal if "quality changed" in event.message]
        assert (changed.run, changed.client) == (RUN_0, ANA)


async def test_a_run_that_cannot_be_read_again_is_tried_again() -> None:
    """After an edit the database may be locked for a while."""
    async with Bench() as bench:
        await bench.to_running()
        await bench.run(Operation.Stop)
        runs = bench.store.database.runs
        runs[RUN_0] = replace(runs[RUN_0], quality=RunQuality.Bad)
        bench.store.faults["get_run"] = LOCKED
        bench.store.edits += 1
        await bench.until(lambda: bench.store.calls.count("get_run") > 1)
        del bench.store.faults["get_run"]
        await bench.until(lambda: bench.state.run.record == runs[RUN_0])
