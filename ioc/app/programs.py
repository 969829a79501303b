"""Starts, stops and asks for the programs of an installation through their units, on their hosts and here."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ioc.app.units import IOC_UNIT
from ioc.errors import PeerError, Refused
from ioc.hosts import Action, LocalTransport, MachineHost, build_hosts
from ioc.rundb.connection import open_for_reading
from ioc.rundb.documents import unfinished_runs
from ioc.topology.derived import unit_name, units_of
from ioc.topology.schema import Topology, Units

IOC = "ioc"
"""Name of the IOC itself on the command line."""


@dataclass(frozen=True)
class Outcome:
    """The outcome for one program."""

    name: str
    host: str
    unit: str
    text: str
    failed: bool


@dataclass(frozen=True)
class _Unit:
    name: str
    unit: str
    host: MachineHost


async def act(topology: Topology, action: Action, names: Sequence[str]) -> tuple[Outcome, ...]:
    """Do it for the named programs, or all, and return their state afterwards.

    The IOC is started last and stopped first.

    Raises:
        Refused: a name is unknown or has no unit, or a program of an open run would be stopped.
    """
    hosts = (_here(topology), *build_hosts(topology))
    try:
        chosen = _chosen(topology, hosts, names)
        if action == "stop" and any(each.name != IOC for each in chosen):
            _refuse_in_run(topology)
        first = [each for each in chosen if (each.unit == IOC_UNIT) == (action == "stop")]
        then = [each for each in chosen if each not in first]
        outcomes = [
            *await asyncio.gather(*(_act(each, action) for each in first)),
            *await asyncio.gather(*(_act(each, action) for each in then)),
        ]
        return tuple(sorted(outcomes, key=lambda outcome: [each.unit for each in chosen].index(outcome.unit)))
    finally:
        await asyncio.gather(*(host.close() for host in hosts))


def without_units(topology: Topology) -> tuple[str, ...]:
    """Return the names of the programs that cannot be started and stopped, because their key `units` is missing."""
    components = (*topology.data_routers, *topology.ecc_servers)
    return tuple(each.name for each in components if units_of(topology, each) is None)


async def _act(each: _Unit, action: Action) -> Outcome:
    try:
        if action != "status":
            await each.host.act(action, each.unit)
        return Outcome(each.name, each.host.name, each.unit, await each.host.act("status", each.unit), failed=False)
    except PeerError as error:
        return Outcome(each.name, each.host.name, each.unit, str(error), failed=True)


def _here(topology: Topology) -> MachineHost:
    usual: Units = "launchd" if sys.platform == "darwin" else "systemd"
    return MachineHost(
        "this machine",
        LocalTransport(),
        [],
        [],
        ssh_timeout=topology.timeouts.ssh,
        filing_timeout=topology.timeouts.filing,
        settle_seconds=topology.runs.settle_seconds,
        units={IOC_UNIT: topology.units or usual},
    )


def _chosen(topology: Topology, hosts: Sequence[MachineHost], names: Sequence[str]) -> list[_Unit]:
    components = (*topology.data_routers, *topology.ecc_servers)
    host_of = {unit: host for host in hosts for unit in host.units}
    units = [
        _Unit(each.name, unit_name(each), host_of[unit_name(each)]) for each in components if units_of(topology, each)
    ]
    units.append(_Unit(IOC, IOC_UNIT, hosts[0]))
    known = {each.name for each in components} | {IOC}
    for name in names:
        if name not in known:
            raise Refused(f"there is no {name} in the topology, but it must be one of {', '.join(sorted(known))}")
        if not any(each.name == name for each in units):
            raise Refused(f"{name} has no units in the topology: set units for all programs or for this one")
    return [each for each in units if not names or each.name in names]


def _refuse_in_run(topology: Topology) -> None:
    """Refuse to stop the programs of an open run; the IOC alone may end at any time."""
    path = Path(topology.database)
    if not path.exists():
        return
    with closing(open_for_reading(path)) as db:
        unfinished = unfinished_runs(db)
    if unfinished:
        raise Refused(f"{unfinished[-1].run} is {unfinished[-1].state}: stop it before you stop its programs")
