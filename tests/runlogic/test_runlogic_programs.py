"""Restarts of programs by their units: when they are refused, what they forbid, and what the operator is told."""

from __future__ import annotations

import pytest

from ioc.model import EccState, Severity
from ioc.runlogic import effects as ef
from ioc.runlogic.subject import Subject, data_router, ecc
from tests.runlogic.installation import topology
from tests.runlogic.world import World

SERVER, ROUTER = ecc("CoBo0"), data_router("data0")
BOTH = pytest.mark.parametrize("subject", [SERVER, ROUTER], ids=str)


def world() -> World:
    return World(topology(units="systemd"))


def refusal(world: World, subject: Subject) -> str:
    """Ask for a restart; returns why it was refused."""
    command = world.restart_program(subject)
    answer = world.answers[command]
    assert answer.refused
    assert not restarts(world)
    return answer.error


def restarts(world: World) -> list[ef.RestartUnit]:
    return [effect for effect in world.pending if isinstance(effect, ef.RestartUnit)]


def message(world: World, subject: Subject) -> tuple[str, Severity]:
    part = world.state.servers if subject == SERVER else world.state.routers
    return part[subject.name].message.text, part[subject.name].message.severity


@pytest.mark.parametrize(("subject", "unit"), [(SERVER, "attpc-ecc-CoBo0"), (ROUTER, "attpc-router-data0")], ids=str)
def test_a_restart_is_answered_when_it_is_done(subject: Subject, unit: str) -> None:
    """The unit with the fixed name is restarted, once, and then the put is answered."""
    here = world()
    here.put_servers(EccState.Idle)
    command = here.restart_program(subject)
    assert restarts(here) == [ef.RestartUnit(subject, unit)]
    assert command not in here.answers
    here.settle()
    assert here.answers[command] == ef.Answer(command)
    assert "was restarted" in message(here, subject)[0]


@BOTH
def test_a_failure_is_said(subject: Subject) -> None:
    """The unit cannot be restarted: an alarm with the reason, and the put fails."""
    here = world()
    here.faults[subject.name, "restart"] = "error"
    command = here.restart_program(subject)
    here.settle()
    assert here.answers[command].error.endswith("cannot be restarted: no unit of this name")
    assert not here.answers[command].refused
    assert message(here, subject) == (here.answers[command].error, Severity.MAJOR)


@BOTH
def test_without_units_it_is_refused(subject: Subject) -> None:
    """A topology without units."""
    assert refusal(World(topology()), subject).endswith("the topology gives it no units")


@BOTH
@pytest.mark.parametrize("performed", range(1, 12))
def test_never_in_a_run(subject: Subject, performed: int) -> None:
    """Refused at every point of a start, a run and its stop."""
    here = world()
    here.ready()
    here.run("Start")
    for number in range(performed):
        if not here.pending and number:
            here.run("Stop")
        here.perform()
    assert "cannot be restarted" in refusal(here, subject)
    assert "was restarted" not in message(here, subject)[0]


def test_not_while_a_server_makes_a_transition() -> None:
    """Of this server alone, or of the whole system."""
    here = world()
    here.put_servers(EccState.Idle)
    here.server("CoBo0", "Describe")
    assert refusal(here, SERVER).endswith("it is Describing, but must be at rest")
    here.settle()
    here.put_servers(EccState.Idle)
    here.system("Describe")
    assert refusal(here, ROUTER).endswith("Describe is under way")


@BOTH
def test_not_twice_at_once(subject: Subject) -> None:
    """The second put is refused, the first is answered."""
    here = world()
    first = here.restart_program(subject)
    second = here.restart_program(subject)
    assert here.answers[second].error.endswith("that is under way already")
    here.settle()
    assert not here.answers[first].error


@BOTH
def test_no_run_starts_meanwhile(subject: Subject) -> None:
    """A restart may last until after the start, so it forbids it."""
    here = world()
    here.ready()
    here.restart_program(subject)
    start = here.run("Start")
    assert here.answers[start].refused
    assert "being restarted" in here.answers[start].error


def test_no_transition_is_sent_meanwhile() -> None:
    """Neither to the server alone nor with all others."""
    here = world()
    here.put_servers(EccState.Idle)
    here.restart_program(SERVER)
    alone = here.server("CoBo0", "Describe")
    assert here.answers[alone].error.endswith("it is being restarted, but must be at rest")
    here.system("Describe")
    assert ("Describe", "CoBo0") not in here.operations()


def test_after_configure_the_operator_is_told_what_to_do() -> None:
    """A router has lost its source: Breakup and Configure the ECC server, or no run starts."""
    here = world()
    here.routers["data0"].process = "1"
    here.put_servers(EccState.Prepared)
    here.system("Configure")
    here.settle()
    here.poll()
    assert not here.blocked_by()
    here.restart_program(ROUTER)
    here.settle()
    advice = "router data0 was restarted after Configure: Breakup and Configure ECC server CoBo0"
    assert message(here, ROUTER)[0] == advice
    assert advice in here.blocked_by()
    here.server("CoBo0", "Breakup")
    here.settle()
    here.server("CoBo0", "Configure")
    here.settle()
    here.poll()
    assert not here.blocked_by()


def test_a_server_has_forgotten_its_configuration() -> None:
    """The operator is told the steps that it needs."""
    here = world()
    here.ready()
    here.restart_program(SERVER)
    here.settle()
    assert message(here, SERVER)[0].endswith("Describe, Prepare and Configure it before the next run")


def test_a_router_that_is_gone_may_be_started_to_file_the_run() -> None:
    """In Filing a program that is not there cannot be disturbed."""
    here = world()
    here.start_run()
    here.faults["data0", "file"] = "error"
    here.run("Stop")
    here.settle()
    assert refusal(here, ROUTER).endswith("is Filing, but must be stopped and filed")
    here.routers["data0"].online = False
    here.poll_router("data0")
    command = here.restart_program(ROUTER)
    here.settle()
    assert not here.answers[command].error
