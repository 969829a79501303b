"""Automatic runs in a `World`: what a client puts, and time that passes."""

from __future__ import annotations

from ioc.model import AutoState, PlannedRun
from ioc.runlogic import events as ev
from ioc.runlogic.automatic_shown import phase
from ioc.runlogic.step import wake_at
from tests.runlogic.world import OPERATOR, World


def ready_world() -> World:
    """All servers Ready, a start is permitted."""
    world = World()
    world.ready()
    return world


def enable(world: World, *, on: bool = True) -> ev.Command:
    return world.ask(ev.EnableAutomatic(OPERATOR, on))


def limit(
    world: World,
    *,
    minutes: float | None = None,
    gb: float | None = None,
    runs: int | None = None,
    pause: float | None = None,
) -> ev.Command:
    return world.ask(ev.SetAutomatic(OPERATOR, minutes, gb, runs, pause))


def plan(world: World, *runs: PlannedRun, path: str = "/plans/night.yaml") -> ev.Command:
    return world.ask(ev.SetPlan(OPERATOR, path, runs))


def sequence(world: World, *, minutes: float = 10, runs: int = 0, pause: float = 0, title: str = "alpha") -> None:
    """A sequence whose first run runs."""
    world.title(title)
    limit(world, minutes=minutes, runs=runs, pause=pause)
    enable(world)
    world.settle()


def wait(world: World, seconds: float) -> None:
    """Let time pass, and with it what is due."""
    until = world.steady + seconds
    while (at := wake_at(world.plan, world.state)) is not None and at <= until:
        assert at >= world.steady, "the core wants to be woken in the past"
        _advance(world, at)
        world.feed(ev.TimePassed())
        world.settle()
    _advance(world, until)
    world.feed(ev.TimePassed())
    world.settle()


def _advance(world: World, steady: float) -> None:
    world.now += steady - world.steady
    world.steady = steady


def state(world: World) -> AutoState:
    return phase(world.state)


def message(world: World) -> str:
    return world.state.auto_message.text
