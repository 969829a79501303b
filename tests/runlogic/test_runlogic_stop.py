"""Stop in every mixture, Pause and Resume, and what is left of a run when a peer does not follow."""

from __future__ import annotations

import re
from itertools import permutations, product

import pytest

from ioc.model import DocumentState, EccState, NextStep, RunClass, RunId, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.next_step import next_step
from ioc.runlogic.state import About, Cause, Run, Trouble
from tests.runlogic.installation import topology
from tests.runlogic.world import OPERATOR, World


def test_the_end_of_a_run() -> None:
    """MuTAnT, CoBos, snapshot, filing of all routers at once, a look at them, the configurations; then the answer."""
    world = World()
    world.title("alpha source")
    world.ask(ev.SetClass(OPERATOR, RunClass.Production))
    world.start_run()
    token = world.run("Stop")
    seen: dict[str, None] = {}
    while world.pending:
        seen |= dict.fromkeys(type(effect).__name__ for effect in world.pending)
        if isinstance(world.pending[0], ef.FileRouter):
            assert world.record.state is DocumentState.Filing
            assert world.record.stopped_at is not None
        assert token not in world.answers
        world.perform()
    assert list(seen) == ["SendTransition", "TakeSnapshot", "FileRouter", "ProbeRouters", "BackUp"]
    assert world.operations()[3:] == [("Stop", "MuTAnT"), ("Stop", "CoBo0"), ("Stop", "CoBo1")]
    assert world.answers[token] == ef.Answer(token)
    assert world.record.state is DocumentState.Complete
    assert world.record.title == "alpha source"
    assert world.state.run.state is RunState.Stopped
    assert world.state.run.title == ""
    assert world.state.run.run_class is RunClass.Production
    assert world.database.settings["title"] == ""
    assert all("e20/run_0000" in router.directories for router in world.routers.values())
    assert world.blocked_by() == ()


def test_filing_says_what_it_waits_for_and_who_still_runs() -> None:
    """Filing may take minutes: meanwhile the operator reads which routers are not filed, and who did not stop."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Unknown, "CoBo1")
    world.run("Stop")
    while not isinstance(world.pending[0], ef.FileRouter):
        world.perform()
    assert world.state.run.message.severity is Severity.MAJOR
    assert world.state.run.message.text == (
        "run 0 is being filed, but ECC server CoBo1 cannot Stop: it is Offline, but must be Online; "
        "its electronics may still send data"
    )
    world.perform()
    assert world.blocked_by()[0] == "run 0 is Filing: data1 and mutant must be filed first"


def test_numbers_count_up() -> None:
    """Each run has the next number, the first is 0."""
    world = World()
    for _ in range(3):
        world.start_run()
        world.run("Stop")
        world.settle()
    assert [record.run.number for record in world.database.runs.values()] == [0, 1, 2]
    assert world.state.run.next_number == 3


MIXTURES = [EccState.Running, EccState.Paused, EccState.Ready, EccState.Idle, EccState.Off, EccState.Unknown]


@pytest.mark.parametrize("states", list(product(MIXTURES, repeat=3)))
def test_stop_in_every_mixture(states: tuple[EccState, ...]) -> None:
    """Whatever still runs is stopped, who cannot be asked is named, and the run is closed and filed."""
    world = World()
    world.start_run()
    world.sent.clear()
    for name, state in zip(world.servers, states, strict=True):
        world.servers[name].state = EccState.Running if state is EccState.Unknown else state
        world.servers[name].reachable = state is not EccState.Unknown
        world.poll_server(name)
    token = world.run("Stop")
    world.settle()
    running = {name for name, s in zip(world.servers, states, strict=True) if s in {EccState.Running, EccState.Paused}}
    away = [name for name, state in zip(world.servers, states, strict=True) if state is EccState.Unknown]
    assert {name for operation, name in world.operations() if operation == "Stop"} == running
    assert len(world.sent) == len(running)
    assert world.record.state is DocumentState.Complete
    assert world.state.run.state is RunState.Stopped
    answer = world.answers[token]
    for name in world.servers:
        assert (f"ECC server {name} cannot Stop: it is Offline" in answer.error) is (name in away)
    assert bool(answer.error) is bool(away)
    assert not answer.error or answer.error.startswith("run 0 is complete, but ")
    severity = Severity.MAJOR if set(states) & {EccState.Ready, EccState.Idle, EccState.Off} or away else 0
    assert world.state.run.message.severity == severity
    for name, state in zip(world.servers, states, strict=True):
        assert (name in world.record.message) is (state is not EccState.Running)


def test_a_server_that_is_off_in_a_run_is_named_with_its_remedy_at_the_end() -> None:
    """Its electronics died: the row and the message of the run say who, and that the ECC server must be restarted."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Off, "CoBo1")
    world.run("Stop")
    world.settle()
    sentence = (
        "ECC server CoBo1 changed from Running to Off without a command of this IOC, a fault: restart the ECC server"
    )
    assert world.state.run.message.text == f"run 0 is complete, but {sentence}"
    assert world.state.run.message.severity is Severity.MAJOR
    assert world.record.message.endswith(sentence)
    assert world.record.state is DocumentState.Complete


@pytest.mark.parametrize("fault", ["error", "ignored", "slow"])
def test_a_server_that_does_not_stop_is_named_and_the_others_are_stopped(fault: str) -> None:
    """Stop does all that can be done, also in the group after the one that failed."""
    world = World()
    world.start_run()
    world.faults["MuTAnT", "Stop"] = fault
    token = world.run("Stop")
    world.settle()
    assert [name for operation, name in world.operations() if operation == "Stop"] == ["MuTAnT", "CoBo0", "CoBo1"]
    failure = r"ECC server MuTAnT:? [^:;]*\bStop\b"
    assert re.match(f"run 0 is stopped, but {failure}", world.answers[token].error)
    assert world.record.state is DocumentState.Filing
    assert re.search(failure, world.record.message)
    assert world.state.run.message.severity is Severity.MAJOR
    assert world.state.run.unfiled <= {"mutant"}
    world.finish_under_way("MuTAnT")
    world.poll()
    if world.servers["MuTAnT"].state is EccState.Running:
        world.run("Stop")
    world.settle()
    world.steady += 5.0
    world.poll()
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert world.state.run.message.text == "run 0 is complete"
    assert re.search(failure, world.record.message), "what happened stays with the run"


@pytest.mark.parametrize("performed", range(8))
def test_a_server_that_comes_back_running_while_the_run_is_stopped_is_stopped_again(performed: int) -> None:
    """It was frozen when all were stopped: said at once, stopped as part of the same Stop, and the run is filed."""
    world = World()
    world.start_run()
    world.servers["CoBo1"].reachable = False
    world.poll_server("CoBo1")
    token = world.run("Stop")
    for _ in range(performed):
        if world.pending:
            world.perform()
    world.servers["CoBo1"].reachable = True
    before = len(world.log)
    world.poll_server("CoBo1")
    if world.state.job is not None and performed >= 3:
        text = "ECC server CoBo1 was Running although run 0 was stopped: stopping it again"
        assert text in world.state.run.message.text
        assert world.state.run.message.severity is Severity.MAJOR
        assert any(text in entry.text for entry in world.log[before:])
    world.settle()
    world.steady += 5.0
    world.poll()
    world.settle()
    assert world.servers["CoBo1"].state is EccState.Ready
    assert world.record.state is DocumentState.Complete
    assert token in world.answers


def test_stop_while_filing_stops_what_still_runs() -> None:
    """A server was cut off at Stop and comes back Running: an alarm says what to press, and nothing of it is filed."""
    world = World()
    world.start_run()
    world.servers["CoBo1"].reachable = False
    world.poll()
    world.faults["data1", "file"] = "error"
    world.run("Stop")
    world.settle()
    assert world.state.run.state is RunState.Filing
    world.steady += 100.0
    world.servers["CoBo1"].reachable = True
    world.poll()
    press = "ECC server CoBo1 is Running although run 0 was stopped: press Stop of the run"
    assert press in world.state.run.message.text
    assert world.state.servers["CoBo1"].message.severity is Severity.MAJOR
    world.settle()
    assert world.state.run.state is RunState.Filing, "nothing is filed from a router whose source runs"
    organize = world.organize("data1")
    assert world.answers[organize].refused
    assert "CoBo1 still takes data" in world.answers[organize].error
    start = world.server("CoBo0", "Start")
    assert world.answers[start].refused
    stop = world.run("Stop")
    world.settle()
    assert world.answers[stop] == ef.Answer(stop)
    assert world.servers["CoBo1"].state is EccState.Ready
    assert world.record.state is DocumentState.Complete
    assert press in world.record.message


def test_what_to_press_is_said_before_what_waits_for_it() -> None:
    """However much is not filed meanwhile, a server that came back Running is named first, also as the next step."""
    world = World()
    world.start_run()
    for name in world.servers:
        world.servers[name].reachable = False
    for name in world.routers:
        world.faults[name, "file"] = "error"
    world.poll()
    world.run("Stop")
    world.settle()
    assert len(world.state.run.standing) > 4
    world.servers["CoBo1"].reachable = True
    world.poll()
    press = "ECC server CoBo1 is Running although run 0 was stopped: press Stop of the run"
    assert world.state.run.message.text.startswith(f"run 0 is Filing, but {press}; ")
    action = "Stop run 0 again: ECC server CoBo1 is still taking data"
    assert next_step(world.plan, world.state) == (NextStep.Stop, action)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_the_worst_is_named_first_whatever_came_first(order: tuple[int, ...]) -> None:
    """A server to be stopped comes before files that are not in place, and these before a missing backup."""
    named = (
        Trouble(About.Server, "CoBo1", 1.0, "still Running", Severity.MAJOR, Cause.StillRunning),
        Trouble(About.Filing, "data1", 1.0, "not filed", Severity.MAJOR),
        Trouble(About.Backup, "CoBo1", 1.0, "not backed up", Severity.MINOR),
    )
    assert Run(troubles=tuple(named[number] for number in order)).by_urgency == named


def test_a_server_that_comes_back_running_after_its_run_was_closed_is_an_alarm() -> None:
    """No run is open any more: the server says what to press."""
    world = World()
    world.start_run()
    world.servers["CoBo1"].reachable = False
    world.poll()
    world.run("Stop")
    world.settle()
    assert world.record.state is DocumentState.Complete
    world.servers["CoBo1"].reachable = True
    world.poll()
    message = world.state.servers["CoBo1"].message
    assert message.text == "ECC server CoBo1 is Online again and Running although no run is open: press its Stop"
    assert message.severity is Severity.MAJOR


@pytest.mark.parametrize("action", ["Start", "Resume"])
@pytest.mark.parametrize("state", [EccState.Ready, EccState.Paused])
def test_no_server_takes_data_while_a_run_is_filed(action: str, state: EccState) -> None:
    """What it wrote would be filed with a run that it does not belong to."""
    world = World()
    world.start_run()
    world.faults["data1", "file"] = "error"
    world.run("Stop")
    world.settle()
    world.put_servers(state, "CoBo0")
    token = world.server("CoBo0", action)
    assert world.answers[token].refused
    assert not world.pending


@pytest.mark.parametrize("steps", range(1, 5))
def test_stop_during_a_start(steps: int) -> None:
    """Wherever the start is, Stop takes over: the start fails, what was sent is waited for, then all are stopped."""
    world = World()
    world.ready()
    start = world.run("Start")
    for _ in range(steps + 1):
        world.perform()
    assert world.state.run.state is RunState.Starting
    stop = world.run("Stop")
    assert world.answers[start].error == "run 0: Start of a run aborted: Stop requested"
    world.settle()
    assert all(server.state is EccState.Ready for server in world.servers.values())
    assert world.answers[stop] == ef.Answer(stop)
    assert world.record.state is DocumentState.Failed
    assert world.state.run.state is RunState.Failed
    assert world.state.run.message.severity is Severity.MAJOR
    assert world.state.run.message.text == "run 0 failed to start: it was stopped before it was Running"


def test_stop_while_the_routers_are_looked_at() -> None:
    """The start is given up at once and uses no number; the look that ends late begins nothing."""
    world = World()
    world.ready()
    start = world.run("Start")
    stop = world.run("Stop")
    assert world.answers[start] == ef.Answer(start, "run 0 does not start: Stop requested")
    assert world.answers[stop] == ef.Answer(stop)
    world.settle()
    assert world.database.runs == {}
    assert world.state.run.message.text == "run 0 does not start: Stop requested"
    world.start_run()


@pytest.mark.parametrize("fault", ["", "error", "lost"])
def test_stop_while_a_number_is_reserved(fault: str) -> None:
    """The run that opens is stopped before anything is sent to a server; if none opens, there is nothing to stop."""
    world = World()
    world.ready()
    start = world.run("Start")
    world.perform()
    stop, second = world.run("Stop"), world.run("Stop")
    assert world.answers.keys() == {second}
    assert world.answers[second] == ef.Answer(second, "run 0 is being stopped already", refused=True)
    world.perform(fault=fault)
    assert world.answers[start].error
    world.settle()
    assert world.answers[stop] == ef.Answer(stop)
    assert not world.state.run.open
    assert all(record.state is DocumentState.Failed for record in world.database.runs.values()) or fault == "lost"
    assert world.sent == []


def test_a_result_for_a_start_that_was_given_up_is_not_taken_for_one_of_the_stop() -> None:
    """The begin-of-run snapshot of the start comes late: the stop still waits for its own."""
    world = World()
    world.ready()
    world.run("Start")
    world.perform()
    world.perform()
    world.run("Stop")
    assert [effect.which for effect in world.pending if isinstance(effect, ef.TakeSnapshot)] == [
        ef.Snapshot.Begin,
        ef.Snapshot.End,
    ]
    world.perform()
    assert not any(isinstance(effect, ef.FileRouter) for effect in world.pending)
    world.settle()


def test_stop_during_a_pause() -> None:
    """A Pause under way is waited for and given up, then all are stopped."""
    world = World()
    world.start_run()
    pause = world.run("Pause")
    stop = world.run("Stop")
    assert world.answers[pause].error == "run 0: Pause aborted: Stop requested"
    world.settle()
    assert world.answers[stop] == ef.Answer(stop)
    assert all(server.state is EccState.Ready for server in world.servers.values())
    assert world.record.state is DocumentState.Complete


def test_stop_waits_for_a_single_command() -> None:
    """A server that was just told something alone is stopped afterwards."""
    world = World()
    world.start_run()
    alone = world.server("CoBo0", "Pause")
    stop = world.run("Stop")
    world.settle()
    assert world.answers[alone] == ef.Answer(alone)
    assert world.answers[stop] == ef.Answer(stop)
    assert world.servers["CoBo0"].state is EccState.Ready


def test_stop_twice() -> None:
    """The second Stop is refused while the first one works, and when nothing is open."""
    world = World()
    nothing = world.run("Stop")
    assert world.answers[nothing].error == "no run is open: there is nothing to stop"
    world.start_run()
    world.run("Stop")
    second = world.run("Stop")
    assert world.answers[second].error == "run 0 is being stopped already"
    assert world.answers[second].refused
    world.settle()


def test_pause_and_resume() -> None:
    """MuTAnT first in both; the run has the state that all servers reached."""
    world = World()
    world.start_run()
    world.sent.clear()
    for action, state in (("Pause", RunState.Paused), ("Resume", RunState.Running)):
        token = world.run(action)
        world.settle()
        assert world.answers[token] == ef.Answer(token)
        assert world.state.run.state is state
    assert world.operations() == [
        (action, name) for action in ("Pause", "Resume") for name in ("MuTAnT", "CoBo0", "CoBo1")
    ]


def test_a_pause_that_fails_leaves_the_later_group_running() -> None:
    """The MuTAnT failed: the CoBos are not touched, the run is not Paused, and can still be stopped."""
    world = World()
    world.start_run()
    world.faults["MuTAnT", "Pause"] = "error"
    token = world.run("Pause")
    world.settle()
    assert world.answers[token].error == "Pause failed: ECC server MuTAnT failed Pause: no CoBo answers"
    assert world.state.run.state is RunState.Running
    assert ("Pause", "CoBo0") not in world.operations()
    stop = world.run("Stop")
    world.settle()
    assert world.answers[stop] == ef.Answer(stop)


def test_resume_is_refused_where_a_server_would_crash() -> None:
    """One server that does not support it is enough; each is named."""
    world = World(topology(resume=False))
    world.start_run()
    world.run("Pause")
    world.settle()
    token = world.run("Resume")
    assert world.answers[token].error == (
        "run 0 cannot Resume: it would crash CoBo0, CoBo1 and MuTAnT, unless the topology says supports_resume: true"
    )


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("Pause", "run cannot Pause: no run is open"),
        ("Resume", "run cannot Resume: no run is open"),
    ],
)
def test_pause_and_resume_need_an_open_run(action: str, sentence: str) -> None:
    """There is nothing to pause between runs."""
    world = World()
    token = world.run(action)
    assert world.answers[token] == ef.Answer(token, sentence, refused=True)


def test_pause_names_every_server_that_does_not_run() -> None:
    """A mixture is refused with all who differ."""
    world = World()
    world.start_run()
    world.put_servers(EccState.Ready, "CoBo0", "MuTAnT")
    token = world.run("Pause")
    assert world.answers[token].error == (
        "run 0 cannot Pause: ECC server CoBo0 cannot Pause: it is Ready, but must be Running; "
        "ECC server MuTAnT cannot Pause: it is Ready, but must be Running"
    )
    resume = world.run("Resume")
    assert world.answers[resume].error == "run 0 cannot Resume: it is Running, but must be Paused"


def test_a_required_observable_that_goes_away_alarms_the_run() -> None:
    """The run goes on, and says what is missing."""
    world = World()
    world.start_run()
    world.feed(ev.ObservablesMissing(frozenset({"pressure"})))
    assert world.state.run.state is RunState.Running
    assert world.state.run.message.text == "run 0 is Running, but required observable pressure is not connected"
    assert world.state.run.message.severity is Severity.MAJOR
    world.feed(ev.ObservablesMissing(frozenset()))
    assert world.state.run.message.text == "run 0 is Running"
    assert world.state.run.message.severity is Severity.NO_ALARM
    assert "pressure is not connected" in world.record.message, "what happened stays with the run"


@pytest.mark.parametrize("jumps", [(3600.0, -5400.0), (-86400.0,), (0.0,)])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_run_lasts_as_long_as_it_lasts(jumps: tuple[float, ...], *, restarted: bool) -> None:
    """Its duration is the time that passed, whatever is done to the clock, and its end never lies before its start."""
    world = World()
    world.start_run()
    began_at = world.record.started_at
    assert began_at is not None
    for jump in jumps:
        world.now += jump
        world.steady += 100.0
        world.poll()
    lasted = 100.0 * len(jumps)
    assert world.state.run.duration(world.steady) == lasted
    if restarted:
        world.last_duration = lasted
        world.steady = 7.0
        world.restart()
        world.settle()
        assert world.state.run.duration(world.steady) == pytest.approx(lasted, abs=20.0)
        world.steady += 50.0
        lasted = world.state.run.duration(world.steady)
    world.run("Stop")
    world.settle()
    assert world.record.duration == lasted
    assert world.record.stopped_at == began_at + lasted
    world.steady += 1000.0
    assert world.state.run.duration(world.steady) == lasted


def test_a_run_that_ended_while_the_ioc_was_away_lasted_as_long_as_was_known() -> None:
    """The clock that was set meanwhile does not make it longer."""
    world = World()
    world.start_run()
    began_at = world.record.started_at
    assert began_at is not None
    for server in world.servers.values():
        server.state = EccState.Ready
    world.last_duration = 321.0
    world.now -= 3600.0
    world.restart()
    world.settle()
    assert world.record.duration == 321.0
    assert world.record.stopped_at == began_at + 321.0


@pytest.mark.parametrize("when", ["Filing", "complete"])
def test_observables_that_are_recorded_later_are_no_complaint_any_more(when: str) -> None:
    """The database was locked at the end of the run: said so, and mended when they are stored, on a closed run too."""
    world = World()
    world.start_run()
    world.faults["database", "End"] = "error"
    if when == "Filing":
        world.faults["data0", "file"] = "error"
    world.run("Stop")
    world.settle()
    assert "observables not recorded: the database is locked" in world.state.run.message.text
    assert world.state.run.message.severity is Severity.MAJOR
    world.feed(ev.RunRecorded(RunId("e20", 7)))
    assert "observables not recorded" in world.state.run.message.text
    world.feed(ev.RunRecorded(RunId("e20", 0)))
    assert "observables" not in world.state.run.message.text
    if when == "complete":
        assert world.state.run.message.text == "run 0 is complete"
        assert world.state.run.message.severity is Severity.NO_ALARM
    assert world.record.message.splitlines()[0].endswith(": the observables of run 0 are recorded)")
