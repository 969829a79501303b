"""What the shift is told to do next, and the reasons not to start, in groups."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ioc.model import EccState, NextStep, Operation
from ioc.runlogic import events as ev
from ioc.runlogic.next_step import next_step
from ioc.runlogic.permits import grouped
from tests.runlogic.installation import topology
from tests.runlogic.world import World


def _servers(state: EccState, *names: str) -> Callable[[World], None]:
    return lambda world: world.put_servers(state, *names)


def _silent(world: World) -> None:
    world.servers["CoBo1"].reachable = False


def _all_silent(world: World) -> None:
    for server in world.servers.values():
        server.reachable = False


def _three_states(world: World) -> None:
    world.put_servers(EccState.Ready, "CoBo1")
    world.put_servers(EccState.Prepared, "MuTAnT")


def _hangs(world: World) -> None:
    world.servers["CoBo1"].hangs = True


def _busy(world: World) -> None:
    world.servers["CoBo1"].under_way = Operation.Describe


def _dirty(world: World) -> None:
    world.ready()
    for router in world.routers.values():
        router.staged = [("a.graw", None)]


TOGETHER = "bring them to the same state on their pages"
STEPS = [
    (_servers(EccState.Idle), NextStep.Describe, "Describe all 3 ECC servers"),
    (_servers(EccState.Described), NextStep.Prepare, "Prepare all 3 ECC servers"),
    (_servers(EccState.Prepared), NextStep.Configure, "Configure all 3 ECC servers"),
    (_servers(EccState.Ready), NextStep.Start, "Start run 0 “α source”"),  # noqa: RUF001
    (_servers(EccState.Running), NextStep.Reset, "Reset all 3 ECC servers: Running although no run is open"),
    (_silent, NextStep.Wait, "Start getEccSoapServer: ECC server CoBo1 is Offline"),
    (_hangs, NextStep.Wait, "Restart getEccSoapServer: ECC server CoBo1 is Offline, because it does not answer"),
    (_servers(EccState.Off), NextStep.Wait, "Restart getEccSoapServer: all 3 ECC servers are Off, which is a fault"),
    (_busy, NextStep.Wait, "Wait: ECC server CoBo1 is Describing"),
    (
        _servers(EccState.Ready, "CoBo0", "CoBo1"),
        NextStep.Wait,
        f"ECC server MuTAnT is Idle, the others are Ready: {TOGETHER}",
    ),
    (
        _three_states,
        NextStep.Wait,
        f"ECC server CoBo1 is Ready; ECC server MuTAnT is Prepared, the other is Idle: {TOGETHER}",
    ),
    (
        _dirty,
        NextStep.Wait,
        "Not ready to start: all 3 routers are Dirty: move the files away, there was no run yet",
    ),
]


@pytest.mark.parametrize(("happens", "step", "action"), STEPS)
def test_the_next_step_without_a_run(happens: Callable[[World], None], step: NextStep, action: str) -> None:
    """One command at most, with what it will do; where none helps, what is missing."""
    world = World()
    world.title("α source")  # noqa: RUF001
    happens(world)
    world.poll()
    assert next_step(world.plan, world.state) == (step, action)


@pytest.mark.parametrize(("resume", "paused"), [(True, NextStep.Resume), (False, NextStep.Stop)])
def test_the_next_step_in_a_run(resume: bool, paused: NextStep) -> None:
    """Stop; Resume after a pause, if every server survives that; nothing while the system works."""
    world = World(topology(resume=resume))
    world.ready()
    world.run("Start")
    assert next_step(world.plan, world.state) == (NextStep.Wait, "Wait: Start of a run is under way")
    world.settle()
    assert next_step(world.plan, world.state) == (NextStep.Stop, "Stop run 0 without a title")
    world.run("Pause")
    world.settle()
    assert next_step(world.plan, world.state)[0] is paused


def test_before_the_database_is_read_nothing_is_offered() -> None:
    """The number of the next run is not known yet."""
    world = World(fresh=False)
    assert next_step(world.plan, world.state) == (NextStep.Wait, "Wait: the run database has not been read yet")


def test_reasons_are_grouped() -> None:
    """All in the same condition take one line; a few are named; another condition is another line."""
    world = World()
    world.poll()
    assert grouped(world.plan, world.state) == ("all 3 ECC servers are Idle: press Describe",)
    world.put_servers(EccState.Ready, "MuTAnT")
    _silent(world)
    world.routers["data1"].online = False
    world.poll()
    assert grouped(world.plan, world.state) == (
        "ECC server CoBo0 is Idle: press Describe",
        "ECC server CoBo1 is Offline: start getEccSoapServer on its host",
        "router data1 is Offline: start dataRouter on its host",
    )
    world.put_servers(EccState.Idle, "MuTAnT")
    world.poll()
    assert grouped(world.plan, world.state)[0] == "ECC servers CoBo0 and MuTAnT are Idle: press Describe"


def _after_a_run(world: World) -> None:
    world.start_run()
    world.run("Stop")
    world.settle()


def _filled(world: World) -> None:
    for router in world.routers.values():
        router.disk_free = 0


def _without_process(world: World) -> None:
    for router in world.routers.values():
        router.online = False


def _out_of_reach(world: World) -> None:
    for router in world.routers.values():
        router.reachable = False


def _left_behind(world: World) -> None:
    for router in world.routers.values():
        router.staged = [("a.graw", None)]


def _deaf(world: World) -> None:
    for router in world.routers.values():
        router.deaf = True


def _restarted(world: World) -> None:
    for router in world.routers.values():
        router.start_again()


@pytest.mark.parametrize(
    ("happens", "sentence"),
    [
        (
            _servers(EccState.Running),
            "all 3 ECC servers are Running although no run is open: stop them, or press Reset",
        ),
        (_all_silent, "all 3 ECC servers are Offline: start getEccSoapServer on their hosts"),
        (_without_process, "all 3 routers are Offline: start dataRouter on their hosts"),
        (_out_of_reach, "all 3 routers are Offline: their hosts cannot be reached"),
        (_left_behind, "all 3 routers are Dirty: Organize them"),
        (_deaf, "all 3 routers are without a data port: restart them"),
        (_restarted, "routers data0 and data1 are restarted after Configure: Breakup and Configure their ECC servers"),
        (_filled, "all 3 routers are almost full: their disks must have 5 GB"),
    ],
)
def test_the_advice_for_several_is_in_the_plural(happens: Callable[[World], None], sentence: str) -> None:
    """What must be done to several components of a kind is not said of one."""
    world = World()
    for router in world.routers.values():
        router.process = "7@1"
    _after_a_run(world)
    happens(world)
    world.poll()
    world.poll()
    assert sentence in grouped(world.plan, world.state)


def test_a_server_that_hangs_must_be_restarted_until_it_answers_or_is_gone() -> None:
    """A port that accepts connections without an answer, and later none at all, belongs to a process that hangs."""
    world = World()
    advice = []
    for hangs in (True, None, False):
        world.feed(ev.ServerLost("CoBo1", "no answer", hangs))
        advice += [each for each in grouped(world.plan, world.state) if "CoBo1" in each]
    restart = "ECC server CoBo1 is Offline: restart getEccSoapServer on its host"
    assert advice == [restart, restart, "ECC server CoBo1 is Offline: start getEccSoapServer on its host"]
    world.feed(ev.ServerLost("CoBo1", "no answer", hangs=True))
    world.poll()
    world.feed(ev.ServerLost("CoBo1", "no answer", hangs=None))
    assert "ECC server CoBo1 is Offline: start getEccSoapServer on its host" in grouped(world.plan, world.state)


def test_there_is_a_group_exactly_if_there_is_a_reason() -> None:
    """Grouping loses no reason."""
    world = World()
    world.ready()
    world.poll()
    assert (grouped(world.plan, world.state), world.blocked_by()) == ((), ())
    _dirty(world)
    world.poll()
    assert grouped(world.plan, world.state)


def _next_after_a_failed_start(*names: str) -> tuple[World, tuple[NextStep, str]]:
    world = World()
    world.ready()
    for name in names:
        world.faults[name, "Start"] = "error"
    world.run("Start")
    world.settle()
    return world, next_step(world.plan, world.state)


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (("CoBo0",), "CoBo0 (was its board restarted?)"),
        (("CoBo0", "CoBo1"), "CoBo0 and CoBo1 (were their boards restarted?)"),
    ],
)
def test_a_start_that_a_server_failed_is_not_tried_again_before_a_reset(names: tuple[str, ...], where: str) -> None:
    """A server does not notice that its board was restarted: Start fails each time, until Breakup."""
    world, (step, action) = _next_after_a_failed_start(*names)
    assert (step, action) == (NextStep.Reset, f"Reset all 3 ECC servers, then Configure: Start failed at {where}")
    world.servers[names[0]].reachable = False
    world.poll()
    world.servers[names[0]].reachable = True
    world.poll()
    assert next_step(world.plan, world.state) == (step, action), "it is still the same server"
    world.system("Reset")
    world.settle()
    assert next_step(world.plan, world.state) == (NextStep.Configure, "Configure all 3 ECC servers")
    world.system("Configure")
    world.settle()
    assert next_step(world.plan, world.state) == (NextStep.Start, "Start run 1 without a title")


def test_a_start_after_a_failed_one_may_succeed() -> None:
    """What forbids the next start is said first; a start that succeeds after all shows that nothing is wrong."""
    world, _ = _next_after_a_failed_start("CoBo0")
    world.routers["data1"].online = False
    world.poll()
    assert next_step(world.plan, world.state)[0] is NextStep.Wait
    world.routers["data1"].online = True
    world.poll()
    world.start_run()
    world.run("Stop")
    world.settle()
    assert next_step(world.plan, world.state) == (NextStep.Start, "Start run 2 without a title")
