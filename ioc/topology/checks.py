"""Checks of consistency between the sections of a topology.

The checks use the plain data of the file, not the validated model, so that their errors are reported together with
those of the schema. Values of a wrong type are left to the schema.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from ioc.model import Role, ValueType
from ioc.model.graw import is_in_the_way
from ioc.topology.document import Fault, Loc, show
from ioc.topology.messages import suggest, value_fault
from ioc.topology.names import channel_of, is_own
from ioc.topology.schema import USUAL_PORTS, Hooks, Logbook, Order, Runs, Timeouts, Topology

PV_NAME_LENGTH = 59
"""Maximum length of PV names."""
LONGEST_PV = {
    "ecc_servers": "ECC:{}:RefreshConfigs",
    "data_routers": "Router:{}:DiskUsedPercent",
    "observables": "Obs:{}:Connected",
    "interlocks": "Interlock:{}:Message",
    "partners": "Partner:{}:Message",
    "archive": "Archive:{}:BacklogMB",
}
"""The longest PV of each kind of component, after the prefix."""
_PROGRAM = re.compile(r"/.+|~/.+|[^/~\-][^/]*", re.DOTALL)
NEW_OBSERVABLE = "New"
"""No observable may have this name: the PVs that add an observable have it."""
_KEYS = {
    "ecc_servers": "name",
    "data_routers": "name",
    "data_sources": "id",
    "observables": "name",
    "interlocks": "name",
    "logbook": "name",
    "partners": "name",
    "archive": "name",
}
"""The key that identifies the entries of each list."""


@dataclass(frozen=True)
class _Part:
    """One mapping of the file; values of a wrong type count as absent."""

    loc: Loc
    fields: dict[str, object]

    def text(self, key: str) -> str | None:
        value = self.fields.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str, default: float) -> float | None:
        value = self.fields.get(key, default)
        return value if isinstance(value, int | float) else None

    def texts(self, key: str) -> list[tuple[Loc, str]]:
        return [(loc, item) for loc, item in self._items(key) if isinstance(item, str)]

    def part(self, key: str) -> _Part:
        value = self.fields.get(key)
        return _Part((*self.loc, key), cast("dict[str, object]", value) if isinstance(value, dict) else {})

    def parts(self, key: str) -> list[_Part]:
        return [_Part(loc, cast("dict[str, object]", item)) for loc, item in self._items(key) if isinstance(item, dict)]

    def _items(self, key: str) -> list[tuple[Loc, object]]:
        value = self.fields.get(key)
        items = cast("list[object]", value) if isinstance(value, list) else []
        return [((*self.loc, key, index), item) for index, item in enumerate(items)]


def check_consistency(data: dict[str, object]) -> Iterator[Fault]:
    """Yield every inconsistency between the sections."""
    whole = _Part((), data)
    for section, key in _KEYS.items():
        yield from _same_names(whole.parts(section), key)
    yield from _same_addresses(whole)
    yield from _references(whole)
    yield from _order(whole)
    yield from _filing(whole)
    yield from _required(whole)
    yield from _interlocks(whole)
    yield from _hooks(whole)
    yield from _reserved(whole)
    yield from _logbooks(whole)
    yield from _notifications(whole)
    yield from _partners(whole)
    yield from _archive(whole)
    prefix = data.get("prefix", Topology.model_fields["prefix"].default)
    if isinstance(prefix, str):
        yield from _pv_lengths(whole, prefix)
        yield from _sources(whole, prefix)


def _same_names(parts: list[_Part], key: str) -> Iterator[Fault]:
    first: dict[str, _Part] = {}
    for part in parts:
        name = part.text(key)
        other = part if name is None else first.setdefault(name.lower(), part)
        if other is part:
            continue
        if other.text(key) == name:
            reason = f"must be another {key}: {show(other.loc)} has it already"
        else:
            reason = f"must differ from {other.text(key)!r} of {show(other.loc)} by more than upper and lower case"
        yield value_fault((*part.loc, key), name, reason)


def _same_addresses(whole: _Part) -> Iterator[Fault]:
    first: dict[tuple[str, float], _Part] = {}
    for section, default in USUAL_PORTS.items():
        for part in whole.parts(section):
            host, port = part.text("host"), part.number("port", default)
            if host is None or port is None:
                continue
            other = first.setdefault((host.lower(), port), part)
            if other is not part:
                yield (
                    (*part.loc, "port" if "port" in part.fields else "host"),
                    f"{show(part.loc)} is at {host}:{port}, but must have its own address: {show(other.loc)} is there",
                )


def _references(whole: _Part) -> Iterator[Fault]:
    """Yield each name used by a source without a component, and each component not used by any source."""
    used: dict[str, set[str]] = {"ecc_servers": set(), "data_routers": set()}
    names = {section: _names(whole, section) for section in used}
    for source in whole.parts("data_sources"):
        server = source.text("ecc_server")
        mine: set[str] = set()
        wanted = [("ecc_servers", (*source.loc, "ecc_server"), server)] if server is not None else []
        wanted += [("data_routers", loc, router) for loc, router in source.texts("data_routers")]
        for section, loc, name in wanted:
            if name not in names[section]:
                yield value_fault(loc, name, f"must be one of {section}{suggest(name, names[section])}")
            if section == "data_routers":
                if name in mine:
                    yield loc, f"{show(loc)} repeats {name!r}, but a source must name a router only once"
                mine.add(name)
            used[section].add(name)
    for section, key in (("ecc_servers", "ecc_server"), ("data_routers", "data_routers")):
        for part in whole.parts(section):
            name = part.text("name")
            if name is not None and name not in used[section]:
                text = f"is {name}, which no source uses, but one of data_sources must name it in its {key}"
                yield part.loc, f"{show(part.loc)} {text}"


def _names(whole: _Part, section: str) -> set[str]:
    return {name for part in whole.parts(section) if (name := part.text("name")) is not None}


def _order(whole: _Part) -> Iterator[Fault]:
    present = {server.text("role") for server in whole.parts("ecc_servers")}
    order = whole.part("order")
    for step in Order.model_fields:
        if not isinstance(order.fields.get(step), list):
            continue
        loc, given = (*order.loc, step), [role for _, role in order.texts(step)]
        missing = [role.value for role in Role if role in present and role not in given]
        twice = sorted({role for role in given if given.count(role) > 1})
        begin = f"{show(loc)} is [{', '.join(given)}], but must"
        if missing:
            yield loc, f"{begin} also have {', '.join(missing)}, which ecc_servers has"
        if twice:
            yield loc, f"{begin} have {', '.join(twice)} only once"


def _filing(whole: _Part) -> Iterator[Fault]:
    settle = whole.part("runs").number("settle_seconds", Runs().settle_seconds)
    timeout = whole.part("timeouts").number("filing", Timeouts().filing)
    if settle is not None and timeout is not None and settle >= timeout:
        reason = f"must be less than timeouts.filing ({timeout:g}), or no run would ever be filed"
        yield value_fault(("runs", "settle_seconds"), settle, reason)


def _required(whole: _Part) -> Iterator[Fault]:
    names = _names(whole, "observables")
    for loc, name in whole.part("runs").texts("require"):
        if name not in names:
            yield value_fault(loc, name, f"must be one of observables{suggest(name, names)}")


def _reserved(whole: _Part) -> Iterator[Fault]:
    for part in whole.parts("observables"):
        name = part.text("name")
        if name is not None and name.lower() == NEW_OBSERVABLE.lower():
            yield value_fault(
                (*part.loc, "name"), name, f"must be another name: the PVs Obs:{NEW_OBSERVABLE}:… add one"
            )


def _interlocks(whole: _Part) -> Iterator[Fault]:
    types = {part.text("name"): part.text("type") for part in whole.parts("observables")}
    names = _names(whole, "observables")
    for part in whole.parts("interlocks"):
        given = {key for key, value in part.fields.items() if value is not None}
        observable, sources, limits = part.text("observable"), given & {"observable", "pv"}, given & {"low", "high"}
        if len(sources) != 1:
            yield part.loc, f"{show(part.loc)} has {_both(sources)}, but must have one of observable and pv"
        if observable is not None and observable not in names:
            reason = f"must be one of observables{suggest(observable, names)}"
            yield value_fault((*part.loc, "observable"), observable, reason)
        if "allowed" in given and limits:
            yield part.loc, f"{show(part.loc)} has allowed and {_both(limits)}, but must have either"
        elif not limits and "allowed" not in given:
            yield part.loc, f"{show(part.loc)} has no limit, but must have low, high, both, or allowed"
        if limits and types.get(observable) == ValueType.String:
            text = f"compares the text {observable} with a number, but must have allowed instead of low and high"
            yield part.loc, f"{show(part.loc)} {text}"
        low, high = part.number("low", -math.inf), part.number("high", math.inf)
        if low is not None and high is not None and low > high:
            yield value_fault((*part.loc, "low"), low, f"must be at most high ({high:g})")


def _hooks(whole: _Part) -> Iterator[Fault]:
    known = {part.text("host") or "" for section in USUAL_PORTS for part in whole.parts(section)}
    for point in Hooks.model_fields:
        hooks = whole.part("hooks").parts(point)
        yield from _same_names(hooks, "name")
        for hook in hooks:
            given = {key for key, value in hook.fields.items() if value is not None}
            if len(given & {"run", "post"}) != 1:
                has = "run and post" if {"run", "post"} <= given else "neither run nor post"
                yield hook.loc, f"{show(hook.loc)} has {has}, but must have one of run and post"
            if {"host", "post"} <= given:
                yield hook.loc, f"{show(hook.loc)} has post and host, but must have host only with run"
            host, program = hook.text("host"), next(iter(hook.texts("run")), None)
            if host is not None and host != "local" and host not in known:
                reason = f"must be local or the host of a server or router{suggest(host, known - {''})}"
                yield value_fault((*hook.loc, "host"), host, reason)
            if program is not None and not _PROGRAM.fullmatch(program[1]):
                yield value_fault(*program, "must be a program: a name, or a path that begins with / or ~/")


_NEEDS = {
    "olog": {"url", "user", "password", "logbooks"},
    "elog": {"url"},
    "markdown": {"file"},
}
"""The keys that a logbook of each kind must have."""
_MAY_HAVE = {
    "olog": {"level", "tags"},
    "elog": {"user", "password", "attributes"},
    "markdown": set[str](),
}


def _logbooks(whole: _Part) -> Iterator[Fault]:
    for part in whole.parts("logbook"):
        kind = part.text("kind")
        if kind not in _NEEDS:
            continue
        given = {key for key, value in part.fields.items() if value is not None}
        for key in sorted(_NEEDS[kind] - given):
            yield part.loc, f"{show(part.loc)} has no {key!r}, but must have one, because its kind is {kind}"
        for key in sorted(given & set(Logbook.model_fields) - _NEEDS[kind] - _MAY_HAVE[kind] - {"name", "kind"}):
            loc = (*part.loc, key)
            yield loc, f"{show(loc)} has no effect for the kind {kind}, but must be left out"


def _notifications(whole: _Part) -> Iterator[Fault]:
    part = whole.part("notifications")
    targets = part.parts("targets")
    yield from _same_names(targets, "name")
    names = {name for target in targets if (name := target.text("name")) is not None}
    usable = {name for name in names if re.fullmatch(r"[\w\-]+", name)}  # any other one may be a secret
    for rule in part.parts("rules"):
        for loc, name in rule.texts("to"):
            if name not in names:
                yield value_fault(loc, name, f"must be one of targets{suggest(name, usable)}")
        if "hours" in rule.fields and rule.text("when") != "disk_below":
            loc = (*rule.loc, "hours")
            yield loc, f"{show(loc)} must be left out, because it belongs to when: disk_below"


def _partners(whole: _Part) -> Iterator[Fault]:
    first: dict[tuple[object, ...], _Part] = {}
    for part in whole.parts("partners"):
        given = {key for key, value in part.fields.items() if value is not None}
        if "port" in given and (needless := sorted(given & {"port_manager", "user"})):
            text = f"has port and {' and '.join(needless)}, but must have only port, or ask the port manager without it"
            yield part.loc, f"{show(part.loc)} {text}"
        host = part.text("host")
        if host is None:
            continue
        key = (host.lower(), *(part.fields.get(each) for each in ("port", "port_manager", "user")))
        other = first.setdefault(key, part)
        if other is not part:
            text = f"is the same ReadoutGUI as {show(other.loc)}, but must be another one: it accepts one connection"
            yield part.loc, f"{show(part.loc)} {text}"


def _archive(whole: _Part) -> Iterator[Fault]:
    first: dict[tuple[object, ...], _Part] = {}
    for part in whole.parts("archive"):
        place = {key: value for key in ("directory", "ssh", "rclone") if (value := part.fields.get(key)) is not None}
        if set(place) not in ({"directory"}, {"directory", "ssh"}, {"rclone"}):
            has = " and ".join(place) or "no place"
            yield part.loc, f"{show(part.loc)} has {has}, but must have directory, ssh and directory, or rclone"
            continue
        where = place.get("rclone") or place["directory"]
        if part.fields.get("layout") == "merger" and isinstance(where, str) and is_in_the_way(os.fsencode(where)):
            text = f"has layout merger in {where!r}, but must not have '.graw' or 'CoBo<k>_AsAd<a>' in its path"
            yield part.loc, f"{show(part.loc)} {text}: the merger reads the whole path"
        key = tuple(value.rstrip("/") if isinstance(value, str) else None for value in place.values())
        other = first.setdefault((*place, *key), part)
        if other is not part:
            # Two names of one place would be taken for two copies.
            yield part.loc, f"{show(part.loc)} is the same place as {show(other.loc)}, but must be another one"


def _both(keys: set[str]) -> str:
    return " and ".join(sorted(keys, reverse=True)) or "neither observable nor pv"


def _pv_lengths(whole: _Part, prefix: str) -> Iterator[Fault]:
    for section, pattern in LONGEST_PV.items():
        for part in whole.parts(section):
            name, loc = part.text("name"), (*part.loc, "name")
            pv = prefix + pattern.format(name)
            if name is not None and len(pv) > PV_NAME_LENGTH:
                text = f"makes the PV name {pv} of {len(pv)} characters, but it must have at most {PV_NAME_LENGTH}"
                yield loc, f"{show(loc)} {text}: shorten the name or the prefix"


def _sources(whole: _Part, prefix: str) -> Iterator[Fault]:
    for follower in (*whole.parts("observables"), *whole.parts("interlocks")):
        pv = follower.text("pv")
        if pv is not None and _is_ours(pv, prefix):
            loc = (*follower.loc, "pv")
            yield loc, f"{show(loc)} is {pv!r}, which this IOC serves itself, but must be a PV of another IOC"
    for observable in whole.parts("observables"):
        if observable.text("type") == ValueType.Enum and observable.fields.get("pv") is None:
            reason = "must be float, integer or string as long as it has no pv (manual)"
            yield value_fault((*observable.loc, "type"), "enum", reason)


def _is_ours(pv: str, prefix: str) -> bool:
    try:
        return is_own(channel_of(pv), prefix)
    except ValueError:  # reported by the schema
        return False
