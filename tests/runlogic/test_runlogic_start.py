"""Start of a run: every permit, every refusal, the order of what is done, the roll-back of a failure."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ioc.model import DocumentState, EccState, Operation, RunClass, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.plan import GIGABYTE
from ioc.runlogic.subject import RUN
from tests.runlogic.installation import topology
from tests.runlogic.world import OPERATOR, World


def _offline(world: World) -> None:
    world.servers["CoBo1"].reachable = False


def _idle(world: World) -> None:
    world.servers["CoBo1"].state = EccState.Idle


def _busy(world: World) -> None:
    world.servers["CoBo1"].under_way = Operation.Breakup


def _running(world: World) -> None:
    world.servers["CoBo1"].state = EccState.Running


def _router_offline(world: World) -> None:
    world.routers["data1"].online = False


def _host_away(world: World) -> None:
    world.routers["data1"].reachable = False


def _dirty(world: World) -> None:
    world.routers["data1"].staged = [("a.graw", None), ("b.graw", None)]


def _directory(world: World) -> None:
    world.routers["data1"].directories["e20/run_0000"] = []


def _disk(world: World) -> None:
    world.routers["data1"].disk_free = GIGABYTE


def _observable(world: World) -> None:
    world.feed(ev.ObservablesMissing(frozenset({"pressure"})))


PERMITS = [
    (_offline, "ECC server CoBo1 is Offline, but must be Online and Ready"),
    (_idle, "ECC server CoBo1 is Idle, but must be Ready"),
    (_busy, "ECC server CoBo1 is BreakingUp, but must be Ready and at rest"),
    (_running, "ECC server CoBo1 is Running although no run is open: stop it, or Reset the system"),
    (
        _router_offline,
        "router data1 is Offline, but must be Online",
    ),
    (_host_away, "router data1 is Offline, but must be Online (host of data1 does not answer)"),
    (
        _dirty,
        "router data1 is Dirty with 2 .graw files, but must be Clean: move the files away, there was no run yet",
    ),
    (
        _directory,
        (
            "router data1 already has a directory for run 0 of e20, but it must not exist: move it away, "
            "or set Run:NextNumber to a free number"
        ),
    ),
    (_disk, "router data1 has 1.0 GB of free disk, but must have 5 GB"),
    (_observable, "observable pressure is not connected, but this topology requires it"),
]


def test_a_refusal_is_past_when_its_reason_is_gone() -> None:
    """What forbade a start does so no longer: the refusal does not stand beside `CanStart` Yes."""
    world = World()
    world.ready()
    world.run("Start")
    world.settle()
    world.run("Stop")
    world.settle()
    refusal = "run 1 cannot start: ECC server CoBo0 is Prepared, but must be Ready"
    world.server("CoBo0", "Breakup")
    world.settle()
    world.run("Start")
    assert world.state.run.message.text == refusal
    world.poll()
    assert world.state.run.message.text == refusal
    world.server("CoBo0", "Configure")
    world.settle()
    assert world.blocked_by() == ()
    assert world.state.run.message.text.startswith("at ")
    assert world.state.run.message.text.endswith(refusal)


@pytest.mark.parametrize(("spoil", "reason"), PERMITS)
def test_each_permit(spoil: Callable[[World], None], reason: str) -> None:
    """Each condition alone blocks a start, is told beforehand, and is the one reason of the refusal."""
    world = World()
    world.ready()
    assert world.blocked_by() == ()
    spoil(world)
    world.poll()
    assert world.blocked_by() == (reason,)
    token = world.run("Start")
    world.settle()
    assert world.answers[token] == ef.Answer(token, f"run 0 cannot start: {reason}", refused=True)
    assert world.state.run.message.text == f"run 0 cannot start: {reason}"
    assert world.sent == []
    assert world.database.runs == {}
    assert world.state.run.state is RunState.Stopped


def test_every_reason_at_once() -> None:
    """A start that is blocked in many ways names them all, so that nobody mends them one by one."""
    world = World()
    world.ready()
    spoils = (_offline, _dirty, _directory, _disk, _observable)
    for spoil in spoils:
        spoil(world)
    world.poll()
    reasons = [reason for spoil, reason in PERMITS if spoil in spoils]
    assert list(world.blocked_by()) == reasons
    token = world.run("Start")
    world.settle()
    assert world.answers[token].error == "run 0 cannot start: " + "; ".join(reasons)


def test_a_start_looks_at_the_routers_itself() -> None:
    """A file that came since the last poll blocks the start."""
    world = World()
    world.ready()
    _dirty(world)
    assert world.blocked_by() == ()
    token = world.run("Start")
    world.settle()
    assert world.answers[token].refused
    assert "router data1 is Dirty" in world.answers[token].error


def test_an_open_run_is_the_reason_while_it_runs() -> None:
    """What the open run itself causes, servers that run and files on the routers, is not held against it."""
    world = World()
    world.start_run()
    world.poll()
    assert world.blocked_by() == ("run 0 is Running: it must be stopped first",)
    token = world.run("Start")
    assert world.answers[token] == ef.Answer(
        token, "run 1 cannot start: run 0 is Running: it must be stopped first", refused=True
    )
    world.routers["data1"].online = False
    world.poll()
    assert world.blocked_by() == (
        "run 0 is Running: it must be stopped first",
        "router data1 is Offline, but must be Online",
    )


def test_a_start_under_way_blocks_another() -> None:
    """While a start looks at the routers no other is accepted, and CanStart says so."""
    world = World()
    world.ready()
    world.run("Start")
    assert world.blocked_by() == ("Start of a run is under way",)
    second = world.run("Start")
    assert world.answers[second].error == "run 0 cannot start: Start of a run is under way"
    world.settle()
    assert world.state.run.state is RunState.Running


def test_a_step_under_way_blocks_a_start() -> None:
    """The refusal names the step."""
    world = World()
    world.put_servers(EccState.Prepared)
    world.system("Configure")
    token = world.run("Start")
    assert world.answers[token].error.startswith("run 0 cannot start: Configure is under way; ECC server CoBo0 is")
    world.settle()


def test_an_experiment_that_is_being_opened_blocks_a_start() -> None:
    """The next number is not known before the database has opened the experiment."""
    world = World()
    world.experiment("e21")
    token = world.run("Start")
    assert world.answers[token].error.startswith("run 0 cannot start: another experiment is being opened; ECC server")
    world.settle()


def test_the_life_of_a_run() -> None:
    """Reserve, snapshot, CoBos, MuTAnT; Running with its start time only when all are Running."""
    world = World()
    world.title("alpha source")
    world.ready()
    token = world.run("Start")
    seen: dict[str, None] = {}
    while world.state.run.state is not RunState.Running:
        seen |= dict.fromkeys(type(effect).__name__ for effect in world.pending)
        world.perform()
    assert list(seen) == ["ProbeRouters", "ReserveRun", "TakeSnapshot", "SendTransition"]
    assert world.operations() == [("Start", "CoBo0"), ("Start", "CoBo1"), ("Start", "MuTAnT")]
    assert world.state.run.state is RunState.Running
    assert world.answers[token] == ef.Answer(token)
    assert {type(effect) for effect in world.pending} <= {ef.BackUp}, "copies of the files need not be waited for"
    record = world.record
    assert (record.state, record.title, record.run.number) == (DocumentState.Running, "alpha source", 0)
    assert record.started_at == world.now
    saved = next(effect for effect in world.effects if isinstance(effect, ef.SaveRunConfigs))
    assert {config.ecc_server for config in saved.configs} == set(world.servers)


def test_the_mutant_is_configured_again_if_the_topology_says_so() -> None:
    """Breakup and Configure of the MuTAnT, before the snapshot and the CoBos."""
    world = World(topology(reset_mutant=True))
    world.start_run()
    assert world.operations() == [
        ("Breakup", "MuTAnT"),
        ("Configure", "MuTAnT"),
        ("Start", "CoBo0"),
        ("Start", "CoBo1"),
        ("Start", "MuTAnT"),
    ]


def test_a_number_that_cannot_be_reserved_changes_nothing() -> None:
    """Without a number no transition is sent; the system is ready for another attempt."""
    world = World()
    world.ready()
    world.faults["database", "reserve"] = "error"
    token = world.run("Start")
    world.settle()
    assert world.answers[token].error == "run 0 cannot start: no run number could be reserved: the database is locked"
    assert world.sent == []
    assert world.blocked_by() == ()


def test_a_title_typed_while_the_number_is_reserved_is_that_of_the_run() -> None:
    """Title and class belong to the run from the moment it is open."""
    world = World()
    world.ready()
    world.run("Start")
    world.perform()
    world.title("late")
    world.ask(ev.SetClass(OPERATOR, RunClass.Beam))
    world.settle()
    assert (world.record.title, world.record.run_class) == ("late", RunClass.Beam)


def test_a_snapshot_that_fails_does_not_hold_the_run() -> None:
    """The run starts, and says in alarm that the observables are missing."""
    world = World()
    world.ready()
    world.faults["database", "Begin"] = "error"
    token = world.run("Start")
    world.settle()
    assert world.answers[token] == ef.Answer(token)
    assert ef.Log(Severity.MAJOR, RUN, "run 0: observables not recorded: the database is locked") in world.log


@pytest.mark.parametrize("fault", ["error", "ignored", "unread", "unread undone", "slow"])
@pytest.mark.parametrize("server", ["CoBo1", "MuTAnT"])
def test_a_start_that_fails_is_rolled_back(server: str, fault: str) -> None:
    """Those that had started are stopped, the run is Failed with the reason, its number stays used."""
    world = World()
    world.ready()
    world.faults[server, "Start"] = fault
    token = world.run("Start")
    world.settle()
    started = ["CoBo0"] if server == "CoBo1" else ["CoBo0", "CoBo1"]
    assert [name for operation, name in world.operations() if operation == "Stop"] == started
    if server == "CoBo1":
        assert ("Start", "MuTAnT") not in world.operations()
    answer = world.answers[token]
    assert re.match(rf"run 0 failed to start: ECC server {server}:? [^:;]*\bStart\b", answer.error), answer.error
    assert not answer.refused
    assert world.record.state is DocumentState.Failed
    assert re.search(rf" ECC server {server}:? [^:;]*\bStart\b", world.record.message), world.record.message
    assert world.state.run.state is RunState.Failed
    assert world.state.run.message.text == answer.error
    assert world.state.run.message.severity is Severity.MAJOR
    assert all(not router.staged for router in world.routers.values())
    assert world.state.run.next_number == 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("unread", "ECC server MuTAnT cannot Stop: it is Offline, but must be Online"),
        ("slow", "ECC server MuTAnT cannot Stop: it is Starting, but must be at rest"),
    ],
)
def test_a_server_that_may_still_start_is_named(fault: str, why: str) -> None:
    """What became of a server is not guessed: if it cannot be stopped, the answer says so."""
    world = World()
    world.ready()
    world.faults["MuTAnT", "Start"] = fault
    token = world.run("Start")
    world.settle()
    assert why in world.answers[token].error


def test_a_server_that_stops_before_the_last_one_has_started_fails_the_start() -> None:
    """The run is Running only if all servers are."""
    world = World()
    world.ready()
    token = world.run("Start")
    while ("Start", "MuTAnT") not in world.operations():
        world.perform()
    world.put_servers(EccState.Ready, "CoBo0")
    world.settle()
    assert world.answers[token].error == ("run 0 failed to start: ECC server CoBo0 is Ready, but must be Running")
    assert world.state.run.state is RunState.Failed


def test_a_start_that_failed_leaves_its_title_to_the_next() -> None:
    """Whoever tries again need not type the title again, not even after a restart; the failure is logged once."""
    world = World()
    world.title("alpha source")
    world.ready()
    world.faults["MuTAnT", "Start"] = "error"
    world.run("Start")
    world.settle()
    assert (world.record.state, world.record.title) == (DocumentState.Failed, "alpha source")
    assert world.state.run.title == "alpha source"
    assert world.database.settings["title"] == "alpha source"
    assert len([said for said in world.log if "MuTAnT failed Start" in said.text and said.subject == RUN]) == 1
    world.run("Start")
    world.settle()
    assert (world.record.state, world.record.title) == (DocumentState.Running, "alpha source")


def test_failed_lasts_until_the_next_start() -> None:
    """Neither a refusal nor a title ends the alarm; a start that is accepted does."""
    world = World()
    world.ready()
    world.faults["MuTAnT", "Start"] = "error"
    world.run("Start")
    world.settle()
    _dirty(world)
    world.run("Start")
    world.settle()
    world.title("again")
    world.copy_previous(world.record)
    assert world.state.run.state is RunState.Failed
    assert world.state.run.message.severity is Severity.MAJOR
    world.routers["data1"].staged.clear()
    world.poll()
    world.run("Start")
    world.settle()
    assert world.state.run.state is RunState.Running
    assert world.state.run.number == 1
    assert world.state.run.message.severity is Severity.NO_ALARM


@pytest.mark.parametrize("state", [EccState.Idle, EccState.Ready])
def test_failed_ends_with_a_reset_of_the_system(state: EccState) -> None:
    """Reset acknowledges the failed run, even where there is no step back to go."""
    world = World()
    world.ready()
    world.faults["MuTAnT", "Start"] = "error"
    world.run("Start")
    world.settle()
    world.put_servers(state)
    token = world.system("Reset")
    world.settle()
    assert world.answers[token] == ef.Answer(token)
    assert world.state.run.state is RunState.Stopped
    assert world.state.run.message.severity is Severity.NO_ALARM


def test_a_reset_that_is_refused_does_not_end_failed() -> None:
    """A refusal changes nothing, the alarm of the failed run included."""
    world = World()
    world.ready()
    world.faults["MuTAnT", "Start"] = "error"
    world.run("Start")
    world.settle()
    world.put_servers(EccState.Idle, "CoBo0")
    before = world.state.run
    token = world.system("Reset")
    assert world.answers[token].refused
    assert world.state.run == before


def test_failed_survives_filing_by_hand() -> None:
    """The reason of a failed start is still told when its files were organized later."""
    world = World()
    world.ready()
    world.faults["MuTAnT", "Start"] = "error"
    world.faults["data0", "file"] = "error"
    world.run("Start")
    world.settle()
    assert world.state.run.state is RunState.Filing
    token = world.organize("data0")
    world.settle()
    assert world.answers[token] == ef.Answer(token)
    assert world.state.run.state is RunState.Failed
    assert "MuTAnT failed Start" in world.state.run.message.text
    assert world.state.run.message.severity is Severity.MAJOR
