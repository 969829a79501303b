"""Partners in the core: they begin and end with each run, and whatever they do, a stop goes on."""

from __future__ import annotations

import pytest

from ioc.model import DocumentState, EccState, NextStep, RunState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic import events as ev
from ioc.runlogic.next_step import next_step
from ioc.runlogic.permits import grouped
from ioc.runlogic.state import About
from tests.runlogic.installation import PARTNERS, topology
from tests.runlogic.world import World

EARLY, LATE = PARTNERS
BY_HAND = "press End in its ReadoutGUI"


@pytest.fixture
def world() -> World:
    """Two CoBos and a MuTAnT, a partner that begins before them and one that begins after them; all is ready."""
    world = World(topology(partners=PARTNERS))
    world.ready()
    world.poll()
    return world


def order(world: World) -> list[str]:
    """What was sent to servers and partners, in order, each group once."""
    said: list[str] = []
    for effect in world.effects:
        match effect:
            case ef.SendTransition(operation=operation):
                text = operation.value
            case ef.BeginPartner(partner=name):
                text = f"begin {name}"
            case ef.EndPartner(partner=name):
                text = f"end {name}"
            case _:
                continue
        if said[-1:] != [text]:
            said.append(text)
    return said


def active(world: World) -> dict[str, bool]:
    return {name: partner.active for name, partner in world.partners.items()}


def texts(world: World) -> list[str]:
    """The troubles of the run that have not ended."""
    return [each.text for each in world.state.run.standing]


def test_they_embrace_the_run(world: World) -> None:
    """One begins before the ECC servers and ends after them, the other the other way round, with number and title."""
    world.title("60Fe {d,p}")
    world.start_run()
    assert world.state.run.state is RunState.Running
    assert {(each.number, each.title) for each in world.partners.values()} == {(0, "60Fe {d,p}")}
    stop = world.run("Stop")
    world.settle()
    assert world.answers[stop] == ef.Answer(stop)
    assert order(world) == ["begin early", "Start", "begin late", "end late", "Stop", "end early"]
    assert active(world) == {"early": False, "late": False}
    assert world.record.state is DocumentState.Complete
    assert world.record.message == ""


@pytest.mark.parametrize(
    ("reachable", "active", "reason", "advice"),
    [
        (
            True,
            True,
            f"partner early is Active already, but must be Halted: {BY_HAND}",
            f"is Active already: {BY_HAND}",
        ),
        (
            False,
            False,
            "partner early is Offline, but must be Online and Halted (partner early at 127.0.0.1:1 does not answer)",
            "is Offline: start its ReadoutGUI",
        ),
    ],
)
def test_no_start_unless_it_is_halted(world: World, reachable: bool, active: bool, reason: str, advice: str) -> None:
    """A partner with a run of its operator, or that is away, forbids Start with a reason that says what to do."""
    world.partners["early"].reachable, world.partners["early"].active = reachable, active
    world.poll_partner("early")
    assert world.blocked_by() == (reason,)
    assert grouped(world.plan, world.state) == (f"partner early {advice}",)
    assert next_step(world.plan, world.state) == (NextStep.Wait, f"Not ready to start: partner early {advice}")
    start = world.run("Start")
    assert world.answers[start].refused
    assert not world.database.runs


def test_it_must_have_been_asked() -> None:
    """Before its first answer no run starts."""
    world = World(topology(partners=PARTNERS))
    world.ready()
    world.restart(poll=False)
    assert "partner late has not been asked yet" in world.blocked_by()
    assert "all 2 partners are not asked yet: wait" in grouped(world.plan, world.state)


@pytest.mark.parametrize("fault", ["error", "lost", "never"])
@pytest.mark.parametrize("name", ["early", "late"])
def test_a_start_fails_with_it(world: World, name: str, fault: str) -> None:
    """Refused, lost or unknown: what had begun is ended, also what may have begun; the number stays used."""
    world.faults[name, "begin"] = fault
    start = world.run("Start")
    world.settle()
    assert f"partner {name}" in world.answers[start].error
    assert world.state.run.state is RunState.Failed
    assert active(world) == {"early": False, "late": False}
    ended = {effect.partner for effect in world.effects if isinstance(effect, ef.EndPartner)}
    begun = {"early", name} - ({name} if fault == "error" else set())
    assert ended == begun, "one that has certainly not begun is not ended"
    world.poll()
    world.start_run()
    assert world.state.run.number == 1


def test_it_must_still_run_when_the_run_is_opened(world: World) -> None:
    """A partner that ends while the servers start makes the start fail."""
    start = world.run("Start")
    while not any(isinstance(effect, ef.SendTransition) for effect in world.pending):
        world.perform()
    world.partners["early"].active = False
    world.poll_partner("early")
    world.settle()
    assert "partner early is Halted, but must be Active" in world.answers[start].error
    assert world.state.run.state is RunState.Failed


def test_a_stop_does_not_wait_for_its_begin(world: World) -> None:
    """Stop while a partner begins: the begin is given up, and what it may have begun is ended."""
    world.run("Start")
    while not any(isinstance(effect, ef.BeginPartner) for effect in world.pending):
        world.perform()
    world.run("Stop")
    assert [effect for effect in world.effects if isinstance(effect, ef.EndPartner)] == [ef.EndPartner("early")]
    world.settle()
    assert not world.state.run.open
    assert active(world) == {"early": False, "late": False}


@pytest.mark.parametrize("fault", ["error", "lost", "never"])
@pytest.mark.parametrize("name", ["early", "late"])
def test_a_stop_goes_on_without_it(world: World, name: str, fault: str) -> None:
    """A partner that does not end is a trouble of the run, which is closed all the same."""
    world.start_run()
    world.faults[name, "end"] = fault
    stop = world.run("Stop")
    world.settle()
    assert f"partner {name}" in world.answers[stop].error
    assert world.record.state is DocumentState.Complete
    assert f"partner {name}" in world.record.message
    assert not world.state.run.unfiled
    world.partners[name].active = False
    world.poll()
    assert world.blocked_by() == ()


def test_the_servers_do_not_wait_for_one_that_hangs(world: World) -> None:
    """One that ends before the servers is told first, but they stop at once; the run ends with its answer."""
    world.start_run()
    stop = world.run("Stop")
    assert [type(effect) for effect in world.pending] == [ef.EndPartner, ef.SendTransition]
    while len(world.pending) > 1:
        world.perform(1)
    assert not [name for name, server in world.state.servers.items() if server.takes_data]
    assert world.pending == [ef.EndPartner("late")]
    assert world.record.state is DocumentState.Stopping, "nobody knows yet whether it has ended"
    world.perform(0, "error")
    world.settle()
    assert "partner late still runs" in world.answers[stop].error
    assert world.record.state is DocumentState.Complete


def test_one_that_ends_by_itself_is_an_alarm(world: World) -> None:
    """The run goes on; the trouble is kept, and mended if it is begun again by hand and controlled by nobody."""
    world.start_run()
    world.partners["late"].active = False
    world.poll_partner("late")
    assert world.state.run.state is RunState.Running
    assert texts(world) == ["partner late has ended its run by itself"]
    assert world.state.run.message.severity is Severity.MAJOR
    assert world.state.partners["late"].message.severity is Severity.MAJOR
    world.run("Stop")
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert "partner late has ended its run by itself" in world.record.message


@pytest.mark.parametrize("reachable", [True, False])
def test_one_that_must_not_end_stops_the_run(world: World, reachable: bool) -> None:
    """With on_end: stop, a partner that ends stops the run in order; so does one that has been lost for 10 s."""
    world.start_run()
    world.partners["early"].active, world.partners["early"].reachable = not reachable, reachable
    world.poll_partner("early")
    if not reachable:
        assert world.state.run.state is RunState.Running
        world.pass_time(10)
        world.poll_partner("early")
    assert world.state.run.state is RunState.Stopping
    world.settle()
    assert world.record.state is DocumentState.Complete
    assert [name for name, server in world.state.servers.items() if server.takes_data] == []


def test_one_that_hangs_for_a_moment_stops_nothing(world: World) -> None:
    """Polls without an answer are an alarm at once, but a partner that answers within 10 s has not ended."""
    world.start_run()
    partner = world.partners["early"]
    for _ in range(3):
        partner.reachable = False
        for _ in range(3):
            world.poll_partner("early")
            world.pass_time(3)
        assert len(texts(world)) == 1
        partner.reachable = True
        world.poll_partner("early")
        assert texts(world) == []
    assert world.state.run.state is RunState.Running


def test_lost_reasons_are_one_trouble(world: World) -> None:
    """While it is away its reasons change, but the run keeps one line."""
    world.start_run()
    for reason in ("it does not answer", "it refused the connection", "it does not answer"):
        world.feed(ev.PartnerLost("late", reason))
    assert texts(world) == ["partner late is Offline: it does not answer"]
    assert world.record.message.count("partner late") == 1


def test_after_a_restart_it_goes_on_by_itself(world: World) -> None:
    """The connection ended with the IOC: the run says who must end it, Stop cannot, and says so again."""
    world.start_run()
    world.restart()
    assert world.state.run.state is RunState.Running
    own = f"takes data under its own control since its connection was lost: {BY_HAND} after Stop"
    assert texts(world) == [f"partner early {own}", f"partner late {own}"]
    stop = world.run("Stop")
    world.settle()
    assert BY_HAND in world.answers[stop].error
    assert world.record.state is DocumentState.Complete
    assert len(world.blocked_by()) == 2
    for partner in world.partners.values():
        partner.active = False
    world.poll()
    assert world.blocked_by() == ()


def test_after_a_restart_it_may_be_halted(world: World) -> None:
    """If somebody has ended it meanwhile, that is the usual alarm, and Stop has nothing to complain about."""
    world.start_run()
    world.partners["late"].active = False
    world.restart()
    assert "partner late has ended its run by itself" in texts(world)


def test_a_run_that_ended_while_the_ioc_was_down_ends_its_partners(world: World) -> None:
    """An orphaned run says that its partners still run."""
    world.start_run()
    for server in world.servers.values():
        server.state = type(server.state).Ready
    world.restart()
    world.settle()
    assert world.record.state is DocumentState.Orphaned
    assert f"partner early still runs: {BY_HAND}" in world.record.message


def test_a_partner_begun_in_a_start_that_a_crash_cut_is_remembered(world: World) -> None:
    """Which run it was begun for is on disk before it is told, and gone when it has ended."""
    start = world.run("Start")
    while not any(isinstance(effect, ef.BeginPartner) for effect in world.pending):
        world.perform()
    assert world.database.settings["partner:early"] == "0"
    assert start not in world.answers
    world.partners["early"].begin(0, "")
    world.restart()
    world.settle()
    assert not world.state.run.open
    assert f"partner early still runs: {BY_HAND}" in world.record.message


def test_a_start_that_a_crash_cut_before_a_partner_has_failed(world: World) -> None:
    """The IOC was killed before it told the partner: the servers run, but no run goes on without it."""
    world.run("Start")
    while not (world.pending and isinstance(world.pending[0], ef.SendTransition)):
        world.perform()
    for server in world.servers.values():
        server.state = EccState.Running
    world.restart()
    world.settle()
    assert world.state.run.state is RunState.Failed
    assert world.record.state is DocumentState.Failed
    assert "was starting when the IOC restarted, and partner late did not start: stopping it" in world.record.message
    assert not [name for name, server in world.state.servers.items() if server.takes_data]


def test_a_refusal_is_past_when_its_run_is_over(world: World) -> None:
    """The message of a partner that refused once is no alarm for good: the failed run has it."""
    world.faults["early", "begin"] = "error"
    world.run("Start")
    world.settle()
    message = world.state.partners["early"].message
    assert message.past
    assert message.severity is Severity.NO_ALARM
    assert "partner early refused: State must be halted" in message.text
    assert "partner early refused: State must be halted" in world.record.message


def test_one_that_still_runs_stays_an_alarm(world: World) -> None:
    """What its operator still has to do is shown until it is done, and then nobody is blamed for it."""
    world.start_run()
    world.faults["early", "end"] = "never"
    world.run("Stop")
    world.settle()
    world.poll()
    assert world.state.partners["early"].message.text == f"partner early still runs: {BY_HAND}"
    assert world.state.partners["early"].message.severity is Severity.MAJOR
    world.partners["early"].active = False
    world.poll()
    message = world.state.partners["early"].message
    assert (message.text, message.severity) == ("run 0 has ended", Severity.NO_ALARM)
    assert not world.state.run.standing


def test_it_is_not_paused(world: World) -> None:
    """Pause and Resume are not for partners: they go on."""
    world.start_run()
    for command in ("Pause", "Resume"):
        world.run(command)
        world.settle()
        assert active(world) == {"early": True, "late": True}
    assert texts(world) == []


def test_its_alone_runs_are_its_own(world: World) -> None:
    """What its operator does between runs is a line of the log, no trouble of a run."""
    world.partners["late"].active = True
    world.poll_partner("late")
    world.partners["late"].active = False
    world.poll_partner("late")
    assert [line.text for line in world.log if str(line.subject) == "Partner:late"] == [
        "changed from Halted to Active without a command of this IOC",
        "changed from Active to Halted without a command of this IOC",
    ]
    assert world.blocked_by() == ()
    assert not [each for each in world.state.run.troubles if each.about is About.Partner]
