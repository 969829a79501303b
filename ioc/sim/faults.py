"""Faults on demand: the commands of the control port, one table per kind of part.

``docs/simulator.md`` explains each; a test compares.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from inspect import isawaitable
from typing import Any, TypeVar

from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State
from ioc.sim.ecc_wire import Behaviour
from ioc.sim.electronics import Links, Source
from ioc.sim.plan import SimulatorError
from ioc.sim.processes import RouterProcess
from ioc.sim.readout_gui import Manner, ReadoutGui
from ioc.sim.simulation import Simulation

Command = Mapping[str, Any]
Part = TypeVar("Part")
Choice = TypeVar("Choice", bound=Enum)
Verbs = dict[str, Callable[[Part, Command], Awaitable[object] | None]]


async def _restart(server: EccServer, command: Command) -> None:
    await server.kill(_links(command))
    await server.start()


async def _restart_router(router: RouterProcess, command: Command) -> None:
    await router.kill()
    await router.start(command.get("directory", "data"))


def _links(command: Command) -> Links:
    return _member(Links, command.get("links", "stay"), "links")


def _member(kind: type[Choice], name: str, key: str) -> Choice:
    names = {member.name.lower().replace("_", "-"): member for member in kind}
    if name.lower() not in names:
        raise SimulatorError(f"{key} is {name!r}, but must be one of {', '.join(names)}")
    return names[name.lower()]


ECC_VERBS: Verbs[EccServer] = {
    "fail": lambda server, command: server.fail_next(command["operation"], command["message"]),
    "complain": lambda server, command: server.complain(command["message"]),
    "delay": lambda server, command: server.delay(command["operation"], float(command["seconds"])),
    "behave": lambda server, command: server.behave(_member(Behaviour, command["as"], "behaviour")),
    "freeze": lambda server, _: server.freeze(),
    "thaw": lambda server, _: server.thaw(),
    "kill": lambda server, command: server.kill(_links(command)),
    "restart": _restart,
    "state": lambda server, command: server.force_state(_member(State, command["state"], "state")),
    "break-electronics": lambda server, _: server.electronics.break_down(),
}
ROUTER_VERBS: Verbs[RouterProcess] = {
    "kill": lambda router, _: router.kill(),
    "restart": _restart_router,
    "silence": lambda router, _: router.ask("silence"),
    "speak": lambda router, _: router.ask("speak"),
    "refuse": lambda router, _: router.ask("refuse"),
    "accept": lambda router, _: router.ask("accept"),
    "freeze": lambda router, _: router.signal(signal.SIGSTOP),
    "thaw": lambda router, _: router.signal(signal.SIGCONT),
    "stray": lambda router, command: router.write_stray_file(command["file"], int(command.get("size", 1000))),
}
SOURCE_VERBS: Verbs[Source] = {
    "silence": lambda source, _: setattr(source, "silent", True),
    "speak": lambda source, _: setattr(source, "silent", False),
    "count-on": lambda source, _: setattr(source, "counts_on", True),
    "count-anew": lambda source, _: setattr(source, "counts_on", False),
    "reset": lambda source, _: source.reset(),
}


PARTNER_VERBS: Verbs[ReadoutGui] = {
    "fail": lambda partner, command: partner.fail_next(command["operation"], command["message"]),
    "delay": lambda partner, command: partner.delay(command["operation"], float(command["seconds"])),
    "answer": lambda partner, command: setattr(partner, "manner", _member(Manner, command["as"], "manner")),
    "freeze": lambda partner, _: partner.thawed.clear(),
    "thaw": lambda partner, _: partner.thawed.set(),
    "drop": lambda partner, _: partner.drop(),
    "kill": lambda partner, _: partner.kill(),
    "start": lambda partner, _: partner.start(),
    "begin": lambda partner, _: partner.by_hand("Active"),
    "end": lambda partner, _: partner.by_hand("Halted"),
    "stop": lambda partner, _: partner.by_hand("NotReady"),
}


async def run_command(simulation: Simulation, command: Command) -> dict[str, Any]:
    """Carry out `command` and return the answer.

    Raises:
        SimulatorError: it names no part of this simulation, or the part does not have this command.
    """
    answer: dict[str, Any] = {"ok": True}
    try:
        match command:
            case {"ecc": name}:
                server = _named(simulation.servers, name, "ECC server")
                await _run(ECC_VERBS, server, command)
                # a command that ends a link is finished when the router listens again
                await server.electronics.links_closed()
            case {"router": name}:
                await _run(ROUTER_VERBS, _named(simulation.routers, name, "router"), command)
            case {"source": name}:
                await _run(SOURCE_VERBS, _named(simulation.sources, name, "data source"), command)
            case {"partner": name}:
                await _run(PARTNER_VERBS, _named(simulation.partners, name, "partner"), command)
            case {"slow_controls": _, "do": "stop"}:
                await simulation.slow_controls.kill()
            case {"slow_controls": _, "do": "start"}:
                await simulation.slow_controls.start()
            case {"slow_controls": pv, "do": _}:
                answer = await simulation.slow_controls.command(pv, command)
            case {"do": "status"}:
                answer |= simulation.status()
            case _:
                raise SimulatorError(
                    f"a command is do: status, or names an ecc, router, source, partner or slow_controls, not {command}"
                )
    except KeyError as error:
        raise SimulatorError(f"command {command.get('do')!r} needs {error}") from None
    return answer


async def _run(verbs: Verbs[Part], part: Part, command: Command) -> None:
    if command["do"] not in verbs:
        raise SimulatorError(f"unknown command {command['do']!r}; this part knows {', '.join(verbs)}")
    done = verbs[command["do"]](part, command)
    if isawaitable(done):
        await done


def _named(parts: dict[str, Part], name: str, kind: str) -> Part:
    if name not in parts:
        raise SimulatorError(f"{kind} {name!r} is not simulated; there are {', '.join(parts)}")
    return parts[name]
