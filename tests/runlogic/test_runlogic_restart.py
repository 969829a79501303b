"""After a restart: the open run goes on, is stopped, or is closed with the last time known."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ioc.model import DocumentState, EccState, Operation, RunId, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from tests.runlogic.world import OPERATOR, World


def test_an_open_run_goes_on() -> None:
    """The servers still run: same number, same start time, and the recorder goes on."""
    world = World()
    world.start_run()
    started_at = world.record.started_at
    world.restart()
    assert ef.TakeSnapshot(0, RunId("e20", 0), ef.Snapshot.Resume, world.state.last_alive) in world.pending
    world.settle()
    assert world.state.run.state is RunState.Running
    assert world.record.started_at == started_at
    assert world.state.run.message.text == "run 0 continues after a restart of the IOC"
    world.run("Stop")
    world.settle()
    assert world.record.state is DocumentState.Complete


def test_a_paused_run_goes_on_paused() -> None:
    """The state of the run is that of its servers."""
    world = World()
    world.start_run()
    world.run("Pause")
    world.settle()
    world.restart()
    world.settle()
    assert world.state.run.state is RunState.Paused


def test_a_run_of_which_a_part_runs_goes_on_in_alarm() -> None:
    """Who does not run is named."""
    world = World()
    world.start_run()
    world.servers["CoBo0"].state = EccState.Idle
    world.servers["CoBo1"].reachable = False
    world.restart()
    world.settle()
    assert world.state.run.state is RunState.Running
    assert world.state.run.message.text == (
        "run 0 continues after a restart of the IOC, but ECC server CoBo0 is Idle after the restart of the IOC; "
        "ECC server CoBo1 is Unknown after the restart of the IOC"
    )
    assert world.state.run.message.severity is Severity.MAJOR


def test_a_run_that_ended_meanwhile_is_closed() -> None:
    """The last time known is the stop time, the files are filed, and the run says what happened."""
    world = World()
    world.start_run()
    for server in world.servers.values():
        server.state = EccState.Idle
    world.now += 3600.0
    world.restart()
    alive = world.state.last_alive
    assert ef.TakeSnapshot(1, RunId("e20", 0), ef.Snapshot.End, alive) in world.pending
    world.settle()
    assert world.record.state is DocumentState.Orphaned
    assert world.record.stopped_at == alive
    assert world.record.message.endswith(" it ended while the IOC was down: closed with the last known time")
    assert world.state.run.message.text.startswith("run 0 is orphaned: it ended while the IOC was down")
    assert world.state.run.state is RunState.Stopped
    assert world.state.run.message.severity is Severity.MAJOR
    assert all("e20/run_0000" in router.directories for router in world.routers.values())


def test_a_look_from_before_the_run_number_was_known_says_nothing_of_the_next_run() -> None:
    """Until the database was read, looks ask for the directory of run 0: a start is permitted after the next look."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    world.restart(restore=False)
    reasons = world.blocked_by()
    assert any("has not been read yet" in reason for reason in reasons)
    assert not any("directory" in reason for reason in reasons)
    asked = world.state.next_run.directory, world.now, world.steady
    before = {name: router.facts(*asked) for name, router in world.routers.items()}
    world.restore()
    assert world.state.run.next_number == 1
    unchecked = tuple(f"router {name} has not been checked yet" for name in world.routers)
    assert world.blocked_by() == unchecked
    world.feed(ev.RoutersRead(before))
    assert world.blocked_by() == unchecked, "a look that was under way asked for another directory"
    assert ef.ProbeRouters(job=0) in world.pending, "the next look is made at once"
    for router in world.routers.values():
        router.directories["e20/run_0001"] = []
    world.poll()
    assert all("already has a directory for run 1 of e20" in reason for reason in world.blocked_by())
    assert len(world.blocked_by()) == len(world.routers)
    for router in world.routers.values():
        router.directories.clear()
    world.poll()
    assert world.blocked_by() == ()


def test_another_number_for_the_next_run_does_not_refuse_a_start() -> None:
    """Start looks itself: who sets a number and starts at once does not have to wait for a look."""
    world = World()
    world.ready()
    world.ask(ev.SetNextNumber(OPERATOR, 7))
    assert world.blocked_by() == ()


def test_nothing_is_decided_while_a_server_cannot_be_read() -> None:
    """A run is not closed because the network is down; Stop remains possible."""
    world = World()
    world.start_run()
    for name in ("CoBo0", "CoBo1"):
        world.servers[name].state = EccState.Ready
    world.servers["MuTAnT"].reachable = False
    world.restart()
    assert world.pending == [ef.ProbeRouters(job=0)]
    sentence = "run 0 was open before the restart: MuTAnT must show whether it still runs"
    assert world.state.run.message.text == sentence
    assert world.blocked_by()[0] == ("run 0 was open before the restart: MuTAnT must show whether it still runs")
    pause = world.run("Pause")
    assert world.answers[pause].error == (
        "run 0 cannot Pause: run 0 was open before the restart: MuTAnT must show whether it still runs"
    )
    world.poll()
    assert [line.text for line in world.log].count(sentence) == 1
    world.servers["MuTAnT"].reachable = True
    world.poll()
    world.settle()
    assert world.state.run.state is RunState.Running


def test_stop_does_not_wait_for_the_decision() -> None:
    """The operator may close the run although a server is away."""
    world = World()
    world.start_run()
    world.servers["MuTAnT"].reachable = False
    for name in ("CoBo0", "CoBo1"):
        world.servers[name].state = EccState.Ready
    world.restart()
    token = world.run("Stop")
    assert ef.TakeSnapshot(0, RunId("e20", 0), ef.Snapshot.Resume, world.state.last_alive) in world.pending
    world.settle()
    assert "MuTAnT cannot Stop: it is Offline" in world.answers[token].error
    assert world.record.state is DocumentState.Complete


def test_nothing_is_decided_while_a_server_is_between_two_states() -> None:
    """A server that still starts is not one that does not run."""
    world = World()
    world.ready()
    world.run("Start")
    for _ in range(3):
        world.perform()
    for server in world.servers.values():
        server.under_way = Operation.Start
    world.restart()
    assert world.pending == [ef.ProbeRouters(job=0)]
    assert world.state.run.state is RunState.Starting
    for name in world.servers:
        world.finish_under_way(name)
        world.poll_server(name)
    world.settle()
    assert world.state.run.state is RunState.Running
    assert world.record.state is DocumentState.Running


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6])
def test_a_start_that_was_interrupted(steps: int) -> None:
    """All run: it goes on. Some run: it is stopped. None runs: it failed. Its number stays used."""
    world = World()
    world.ready()
    world.run("Start")
    for _ in range(steps):
        if world.pending:
            world.perform()
    running = sum(server.state is EccState.Running for server in world.servers.values())
    reserved = bool(world.database.runs)
    world.restart()
    world.settle()
    if not reserved:
        assert world.state.run.state is RunState.Stopped
    elif running == 3:
        assert world.state.run.state is RunState.Running
    else:
        assert world.record.state is DocumentState.Failed
        assert world.state.run.state is RunState.Failed
        assert all(server.state is EccState.Ready for server in world.servers.values())
        assert world.state.run.message.severity is Severity.MAJOR
        assert world.state.run.message.text.startswith("run 0 failed to start: it ")
        assert world.record.message
        assert world.state.run.next_number == 1


@pytest.mark.parametrize("steps", range(10))
def test_a_stop_that_was_interrupted_is_finished(steps: int) -> None:
    """Wherever it was, servers are stopped, observables stored, files filed, the run complete."""
    world = World()
    world.start_run()
    world.run("Stop")
    for _ in range(steps):
        if world.pending:
            world.perform()
    unfinished = world.record.state in {DocumentState.Stopping, DocumentState.Filing}
    world.restart()
    ended = False
    while world.pending:
        ended |= any(isinstance(each, ef.TakeSnapshot) and each.which is ef.Snapshot.End for each in world.pending)
        world.perform()
    world.settle()
    assert ended == unfinished
    assert world.record.state is DocumentState.Complete
    assert all(server.state is EccState.Ready for server in world.servers.values())
    assert all(not router.staged for router in world.routers.values())
    assert world.blocked_by() == ()


def test_filing_goes_on_and_its_failure_still_blocks() -> None:
    """The router that could not be filed before the restart is tried again, and named again."""
    world = World()
    world.start_run()
    world.faults["data1", "file"] = "error"
    world.run("Stop")
    world.settle()
    world.faults["data1", "file"] = "error"
    world.restart()
    world.settle()
    assert world.record.state is DocumentState.Filing
    assert "run 0 is not filed: data1 must be filed first" in world.blocked_by()
    world.restart()
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert "router data1 is not filed" in world.record.message.splitlines()[0]
    later = r" it was being filed when the IOC was restarted \(.*: all its files are filed\)$"
    assert re.search(later, world.record.message, re.MULTILINE), "the first line is not the last word"


def test_a_failed_start_keeps_its_reason_through_a_restart() -> None:
    """Failed, and why, is still shown."""
    world = World()
    world.ready()
    world.faults["MuTAnT", "Start"] = "error"
    world.run("Start")
    world.settle()
    assert world.state.run.message.text.startswith("run 0 failed to start: ECC server MuTAnT failed Start")
    world.restart()
    assert world.state.run.state is RunState.Failed
    assert world.state.run.message.text == f"run 0 failed to start: {world.record.message}"
    assert "ECC server MuTAnT failed Start" in world.record.message


def test_a_failed_start_keeps_its_reason_if_its_filing_fails_after_a_restart() -> None:
    """What is said about the files does not replace what is said about the start."""
    world = World()
    world.ready()
    world.faults["MuTAnT", "Start"] = "error"
    world.faults["data0", "file"] = "error"
    world.run("Start")
    world.settle()
    world.faults["data0", "file"] = "error"
    world.restart()
    world.settle()
    assert "MuTAnT failed Start" in world.record.message
    assert "router data0 is not filed" in world.record.message
    token = world.organize("data0")
    world.settle()
    assert world.answers[token].error == ""
    assert world.state.run.state is RunState.Failed
    assert "MuTAnT failed Start" in world.record.message
    assert "router data0 is filed" in world.record.message


def test_older_open_runs_are_orphaned() -> None:
    """Only the newest run can be the open one."""
    world = World()
    world.start_run()
    older = replace(world.record, run=RunId("e20", 7))
    newer = replace(world.record, run=RunId("e20", 8))
    world.database.runs = {older.run: older, newer.run: newer}
    world.restart()
    world.settle()
    assert world.database.runs[older.run].state is DocumentState.Orphaned
    assert world.database.runs[newer.run].state is DocumentState.Running
    assert world.state.run.number == 8


def test_a_number_reserved_without_our_knowledge_is_no_open_run() -> None:
    """The reply to a reservation was lost, a later run was taken: the forgotten number is closed, not the later run."""
    world = World()
    world.ready()
    world.faults["database", "reserve"] = "lost"
    world.run("Start")
    world.settle()
    world.run("Start")
    world.settle()
    world.run("Stop")
    world.settle()
    assert world.record.run.number == 1
    world.restart()
    world.settle()
    states = [record.state for record in world.database.runs.values()]
    assert states == [DocumentState.Orphaned, DocumentState.Complete]
    assert world.state.run.state is RunState.Stopped
    assert world.state.run.next_number == 2


def test_servers_that_run_without_an_open_run_are_named() -> None:
    """Found so at start-up: no run is opened for them, and a start is blocked by them."""
    world = World()
    world.servers["CoBo0"].state = EccState.Running
    world.restart()
    assert world.state.run.state is RunState.Stopped
    assert "ECC server CoBo0 is Running although no run is open: stop it, or Reset the system" in world.blocked_by()


def test_the_experiment_of_the_open_run_is_that_of_the_system() -> None:
    """A run is never continued under another experiment's name."""
    world = World()
    world.start_run()
    world.database.settings["experiment"] = "e99"
    world.restart()
    world.settle()
    assert world.state.experiment == "e20"
    assert world.state.run.state is RunState.Running


def test_another_experiment_in_the_topology_begins_without_the_notes_of_the_old_one() -> None:
    """Title and number of the next run were put for the experiment of that time; they stay if it stays."""
    world = World()
    world.title("alphas on helium")
    world.ask(ev.SetNextNumber(OPERATOR, 40))
    world.restart()
    assert (world.state.run.title, world.state.run.next_number) == ("alphas on helium", 40)
    world.plan = replace(world.plan, experiment="e21")
    for _ in range(2):
        world.restart()
        assert (world.state.experiment, world.state.run.title, world.state.run.next_number) == ("e21", "", 0)
    world.title("protons")
    world.restart()
    assert world.state.run.title == "protons"


def test_a_put_experiment_is_left_for_one_in_the_topology() -> None:
    """Also in a database of a version that did not write down whose notes they are."""
    world = World()
    world.experiment("e20b")
    world.settle()
    world.title("alphas on helium")
    world.restart()
    assert (world.state.experiment, world.state.run.title) == ("e20b", "alphas on helium")
    del world.database.settings["notes_of"]
    world.plan = replace(world.plan, experiment="e21")
    world.restart()
    assert (world.state.experiment, world.state.run.title) == ("e21", "")


def test_who_must_still_say_whether_the_run_runs_is_named_as_it_is_now() -> None:
    """The sentence names exactly the servers that cannot be asked, and is logged again only if these change."""
    world = World()
    world.start_run()
    for server in world.servers.values():
        server.state = EccState.Ready
    for name in ("CoBo0", "CoBo1"):
        world.servers[name].reachable = False
    world.restart()
    world.poll()
    assert "CoBo0 and CoBo1 must show" in world.state.run.message.text
    world.servers["CoBo0"].reachable = True
    world.poll()
    world.poll()
    assert "restart: CoBo1 must show" in world.state.run.message.text
    assert len([line for line in world.log if "must show" in line.text]) == 2


def test_settings_of_an_earlier_version_are_read_in_an_open_run() -> None:
    """The texts as versions before `memory` wrote them: an upgrade in a run loses nothing of it."""
    world = World()
    world.start_run()
    world.database.settings.clear()
    world.database.settings.update(
        {
            "class": "Beam",
            "next_number": "40",
            "config:CoBo0": "front/e20/e20 v2",
            "configured:CoBo0": '{"given": "front/e20/e20", "digest": "2024b3", "files": [["prepare-e20.xcfg", "ab"]]}',
            "link:data0": "911@1a2b3c4d:169797",
            "directories:data0": '["/data", "/data2"]',
            "orphaned": "-1",
        }
    )
    world.last_duration = 3600.25
    world.restart()
    world.settle()
    server, router, run = world.state.servers["CoBo0"], world.state.routers["data0"], world.state.run
    assert run.state is RunState.Running
    assert (run.next_number, world.state.last_duration) == (40, 3600.25)
    assert str(server.config) == "front/e20/e20 v2"
    assert (str(server.given), server.config_digest) == ("front/e20/e20", "2024b3")
    assert server.files == (("prepare-e20.xcfg", "ab"),)
    assert (router.linked, router.directories) == ("911@1a2b3c4d:169797", ("/data", "/data2"))
