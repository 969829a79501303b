"""Checks of consistency between the sections of a topology.

The checks use the plain data of the file, not the validated model, so that their errors are reported together with
those of the schema. Values of a wrong type are left to the schema.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from ioc.model import Role, ValueType
from ioc.model.graw import is_in_the_way
from ioc.topology.document import Fault, Loc, fault, show
from ioc.topology.messages import suggest, value_fault
from ioc.topology.names import channel_of, is_own
from ioc.topology.schema import USUAL_PORTS, Hooks, Logbook, Order, Runs, Timeouts, Topology

PV_NAME_LENGTH = 59
"""Maximum length of our PV names; EPICS allows one character more."""
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
_PLACE_KEYS = ("directory", "ssh", "rclone")


@dataclass(frozen=True)
class _Part:
    """One mapping of the file; values of a wrong type count as absent."""

    loc: Loc
    fields: dict[str, object]

    @property
    def given(self) -> set[str]:
        """The keys that have a value."""
        return {key for key, value in self.fields.items() if value is not None}

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

    def names(self, section: str) -> set[str]:
        return {name for part in self.parts(section) if (name := part.text("name")) is not None}

    def fault(self, text: str, key: str | None = None) -> Fault:
        """An error about the mapping, or about one of its keys."""
        return fault(self.loc if key is None else (*self.loc, key), text)

    def value_fault(self, key: str, value: object, requirement: str) -> Fault:
        return value_fault((*self.loc, key), value, requirement)

    def _items(self, key: str) -> list[tuple[Loc, object]]:
        value = self.fields.get(key)
        items = cast("list[object]", value) if isinstance(value, list) else []
        return [((*self.loc, key, index), item) for index, item in enumerate(items)]


def check_consistency(data: dict[str, object]) -> Iterator[Fault]:
    """Yield every inconsistency between the sections."""
    whole = _Part((), data)
    for section, key in _KEYS.items():
        yield from _same_names(whole.parts(section), key)
    for check in _CHECKS:
        yield from check(whole)
    prefix = data.get("prefix", Topology.model_fields["prefix"].default)
    if isinstance(prefix, str):
        yield from _pv_lengths(whole, prefix)
        yield from _sources(whole, prefix)


def _repeated(parts: Iterable[_Part], identity: Callable[[_Part], object]) -> Iterator[tuple[_Part, _Part]]:
    """Yield each part with the first one of the same identity; None is no identity."""
    first: dict[object, _Part] = {}
    for part in parts:
        key = identity(part)
        if key is not None and (other := first.setdefault(key, part)) is not part:
            yield part, other


def _same_names(parts: list[_Part], key: str) -> Iterator[Fault]:
    for part, other in _repeated(parts, lambda part: (part.text(key) or "").lower() or None):
        if other.text(key) == part.text(key):
            reason = f"must be another {key}: {show(other.loc)} has it already"
        else:
            reason = f"must differ from {other.text(key)!r} of {show(other.loc)} by more than upper and lower case"
        yield part.value_fault(key, part.text(key), reason)


def _same_addresses(whole: _Part) -> Iterator[Fault]:
    ports = {part.loc: part.number("port", port) for key, port in USUAL_PORTS.items() for part in whole.parts(key)}

    def address(part: _Part) -> tuple[str, float] | None:
        host, port = part.text("host"), ports[part.loc]
        return None if host is None or port is None else (host.lower(), port)

    for part, other in _repeated((part for key in USUAL_PORTS for part in whole.parts(key)), address):
        at = f"{part.text('host')}:{ports[part.loc]}"
        text = f"{show(part.loc)} is at {at}, but must have its own address: {show(other.loc)} is there"
        yield (*part.loc, "port" if "port" in part.fields else "host"), text


def _references(whole: _Part) -> Iterator[Fault]:
    """Yield each name used by a source without a component, and each component not used by any source."""
    used: dict[str, set[str]] = {"ecc_servers": set(), "data_routers": set()}
    names = {section: whole.names(section) for section in used}
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
                    yield fault(loc, f"repeats {name!r}, but a source must name a router only once")
                mine.add(name)
            used[section].add(name)
    for section, key in (("ecc_servers", "ecc_server"), ("data_routers", "data_routers")):
        for part in whole.parts(section):
            name = part.text("name")
            if name is not None and name not in used[section]:
                yield part.fault(f"is {name}, which no source uses, but one of data_sources must name it in its {key}")


def _order(whole: _Part) -> Iterator[Fault]:
    present = {server.text("role") for server in whole.parts("ecc_servers")}
    order = whole.part("order")
    for step in Order.model_fields:
        if not isinstance(order.fields.get(step), list):
            continue
        given = [role for _, role in order.texts(step)]
        missing = [role.value for role in Role if role in present and role not in given]
        twice = sorted({role for role in given if given.count(role) > 1})
        begin = f"is [{', '.join(given)}], but must"
        if missing:
            yield order.fault(f"{begin} also have {', '.join(missing)}, which ecc_servers has", step)
        if twice:
            yield order.fault(f"{begin} have {', '.join(twice)} only once", step)


def _filing(whole: _Part) -> Iterator[Fault]:
    settle = whole.part("runs").number("settle_seconds", Runs().settle_seconds)
    timeout = whole.part("timeouts").number("filing", Timeouts().filing)
    if settle is not None and timeout is not None and settle >= timeout:
        reason = f"must be less than timeouts.filing ({timeout:g}), or no run would ever be filed"
        yield value_fault(("runs", "settle_seconds"), settle, reason)


def _observables(whole: _Part) -> Iterator[Fault]:
    names = whole.names("observables")
    for loc, name in whole.part("runs").texts("require"):
        if name not in names:
            yield value_fault(loc, name, f"must be one of observables{suggest(name, names)}")
    for part in whole.parts("observables"):
        name = part.text("name")
        if name is not None and name.lower() == NEW_OBSERVABLE.lower():
            reason = f"must be another name: the PVs Obs:{NEW_OBSERVABLE}:… add one"
            yield part.value_fault("name", name, reason)


def _interlocks(whole: _Part) -> Iterator[Fault]:
    types = {part.text("name"): part.text("type") for part in whole.parts("observables")}
    names = whole.names("observables")
    for part in whole.parts("interlocks"):
        given, observable = part.given, part.text("observable")
        sources, limits = given & {"observable", "pv"}, given & {"low", "high"}
        if len(sources) != 1:
            yield part.fault(f"has {_both(sources)}, but must have one of observable and pv")
        if observable is not None and observable not in names:
            yield part.value_fault("observable", observable, f"must be one of observables{suggest(observable, names)}")
        if "allowed" in given and limits:
            yield part.fault(f"has allowed and {_both(limits)}, but must have either")
        elif not limits and "allowed" not in given:
            yield part.fault("has no limit, but must have low, high, both, or allowed")
        if limits and types.get(observable) == ValueType.String:
            text = f"compares the text {observable} with a number, but must have allowed instead of low and high"
            yield part.fault(text)
        low, high = part.number("low", -math.inf), part.number("high", math.inf)
        if low is not None and high is not None and low > high:
            yield part.value_fault("low", low, f"must be at most high ({high:g})")


def _hooks(whole: _Part) -> Iterator[Fault]:
    known = {part.text("host") or "" for section in USUAL_PORTS for part in whole.parts(section)}
    for point in Hooks.model_fields:
        hooks = whole.part("hooks").parts(point)
        yield from _same_names(hooks, "name")
        for hook in hooks:
            given = hook.given
            if len(given & {"run", "post"}) != 1:
                has = "run and post" if {"run", "post"} <= given else "neither run nor post"
                yield hook.fault(f"has {has}, but must have one of run and post")
            if {"host", "post"} <= given:
                yield hook.fault("has post and host, but must have host only with run")
            host, program = hook.text("host"), next(iter(hook.texts("run")), None)
            if host is not None and host != "local" and host not in known:
                reason = f"must be local or the host of a server or router{suggest(host, known - {''})}"
                yield hook.value_fault("host", host, reason)
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
        for key in sorted(_NEEDS[kind] - part.given):
            yield part.fault(f"has no {key!r}, but must have one, because its kind is {kind}")
        for key in sorted(part.given & set(Logbook.model_fields) - _NEEDS[kind] - _MAY_HAVE[kind] - {"name", "kind"}):
            yield part.fault(f"has no effect for the kind {kind}, but must be left out", key)


def _notifications(whole: _Part) -> Iterator[Fault]:
    part = whole.part("notifications")
    yield from _same_names(part.parts("targets"), "name")
    names = part.names("targets")
    usable = {name for name in names if re.fullmatch(r"[\w\-]+", name)}  # any other one may be a secret
    for rule in part.parts("rules"):
        for loc, name in rule.texts("to"):
            if name not in names:
                yield value_fault(loc, name, f"must be one of targets{suggest(name, usable)}")
        if "hours" in rule.fields and rule.text("when") != "disk_below":
            yield rule.fault("must be left out, because it belongs to when: disk_below", "hours")


def _partners(whole: _Part) -> Iterator[Fault]:
    partners = whole.parts("partners")
    for part in partners:
        if "port" in part.given and (needless := sorted(part.given & {"port_manager", "user"})):
            has = " and ".join(needless)
            yield part.fault(f"has port and {has}, but must have only port, or ask the port manager without it")

    def place(part: _Part) -> object:
        host = part.text("host")
        keys = ("port", "port_manager", "user")
        return None if host is None else (host.lower(), *map(part.fields.get, keys))

    for part, other in _repeated(partners, place):
        yield part.fault(
            f"is the same ReadoutGUI as {show(other.loc)}, but must be another one: it accepts one connection"
        )


def _archive(whole: _Part) -> Iterator[Fault]:
    usable: list[_Part] = []
    for part in whole.parts("archive"):
        keys = [key for key in _PLACE_KEYS if key in part.given]
        if set(keys) not in ({"directory"}, {"directory", "ssh"}, {"rclone"}):
            has = " and ".join(keys) or "no place"
            yield part.fault(f"has {has}, but must have directory, ssh and directory, or rclone")
            continue
        usable.append(part)
        where = part.text("rclone") or part.text("directory")
        if part.fields.get("layout") == "merger" and where is not None and is_in_the_way(os.fsencode(where)):
            text = f"has layout merger in {where!r}, but must not have '.graw' or 'CoBo<k>_AsAd<a>' in its path"
            yield part.fault(f"{text}: the merger reads the whole path")
    # Two names of one place would be taken for two copies.
    for part, other in _repeated(usable, lambda part: tuple((part.text(key) or "").rstrip("/") for key in _PLACE_KEYS)):
        yield part.fault(f"is the same place as {show(other.loc)}, but must be another one")


def _both(keys: set[str]) -> str:
    return " and ".join(sorted(keys, reverse=True)) or "neither observable nor pv"


def _pv_lengths(whole: _Part, prefix: str) -> Iterator[Fault]:
    for section, pattern in LONGEST_PV.items():
        for part in whole.parts(section):
            pv = prefix + pattern.format(part.text("name"))
            if part.text("name") is not None and len(pv) > PV_NAME_LENGTH:
                text = f"makes the PV name {pv} of {len(pv)} characters, but it must have at most {PV_NAME_LENGTH}"
                yield part.fault(f"{text}: shorten the name or the prefix", "name")


def _sources(whole: _Part, prefix: str) -> Iterator[Fault]:
    for follower in (*whole.parts("observables"), *whole.parts("interlocks")):
        pv = follower.text("pv")
        if pv is not None and _is_ours(pv, prefix):
            yield follower.fault(f"is {pv!r}, which this IOC serves itself, but must be a PV of another IOC", "pv")
    for observable in whole.parts("observables"):
        if observable.text("type") == ValueType.Enum and observable.fields.get("pv") is None:
            reason = "must be float, integer or string as long as it has no pv (manual)"
            yield observable.value_fault("type", "enum", reason)


def _is_ours(pv: str, prefix: str) -> bool:
    try:
        return is_own(channel_of(pv), prefix)
    except ValueError:  # reported by the schema
        return False


_CHECKS = (
    *(_same_addresses, _references, _order, _filing, _observables, _interlocks, _hooks, _logbooks, _notifications),
    *(_partners, _archive),
)
