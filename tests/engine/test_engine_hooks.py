"""The engine and hooks: who waits, and how they end with the engine."""

from __future__ import annotations

import asyncio

import pytest

from ioc.errors import PeerError, Refused
from ioc.model import HookOutcome, HookPoint, Operation, RunState
from ioc.runlogic import events as ev
from tests.engine.bench import ANA, Bench
from tests.engine.fakes import LOCKED
from tests.runlogic.installation import HOOKS, topology

START = [(HookPoint.BeforeStart, "hv"), (HookPoint.BeforeStart, "light"), (HookPoint.AfterStart, "note")]


def bench() -> Bench:
    return Bench(topology(hooks=HOOKS))


def ran(bench: Bench) -> list[tuple[HookPoint, str]]:
    return [(point, name) for point, name, _ in bench.hooks.ran]


async def test_a_run_with_hooks() -> None:
    """Every hook of a run is performed, those after the filing when the complete run is in the database."""
    async with bench() as running:
        await running.to_running()
        await running.run(Operation.Stop)
        await running.until(lambda: len(running.hooks.ran) == 6)
        assert ran(running)[:4] == [*START, (HookPoint.BeforeStop, "hv")]
        assert set(ran(running)[4:]) == {(HookPoint.AfterStop, "hv"), (HookPoint.AfterFiling, "copy")}


async def test_hooks_beside_a_run_delay_nothing() -> None:
    """Start and Stop are answered while hooks after them still hang."""
    async with bench() as running:
        running.hooks.hang = {"note", "copy"}
        await running.to_running()
        await running.run(Operation.Stop)
        assert running.state.run.state is RunState.Stopped
        await running.until(lambda: (HookPoint.AfterFiling, "copy") in ran(running))
    assert sorted(running.hooks.cancelled) == ["copy", "note"], "they end with the engine"


async def test_a_refusal_and_a_bug() -> None:
    """A required hook refuses the start with its output; a bug in the adapter is a failure like another."""
    async with bench() as running:
        await running.to_ready()
        running.hooks.outcomes["hv"] = HookOutcome("exit status 1", "HV is off")
        with pytest.raises(Refused, match=r"run 0 cannot start: hook hv \(before_start\) failed: exit .*: HV is off"):
            await running.run(Operation.Start)
        running.hooks.outcomes["hv"] = ZeroDivisionError("bug")
        with pytest.raises(Refused, match="internal error"):
            await running.run(Operation.Start)
        assert running.store.database.runs == {}


async def test_stop_while_a_start_waits() -> None:
    """Stop ends the hooks that a start waits for; its end changes nothing any more."""
    async with bench() as running:
        await running.to_ready()
        running.hooks.hang = {"hv"}
        start = asyncio.create_task(running.run(Operation.Start))
        await running.until(lambda: running.hooks.ran)
        await running.run(Operation.Stop)
        with pytest.raises(PeerError, match="run 0 does not start: Stop requested"):
            await start
        running.hooks.hang = set()
        await running.run(Operation.Start)
        assert running.state.run.number == 0


async def test_a_stop_that_comes_just_before_the_hooks() -> None:
    """Hooks that are begun and aborted in the same step are aborted: nothing overtakes."""
    async with bench() as running:
        await running.to_ready()
        running.hooks.hang = {"hv", "light"}
        await running.engine.command(ev.SetAutomatic(ANA, minutes=1.0))
        await running.engine.command(ev.EnableAutomatic(ANA, on=True))
        await running.run(Operation.Stop)
        await running.until(lambda: sorted(running.hooks.aborted) == ["hv", "light"])
    assert running.hooks.cancelled == []


async def test_before_stop_does_not_wait_for_the_database() -> None:
    """The hooks that a stop waits for begin even while nothing can be stored."""
    async with bench() as running:
        await running.to_running()
        running.store.fault = LOCKED
        await running.run(Operation.Stop)
        assert (HookPoint.BeforeStop, "hv") in ran(running)
        assert running.state.run.state is RunState.Stopped


async def test_the_ioc_ends_while_a_start_waits() -> None:
    """The hook is cancelled with the engine, and no number was used."""
    async with bench() as running:
        await running.to_ready()
        running.hooks.hang = {"hv", "light"}
        start = asyncio.create_task(running.run(Operation.Start))
        await running.until(lambda: len(running.hooks.ran) == 2)
    with pytest.raises(PeerError, match="the IOC is stopping"):
        await start
    assert sorted(running.hooks.cancelled) == ["hv", "light"]
    assert running.store.database.runs == {}
