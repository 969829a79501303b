"""Restarts of the programs on the hosts, by their units, on demand of an operator.

A restart is refused while the program may be part of a run. While one is under way, no transition is sent to that
server and no run starts: a restart may take until after the run has begun. The operator has to repeat the steps that
the program forgets, and a message says so.
"""

from __future__ import annotations

from ioc.errors import Refused
from ioc.model import RunState, Severity
from ioc.runlogic import datalinks
from ioc.runlogic.effects import ProbeRouters, RestartUnit
from ioc.runlogic.events import Command, Ended, RestartProgram
from ioc.runlogic.state import Router, Server
from ioc.runlogic.subject import Kind, Subject
from ioc.runlogic.turn import Turn


def restart(turn: Turn, event: RestartProgram) -> None:
    """Restart one program."""
    subject = event.subject
    what, unit = _called(subject), _unit(turn, subject)
    if not unit:
        raise Refused(f"{what} cannot be restarted: the topology gives it no units")
    if reason := _in_use(turn, subject):
        raise Refused(f"{what} cannot be restarted: {reason}")
    _set(turn, subject, event)
    turn.say(subject, f"{what} is being restarted", client=event.client)
    turn.emit(RestartUnit(subject, unit))


def restarted(turn: Turn, event: Ended[RestartUnit, None]) -> None:
    """The restart is done, or failed."""
    subject = event.effect.subject
    component = _component(turn, subject)
    command = component.restart
    if command is None:
        return
    _set(turn, subject, None)
    what = _called(subject)
    if event.error:
        failure = f"{what} cannot be restarted: {event.error}"
        turn.say(subject, failure, Severity.MAJOR, command.client)
        turn.answer(command, failure)
        return
    text = f"{what} was restarted"
    if isinstance(component, Server):
        text += ": Describe, Prepare and Configure it before the next run"
    elif turn.router(subject.name).linked_at is not None:
        text = datalinks.lost(turn.plan, subject.name)
    turn.say(subject, text, client=command.client)
    turn.answer(command)
    turn.emit(ProbeRouters(job=0))


def _in_use(turn: Turn, subject: Subject) -> str:
    """Return why the program must not be restarted now; empty if it may be."""
    state, run, component = turn.state, turn.state.run, _component(turn, subject)
    if component.restart is not None:
        return "that is under way already"
    if state.job is not None:
        return f"{state.job.name} is under way"
    # A program that is not there cannot be disturbed, and may be needed to file the run.
    if run.open and not (run.state is RunState.Filing and not component.online):
        return f"run {run.number} is {run.state.name}, but must be stopped and filed"
    if isinstance(component, Server):
        return f"it is {component.doing.name}, but must be at rest" if component.busy else ""
    return "its files are being filed" if component.filing else ""


def _component(turn: Turn, subject: Subject) -> Server | Router:
    return turn.server(subject.name) if subject.kind is Kind.Server else turn.router(subject.name)


def _unit(turn: Turn, subject: Subject) -> str:
    if subject.kind is Kind.Server:
        return turn.plan.servers[subject.name].unit
    return turn.plan.router_units.get(subject.name, "")


def _set(turn: Turn, subject: Subject, command: Command | None) -> None:
    if subject.kind is Kind.Server:
        turn.set_server(subject.name, restart=command)
    else:
        turn.set_router(subject.name, restart=command)


def _called(subject: Subject) -> str:
    return f"{'ECC server' if subject.kind is Kind.Server else 'router'} {subject.name}"
