"""Hundreds of automatic runs of the core with random faults and restarts; `World` asserts its rules at every step."""

from __future__ import annotations

import pickle
import random
import re

from ioc.model import DocumentState, EccState
from tests.runlogic.automatic import enable, limit, ready_world, wait
from tests.runlogic.world import World

_STEP_FAULTS = ("error", "ignored", "lost", "unread", "slow")
_FILE = re.compile(r".*_(\d+)\.graw")


def take(runs: int, seed: int) -> tuple[World, list[int]]:
    """Take runs until so many are complete; returns the world and the size of the core's state after each tenth."""
    chance, world, sizes = random.Random(seed), ready_world(), list[int]()
    limit(world, minutes=10, pause=5)
    world.title("night {n}")
    enable(world)
    while (done := _complete(world)) < runs:
        _do_harm(world, chance)
        wait(world, chance.choice([3, 60, 605, 1300]))
        if chance.random() < 0.1:
            world.last_duration = world.state.run.duration(world.steady)
            world.restart()
        _mend(world)
        if done % 10 == 0:
            sizes.append(len(pickle.dumps(world.state.run)) + len(pickle.dumps(world.state.auto.progress)))
        world.effects.clear()
        world.log.clear()
        world.sent.clear()
    enable(world, on=False)
    world.run("Stop")
    _mend(world)
    return world, sizes


def _complete(world: World) -> int:
    return sum(record.state is DocumentState.Complete for record in world.database.runs.values())


def _do_harm(world: World, chance: random.Random) -> None:
    server, router = chance.choice(list(world.servers)), chance.choice(list(world.routers))
    match chance.choice(["", "start", "stop", "file", "reserve", "away", "gone", "killed"]):
        case "start" | "stop" as step:
            world.faults[server, step.capitalize()] = chance.choice(_STEP_FAULTS)
        case "file":
            world.faults[router, "file"] = chance.choice(["error", "lost", "incomplete"])
        case "reserve":
            world.faults["database", "reserve"] = "error"
        case "away":
            world.routers[router].reachable = False
        case "gone":
            world.servers[server].reachable = False
        case "killed":
            for _ in range(chance.randint(0, 12)):
                if world.pending:
                    world.perform()
            world.last_duration = world.state.run.duration(world.steady)
            world.restart()
        case _:
            pass


def _mend(world: World) -> None:
    """Peers come back, the operator brings the servers to Ready, and turns automatic runs on again."""
    for name, server in world.servers.items():
        server.reachable = True
        world.finish_under_way(name)
    for router in world.routers.values():
        router.reachable = True
    world.steady += 5
    world.poll()
    world.settle()
    if not world.state.auto.enabled and world.state.run.open:
        world.run("Stop")
        world.settle()
    if not world.state.run.open:
        for name, server in world.servers.items():
            if server.state is not EccState.Ready and not world.state.servers[name].busy:
                server.state = EccState.Ready
        world.poll()
        for name, router in world.routers.items():
            if router.staged:
                world.organize(name)
        world.settle()
    if not world.state.auto.enabled:
        enable(world)
        world.settle()


def files(world: World) -> list[int]:
    """Numbers of all files that were ever written, wherever they are."""
    names = [name for router in world.routers.values() for run in router.directories.values() for name in run]
    names += [name for router in world.routers.values() for name, _ in router.staged]
    return sorted(int(found[1]) for name in names if (found := _FILE.fullmatch(name)))
