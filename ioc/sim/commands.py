"""Faults on demand: the commands of the control port, as the table in ``docs/simulator.md`` lists them."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Any, TypeVar

from ioc.errors import Refused
from ioc.sim.ecc_server import EccServer
from ioc.sim.ecc_state import State
from ioc.sim.electronics import Links, Source
from ioc.sim.misbehaviour import Behaviour
from ioc.sim.router_process import RouterProcess
from ioc.sim.simulation import Simulation

Command = dict[str, Any]
Part = TypeVar("Part")
Choice = TypeVar("Choice", bound=StrEnum)


class Commands:
    """Carries out one command after the other on a simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def run(self, command: Command) -> Command:
        """Do what `command` says and return the answer.

        Raises:
            Refused: it names no part of this simulation, or something that the part cannot do.
        """
        try:
            match command:
                case {"ecc": name}:
                    return await _command_server(_named(self._simulation.servers, name, "ECC server"), command)
                case {"router": name}:
                    return await _command_router(_named(self._simulation.routers, name, "router"), command)
                case {"source": name}:
                    return await _command_source(_named(self._simulation.sources, name, "data source"), command)
                case {"slow_controls": pv}:
                    return await self._command_slow_controls(pv, command)
                case {"do": "status"}:
                    return self._status()
                case _:
                    raise Refused(
                        f"a command names an ecc, router, source or slow_controls, or is do: status, not {command}"
                    )
        except KeyError as error:
            raise Refused(f"command {command.get('do')!r} needs {error}") from None

    def _status(self) -> Command:
        simulation = self._simulation
        return {
            "ok": True,
            "pid": os.getpid(),
            "ecc": {
                name: {
                    "listening": server.listening,
                    "frozen": server.frozen,
                    "state": server.machine.state,
                    "transition": server.machine.transition,
                }
                for name, server in simulation.servers.items()
            },
            "sources": {
                name: {"links": int(source.linked), "next_event": source.event, "silent": source.silent}
                for name, source in simulation.sources.items()
            },
            "routers": {name: {"pid": router.pid} for name, router in simulation.routers.items()},
            "slow_controls": {"pid": simulation.slow_controls.pid},
        }

    async def _command_slow_controls(self, pv: str, command: Command) -> Command:
        match command["do"]:
            case "stop":
                await self._simulation.slow_controls.stop()
            case "start":
                await self._simulation.slow_controls.start()
            case _:
                return await self._simulation.slow_controls.command(pv, command)
        return {"ok": True}


async def _command_server(server: EccServer, command: Command) -> Command:
    match command["do"]:
        case "fail":
            server.fail_next(command["operation"], command["message"])
        case "complain":
            server.complain(command["message"])
        case "delay":
            server.delay(command["operation"], float(command["seconds"]))
        case "behave":
            server.behave(_member(Behaviour, command["as"], "behaviour"))
        case "freeze":
            server.freeze()
        case "thaw":
            server.thaw()
        case "kill":
            await server.kill(_links(command))
        case "restart":
            await server.kill(_links(command))
            await server.start()
        case "state":
            server.force_state(_state(command["state"]))
            await server.electronics.parted()
        case "break-electronics":
            server.break_electronics()
            await server.electronics.parted()
        case other:
            raise Refused(
                f"a simulated ECC server cannot {other!r}, but fail, complain, delay, behave, freeze, thaw, kill, "
                "restart, state and break-electronics"
            )
    return {"ok": True}


async def _command_router(router: RouterProcess, command: Command) -> Command:
    match command["do"]:
        case "kill":
            await router.kill()
        case "restart":
            await router.kill()
            await router.start(command.get("directory", "data"))
        case "silence" | "speak" | "refuse" | "accept" as verb:
            await router.command(verb)
        case "stray":
            router.write_stray_file(command["file"], int(command.get("size", 1000)))
        case other:
            raise Refused(
                f"a simulated router cannot {other!r}, but kill, restart, silence, speak, refuse, accept and stray"
            )
    return {"ok": True}


async def _command_source(source: Source, command: Command) -> Command:
    match command["do"]:
        case "silence":
            source.silent = True
        case "speak":
            source.silent = False
        case "count-on":
            source.counts_on = True
        case "count-anew":
            source.counts_on = False
        case "reset":
            await source.reset()
        case other:
            raise Refused(
                f"a simulated data source cannot {other!r}, but silence, speak, count-on, count-anew and reset"
            )
    return {"ok": True}


def _named(parts: dict[str, Part], name: str, kind: str) -> Part:
    if name not in parts:
        raise Refused(f"simulated {kind} {name!r} is not among {', '.join(parts)}")
    return parts[name]


def _state(name: str) -> State:
    try:
        return State[name.upper()]
    except KeyError:
        raise Refused(f"state is {name!r}, but must be one of {', '.join(State.__members__)}") from None


def _links(command: Command) -> Links:
    return _member(Links, command.get("links", "stay"), "links")


def _member(kind: type[Choice], name: str, key: str) -> Choice:
    try:
        return kind(name)
    except ValueError:
        raise Refused(f"{key} is {name!r}, but must be one of {', '.join(kind)}") from None
