"""What must fit together across the sections of a topology.

The checks look at the plain data of the file, not at the validated model, so that they find their faults beside those
of the schema, in one go. A value of the wrong type is the schema's business and passed over here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import cast

from ioc.model import Role, ValueType
from ioc.topology.document import Fault, Loc, show
from ioc.topology.messages import said, suggest
from ioc.topology.schema import DataRouter, EccServer, Order, Runs, Timeouts, Topology
from ioc.topology.source_pv import channel_of, is_own

PV_NAME_LENGTH = 59
"""PV names stay under 60 characters."""
LONGEST_PV = {
    "ecc_servers": "ECC:{}:RefreshConfigs",
    "data_routers": "Router:{}:DiskUsedPercent",
    "observables": "Obs:{}:Connected",
}
"""The longest PV of each kind of component, after the prefix."""


@dataclass(frozen=True)
class Entry:
    """One mapping of a list section."""

    loc: Loc
    fields: dict[str, object]

    def text(self, key: str) -> str | None:
        value = self.fields.get(key)
        return value if isinstance(value, str) else None

    def texts(self, key: str) -> list[tuple[Loc, str]]:
        return [((*self.loc, key, index), item) for index, item in _texts(self.fields.get(key))]


def check_consistency(data: dict[str, object]) -> Iterator[Fault]:
    """Yield every fault between the sections."""
    servers = _entries(data, "ecc_servers")
    routers = _entries(data, "data_routers")
    sources = _entries(data, "data_sources")
    observables = _entries(data, "observables")
    yield from chain(
        _same_names(servers, "name"),
        _same_names(routers, "name"),
        _same_names(sources, "id"),
        _same_names(observables, "name"),
        _same_address((servers, EccServer), (routers, DataRouter)),
        _pv_lengths(data),
        _source_references(sources, servers, routers),
        _order(data, servers),
        _filing(data),
        _observables(data, observables),
    )


def _texts(value: object) -> list[tuple[int, str]]:
    if not isinstance(value, list):
        return []
    return [(index, item) for index, item in enumerate(cast("list[object]", value)) if isinstance(item, str)]


def _entries(data: dict[str, object], section: str) -> list[Entry]:
    value = data.get(section)
    if not isinstance(value, list):
        return []
    return [
        Entry((section, index), cast("dict[str, object]", item))
        for index, item in enumerate(cast("list[object]", value))
        if isinstance(item, dict)
    ]


def _same_names(entries: list[Entry], key: str) -> Iterator[Fault]:
    first: dict[str, Entry] = {}
    for entry in entries:
        name = entry.text(key)
        if name is None:
            continue
        other = first.setdefault(name.lower(), entry)
        if other is entry:
            continue
        if other.text(key) == name:
            reason = f"must be another {key}: {show(other.loc)} has it already"
        else:
            reason = f"must differ from {other.text(key)!r} of {show(other.loc)} by more than upper and lower case"
        yield (*entry.loc, key), f"{show((*entry.loc, key))} is {name!r}, but {reason}"


def _same_address(*kinds: tuple[list[Entry], type[EccServer | DataRouter]]) -> Iterator[Fault]:
    first: dict[tuple[str, object], Entry] = {}
    for entries, kind in kinds:
        for entry in entries:
            host, port = entry.text("host"), entry.fields.get("port", kind.model_fields["port"].default)
            if host is None or not isinstance(port, int):
                continue
            other = first.setdefault((host.lower(), port), entry)
            if other is not entry:
                loc = (*entry.loc, "port" if "port" in entry.fields else "host")
                yield (
                    loc,
                    f"{show(entry.loc)} is at {host}:{port}, but must have its own address: {show(other.loc)} is there",
                )


def _pv_lengths(data: dict[str, object]) -> Iterator[Fault]:
    prefix = _prefix(data)
    if prefix is None:
        return
    for section, pattern in LONGEST_PV.items():
        for entry in _entries(data, section):
            name = entry.text("name")
            pv = prefix + pattern.format(name)
            if name is not None and len(pv) > PV_NAME_LENGTH:
                loc = (*entry.loc, "name")
                yield (
                    loc,
                    (
                        f"{show(loc)} makes the PV name {pv} of {len(pv)} characters, "
                        f"but it must have at most {PV_NAME_LENGTH}: shorten the name or the prefix"
                    ),
                )


def _prefix(data: dict[str, object]) -> str | None:
    prefix = data.get("prefix", Topology.model_fields["prefix"].default)
    return prefix if isinstance(prefix, str) else None


def _source_references(sources: list[Entry], servers: list[Entry], routers: list[Entry]) -> Iterator[Fault]:
    server_names = {name for entry in servers if (name := entry.text("name")) is not None}
    router_names = {name for entry in routers if (name := entry.text("name")) is not None}
    used_servers: set[str] = set()
    used_routers: set[str] = set()
    for source in sources:
        server = source.text("ecc_server")
        if server is not None:
            used_servers.add(server)
            if server not in server_names:
                loc = (*source.loc, "ecc_server")
                yield loc, f"{show(loc)} is {server!r}, but must be one of ecc_servers{suggest(server, server_names)}"
        mine: set[str] = set()
        for loc, router in source.texts("data_routers"):
            if router not in router_names:
                yield loc, f"{show(loc)} is {router!r}, but must be one of data_routers{suggest(router, router_names)}"
            if router in mine:
                yield loc, f"{show(loc)} is {router!r} for the second time, but a source must name a router once"
            mine.add(router)
        used_routers |= mine
    yield from _unused(servers, used_servers, "ecc_server")
    yield from _unused(routers, used_routers, "data_routers")


def _unused(entries: list[Entry], used: set[str], key: str) -> Iterator[Fault]:
    for entry in entries:
        name = entry.text("name")
        if name is not None and name not in used:
            yield (
                entry.loc,
                f"{show(entry.loc)} is {name}, which no source uses, but one of data_sources must have in its {key}",
            )


def _order(data: dict[str, object], servers: list[Entry]) -> Iterator[Fault]:
    order = data.get("order")
    if not isinstance(order, dict):
        return
    present = [role for role in Role if any(server.text("role") == role for server in servers)]
    for step in Order.model_fields:
        roles = cast("dict[str, object]", order).get(step)
        if not isinstance(roles, list):
            continue
        given = [role for _, role in _texts(cast("object", roles))]
        loc = ("order", step)
        yield from _each_once(loc, given, present)


def _filing(data: dict[str, object]) -> Iterator[Fault]:
    settle = _number(data, "runs", "settle_seconds", Runs.model_fields["settle_seconds"].default)
    timeout = _number(data, "timeouts", "filing", Timeouts.model_fields["filing"].default)
    if settle is not None and timeout is not None and settle >= timeout:
        yield said(
            ("runs", "settle_seconds"),
            settle,
            f"must be less than timeouts.filing ({timeout:g}): no run would ever be filed",
        )


def _number(data: dict[str, object], section: str, key: str, default: float) -> float | None:
    values = data.get(section, {})
    value = cast("dict[str, object]", values).get(key, default) if isinstance(values, dict) else default
    return value if isinstance(value, int | float) else None


def _each_once(loc: Loc, given: list[str], present: Iterable[str]) -> Iterator[Fault]:
    missing = [role for role in present if role not in given]
    twice = sorted({role for role in given if given.count(role) > 1})
    if missing:
        yield (
            loc,
            f"{show(loc)} is [{', '.join(given)}], but must also have {', '.join(missing)}, which ecc_servers has",
        )
    if twice:
        yield loc, f"{show(loc)} is [{', '.join(given)}], but must have {', '.join(twice)} only once"


def _follows_us(pv: str, prefix: str) -> bool:
    try:
        return is_own(channel_of(pv), prefix)
    except ValueError:  # the schema says what is wrong with it
        return False


def _observables(data: dict[str, object], observables: list[Entry]) -> Iterator[Fault]:
    names = {name for entry in observables if (name := entry.text("name")) is not None}
    runs = data.get("runs")
    if isinstance(runs, dict):
        for loc, name in Entry(("runs",), cast("dict[str, object]", runs)).texts("require"):
            if name not in names:
                yield loc, f"{show(loc)} is {name!r}, but must be one of observables{suggest(name, names)}"
    prefix = _prefix(data)
    for entry in observables:
        pv = entry.text("pv")
        if pv is not None and prefix is not None and _follows_us(pv, prefix):
            loc = (*entry.loc, "pv")
            yield loc, f"{show(loc)} is {pv!r}, which this IOC serves itself, but must be a PV of another one"
        if entry.text("type") == ValueType.Enum and entry.fields.get("pv") is None:
            loc = (*entry.loc, "type")
            yield loc, f"{show(loc)} is 'enum', but must be float, integer or string as long as it has no pv (manual)"
