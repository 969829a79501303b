"""Odd orders of events: every state has a way out, and what was mended is no complaint any more."""

from __future__ import annotations

import pytest

from ioc.model import DocumentState, EccState, Operation, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.state import About
from ioc.runlogic.troubles import standing
from tests.runlogic.world import World


def test_a_run_that_is_stopped_before_it_was_decided_lasted_as_long_as_it_did() -> None:
    """The steady clock of a machine that is up for weeks is not the duration of a run."""
    world = World()
    world.start_run()
    world.last_duration = 3.0
    world.servers["CoBo0"].reachable = False
    world.servers["CoBo1"].reachable = False
    world.servers["MuTAnT"].reachable = False
    world.steady = 2_000_000.0
    world.restart()
    assert world.state.undecided
    assert world.state.run.duration(world.steady) < 100
    world.run("Stop")
    world.settle()
    assert world.record.duration is not None
    assert world.record.duration < 100
    assert world.record.stopped_at is not None
    assert world.record.stopped_at < world.now


def test_a_server_that_the_operator_starts_again_is_no_trouble_any_more() -> None:
    """The remedy mends."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Ready, "CoBo0")
    assert world.state.run.standing
    world.server("CoBo0", "Start")
    world.settle()
    world.poll()
    assert world.state.run.standing == ()
    assert world.state.run.message.severity is Severity.NO_ALARM


def test_a_silent_router_that_dies_does_not_write_again() -> None:
    """That it is Offline is what its message says, in alarm."""
    world = World()
    world.start_run()
    world.steady += 100
    world.poll_router("data0")
    world.steady += 100
    world.poll_router("data0")
    assert world.state.routers["data0"].silent
    world.routers["data0"].online = False
    world.poll_router("data0")
    assert world.state.routers["data0"].message.severity is Severity.MAJOR
    assert "writes again" not in world.state.routers["data0"].message.text


def test_a_required_observable_that_is_missing_after_a_restart_alarms_the_run() -> None:
    """One that never connected is missed as one that went away."""
    world = World()
    world.start_run()
    world.restart(poll=False)
    world.poll()
    world.feed(ev.ObservablesMissing(frozenset({"pressure"})))
    world.steady += 5
    world.write("CoBo0")
    world.write("CoBo1")
    world.write("MuTAnT")
    world.poll()
    world.steady += 5
    world.poll()
    assert [t.text for t in world.state.run.standing] == ["required observable pressure is not connected"]


@pytest.mark.parametrize("reachable", [True, False])
def test_a_router_found_offline_before_the_database_was_read_alarms_the_run(reachable: bool) -> None:
    """The run that goes on knows of it."""
    world = World()
    world.start_run()
    world.routers["data0"].online = False
    world.routers["data0"].reachable = reachable
    world.pending.clear()
    from ioc.runlogic.step import initial

    world.state = initial(world.plan)
    world.poll()
    world.restore()
    world.feed(ev.ObservablesMissing(frozenset()))
    world.poll()
    assert any("router data0" in t.text for t in world.state.run.standing)


def test_files_of_an_experiment_are_not_filed_under_another() -> None:
    """While files are staged the experiment stays."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    world.put_servers(EccState.Idle)
    world.experiment("e30")
    world.settle()
    world.ready()
    world.run("Start")
    world.settle()
    world.run("Stop")
    world.settle()
    world.put_servers(EccState.Idle)
    world.routers["data0"].staged.append(("late.graw", world.record.run))
    world.poll()
    token = world.experiment("e20")
    world.settle()
    if not world.answers[token].refused:
        world.organize("data0")
        world.settle()
    assert "late.graw" not in world.routers["data0"].directories.get("e20/run_0000", [])


def test_an_experiment_is_not_changed_while_files_of_it_are_organized() -> None:
    """They belong to the run that they are filed under."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    world.put_servers(EccState.Idle)
    world.organize("data0")
    token = world.experiment("e30")
    world.settle()
    assert world.answers[token].refused


@pytest.mark.parametrize(
    ("action", "server_state", "run_state"),
    [
        ("Pause", EccState.Running, RunState.Paused),
        ("Resume", EccState.Paused, RunState.Running),
    ],
)
def test_a_pause_that_failed_can_be_tried_again(action: str, server_state: EccState, run_state: RunState) -> None:
    """Those that are there already are left alone, the others are told once more."""
    world = World()
    world.start_run()
    if action == "Resume":
        world.run("Pause")
        world.settle()
    world.faults["CoBo0", action] = "error"
    world.run(action)
    world.settle()
    assert world.state.run.standing
    token = world.run(action)
    world.settle()
    assert not world.answers[token].error
    assert world.state.run.state is run_state
    assert not world.state.run.standing


def test_a_changed_configuration_is_named_in_each_run_until_it_is_configured() -> None:
    """Every run taken with the old one says so."""
    world = World()
    world.put_servers(EccState.Prepared)
    world.system("Configure")
    world.settle()
    world.poll()
    world.files["CoBo0"] = (("describe-front.xcfg", "ab"), ("prepare-e20.xcfg", "other"))
    for _ in range(2):
        world.run("Start")
        world.settle()
        world.run("Stop")
        world.settle()
        assert "changed after Configure" in world.record.message


def test_a_refusal_does_not_hide_what_is_wrong_with_the_run() -> None:
    """Both are in the message."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Ready, "CoBo0")
    world.run("Start")
    assert "CoBo0 changed from Running to Ready" in world.state.run.message.text


def test_stop_again_does_not_wait_for_a_router_that_is_filed() -> None:
    """What is at its place stays so, though its host is away now."""
    world = World()
    world.start_run()
    world.faults["CoBo0", "Stop"] = "error"
    world.run("Stop")
    world.settle()
    assert world.state.run.unfiled == {"data0"}
    world.routers["data1"].reachable = False
    world.run("Stop")
    world.settle()
    assert world.record.state is DocumentState.Complete


def test_stop_again_is_possible_while_a_router_is_filed_again() -> None:
    """Filing that is tried again by itself does not keep the operator from stopping a server."""
    world = World()
    world.start_run()
    world.faults["CoBo0", "Stop"] = "error"
    world.faults["data1", "file"] = "error"
    world.run("Stop")
    world.settle()
    world.steady += 10
    world.poll_router("data1")
    assert world.state.routers["data1"].filing
    token = world.run("Stop")
    world.settle()
    assert not world.answers[token].refused, world.answers[token]
    assert world.servers["CoBo0"].state is EccState.Ready
    assert world.record.state is DocumentState.Complete


def test_orphaned_survives_a_second_restart() -> None:
    """A run that ended without us is told so after any number of restarts."""
    world = World()
    world.start_run()
    world.faults["data1", "file"] = "error"
    for s in world.servers.values():
        s.state = EccState.Ready
    world.restart()
    world.settle()
    assert world.record.state is DocumentState.Filing
    world.restart()
    world.settle()
    assert world.record.state is DocumentState.Orphaned


def test_what_is_mended_after_the_run_is_no_alarm() -> None:
    """Its message follows, the row of the closed run stays."""
    world = World()
    world.start_run()
    world.feed(ev.ObservablesMissing(frozenset({"pressure"})))
    world.run("Stop")
    world.settle()
    assert world.state.run.message.severity is Severity.MAJOR
    world.feed(ev.ObservablesMissing(frozenset()))
    assert world.state.run.message.severity is Severity.NO_ALARM


def test_a_server_that_is_off_after_our_own_breakup_alarms_the_run() -> None:
    """Its electronics are dead: the run and the server name it and what it needs."""
    world = World()
    world.start_run()
    world.server("CoBo0", "Breakup")
    world.pending.clear()
    world.servers["CoBo0"].state = EccState.Off
    reading = world.servers["CoBo0"].reading(world.now)
    world.feed(ev.TransitionEnded("CoBo0", Operation.Breakup, "code 8", reading))
    text = "ECC server CoBo0 is Off after Breakup, a fault: restart the ECC server"
    assert world.state.servers["CoBo0"].message.text == text
    assert text in world.state.run.message.text
    world.run("Stop")
    world.settle()
    assert text in world.record.message
    assert world.state.run.message.severity is Severity.MAJOR


@pytest.mark.parametrize("action", ["Stop", "Pause", "Breakup"])
def test_what_one_server_was_told_alone_in_a_run_is_kept_with_the_run(action: str) -> None:
    """It is a gap in the data, whoever asked for it."""
    world = World()
    world.start_run()
    world.server("CoBo0", action)
    world.settle()
    assert f"after a {action} of this server alone, and takes no data" in world.record.message
    assert world.state.run.message.severity is Severity.MAJOR


def test_a_server_that_was_restarted_in_the_run_is_not_mended_by_being_idle() -> None:
    """Its electronics may go on sending: the alarm stays over the end of the run."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Idle, "CoBo0")
    world.run("Stop")
    while not any(isinstance(effect, ef.FileRouter) for effect in world.pending):
        world.perform()
        world.poll_server("CoBo0")
    assert "CoBo0 changed from Running to Idle" in world.state.run.message.text
    assert world.state.run.message.severity is Severity.MAJOR
    world.settle()


def test_a_server_that_does_not_answer_while_the_run_is_stopped_is_named_at_once() -> None:
    """It is frozen: the run says so while it waits for it."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.feed(ev.ServerLost("MuTAnT", "ECC server MuTAnT did not answer GetState within 5 s"))
    assert "MuTAnT did not answer GetState" in world.state.run.message.text
    assert world.state.run.message.severity is Severity.MAJOR
    world.settle()


def test_what_a_router_said_of_the_run_before_is_marked_as_past() -> None:
    """A new run begins: its files are not those that were filed."""
    world = World()
    world.start_run()
    world.run("Stop")
    world.settle()
    assert world.state.routers["data0"].message.text == "run 0: 1 file filed"
    world.start_run()
    assert world.state.routers["data0"].message.text.startswith("at ")


def test_configure_of_a_restarted_server_does_not_end_the_trouble_with_it() -> None:
    """Its boards send until Breakup: Ready proves nothing after a restart of the server."""
    world = World()
    world.start_run()
    world.servers["CoBo1"].state = EccState.Idle  # it was restarted
    world.poll()
    world.faults["data1", "file"] = "error"  # as long as data come
    world.run("Stop")
    world.settle()
    for step in ("Describe", "Prepare", "Configure"):
        world.server("CoBo1", step)
        world.settle()
        world.poll_server("CoBo1")
        assert standing(world.state.run, About.Server, "CoBo1"), step
    world.server("CoBo1", "Breakup")
    world.settle()
    assert not standing(world.state.run, About.Server, "CoBo1")
    assert "CoBo1 is Prepared" in world.record.message


def test_files_that_are_complete_show_that_a_restarted_server_sends_no_more() -> None:
    """Where the boards were restarted too, nothing is left to wait for once the files have stopped growing."""
    world = World()
    world.start_run()
    world.servers["CoBo1"].state = EccState.Idle
    world.poll()
    world.faults["data1", "file"] = "error"
    world.run("Stop")
    world.settle()
    for step in ("Describe", "Prepare", "Configure"):
        world.server("CoBo1", step)
        world.settle()
    assert standing(world.state.run, About.Server, "CoBo1")
    world.steady += 10
    world.poll_router("data1")
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert world.state.run.standing == ()


def test_a_restart_of_the_ioc_forgets_no_board_that_sends() -> None:
    """A server that is found Idle in an open run was restarted while its boards took data."""
    world = World()
    world.start_run()
    world.servers["CoBo1"].state = EccState.Idle
    world.restart()
    world.settle()
    world.faults["data1", "file"] = "error"
    world.run("Stop")
    world.settle()
    for step in ("Describe", "Prepare", "Configure"):
        world.server("CoBo1", step)
        world.settle()
    assert standing(world.state.run, About.Server, "CoBo1")


def test_a_backup_of_an_earlier_run_is_no_trouble_of_the_present_one() -> None:
    """A copy that hangs may end when the next run is open already."""
    world = World()
    world.start_run()
    earlier = next(effect for effect in world.effects if isinstance(effect, ef.BackUp))
    world.run("Stop")
    world.settle()
    world.start_run()
    assert world.record.run.number == 1
    world.feed(ev.Ended(earlier, error="no space left on device"))
    assert world.state.run.standing == ()
    assert "not backed up" in world.state.servers[earlier.server].message.text
