"""Warnings: settings that are allowed but probably mistakes, and settings that will not work on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from ioc.errors import PeerError
from ioc.model import PVA_SCHEME, Action, HookPoint, LinkType, Role, ValueType
from ioc.topology.derived import sources_of, ssh_for, units_of
from ioc.topology.document import Fault, Loc, fault
from ioc.topology.messages import value_fault
from ioc.topology.place import is_here, is_loopback
from ioc.topology.schema import USUAL_PORTS, AccessRule, DataRouter, DataSource, EccServer, Ssh, Topology
from ioc.topology.secret import read_secret

Entry = TypeVar("Entry")
Advice = tuple[Loc, str]
"""The place of a value, and what it should be."""

_SOURCE_ID = re.compile(r"CoBo\[(0|[1-9]\d*)\]|Mutant\[.+\]")
_FILE_PREFIX = re.compile(r"(describe|prepare|configure|hardwareDescription)[-_]")
_KINDS = {"ecc_servers": "an ECC server", "data_routers": "a data router"}
_FAST_SECONDS = 0.2
"""Delays of values up to this are no surprise."""
_LONG_STOP = 30.0
"""Seconds for which a Stop may well wait."""
_PIP = "python -m pip install"
_LOOPBACK = re.compile(r"http://(127\.|localhost|\[::1\])")
_AT_LEAST = (
    ("timeouts", "transition", 121.0, "hanging electronics take 120, and the transition continues anyway"),
    ("timeouts", "state", 1.0, "a busy host takes that long to answer"),
    ("timeouts", "ssh", 2.0, "logging in to a host takes that long"),
    ("timeouts", "filing", 10.0, "files may grow that long after a stop"),
    ("polling", "ecc", 0.1, "to ask more often only keeps the servers and this machine busy"),
    ("polling", "ecc_busy", 0.05, "to ask more often only keeps the server and this machine busy"),
    ("polling", "routers", 0.2, "to ask more often only keeps the hosts and this machine busy"),
)
_AT_MOST = (
    ("polling", "ecc", 30.0, "a failing ECC server is not noticed sooner"),
    ("polling", "ecc_busy", 5.0, "the end of a step is not noticed sooner"),
    ("polling", "routers", 30.0, "a failing router is not noticed sooner"),
    ("runs", "min_disk_free_gb", 1000.0, "it is in GB, and no run starts while a disk has less"),
)


def advise(topology: Topology) -> Iterator[Fault]:
    """Yield every warning about a topology whose paths are resolved."""
    for adviser in _ADVISERS:
        for loc, advice in adviser(topology):
            yield value_fault(loc, reduce(_inside, loc, topology), advice)
    yield from _rules(topology)
    yield from _services(topology)


def _inside(holder: Any, part: str | int) -> Any:
    return getattr(holder, part) if isinstance(part, str) else holder[part]


def _entries(entries: Iterable[Entry], *loc: str) -> Iterator[tuple[Loc, Entry]]:
    return (((*loc, index), entry) for index, entry in enumerate(entries))


def _components(topology: Topology) -> Iterator[tuple[Loc, EccServer | DataRouter]]:
    yield from _entries(topology.ecc_servers, "ecc_servers")
    yield from _entries(topology.data_routers, "data_routers")


def _prefix(topology: Topology) -> Iterator[Advice]:
    if not topology.prefix.endswith((":", "-", "_")):
        yield ("prefix",), f"should end with ':': the PVs are called {topology.prefix}State and so on"


def _configs(topology: Topology) -> Iterator[Advice]:
    for place, server in _entries(topology.ecc_servers, "ecc_servers"):
        for key, name in server.config or ():
            loc = (*place, "config", key)
            if "." in name:
                yield loc, "should have no dot: the ECC server cuts the file name there and does not find the file"
            if " " in name:
                yield loc, "should have no space: the ECC server lists the file but cannot load it"
            if begin := _FILE_PREFIX.match(name):
                short = name[begin.end() :]
                yield loc, f"should be {short!r} if the file is {begin[0]}{short}.xcfg: {key}- comes before it"


def _config_roots(topology: Topology) -> Iterator[Advice]:
    for index, server in enumerate(topology.ecc_servers):
        if " " in (server.config_root or ""):
            yield (
                ("ecc_servers", index, "config_root"),
                "should have no space: the ECC server takes the path for an invalid URL and does not start",
            )


def _backups(topology: Topology) -> Iterator[Advice]:
    for place, server in _entries(topology.ecc_servers, "ecc_servers"):
        backup, root = server.config_backup_root, server.config_root
        loc = (*place, "config_backup_root")
        if backup is not None and root is None:
            yield loc, "should come with config_root: without it nothing is copied"
        elif backup is not None and root is not None and backup.rstrip("/") == root.rstrip("/"):
            yield loc, "should differ from config_root"


def _units(topology: Topology) -> Iterator[Advice]:
    for loc, component in _components(topology):
        if isinstance(component, DataRouter) and component.work_dir is None and units_of(topology, component):
            yield (*loc, "work_dir"), "should be set: its unit starts it there"
        if component.command is not None and not units_of(topology, component):
            yield (*loc, "units"), "should be systemd or launchd: without units, nothing starts the command"


def _ports(topology: Topology) -> Iterator[Advice]:
    for loc, component in _components(topology):
        usual = USUAL_PORTS[str(loc[0])]
        if component.port < 1024:
            yield (*loc, "port"), f"should be {usual}, or another one above 1023: lower ones belong to the system"
        for section, port in USUAL_PORTS.items():
            if component.port == port != usual:
                yield (*loc, "port"), f"should be {usual}, or another one: {port} is usual for {_KINDS[section]}"


def _roles(topology: Topology) -> Iterator[Advice]:
    for loc, source in _entries(topology.data_sources, "data_sources"):
        if not _SOURCE_ID.fullmatch(source.id):
            yield (*loc, "id"), "should be as in the .xcfg file: CoBo[3] or Mutant[master]"
    for loc, server in _entries(topology.ecc_servers, "ecc_servers"):
        sources = sources_of(topology, server.name)
        drives = f"{server.name} drives {', '.join(source.id for source in sources)}"
        if server.role is Role.MuTAnT and not any(map(_is_mutant, sources)):
            yield (*loc, "role"), f"should be cobo: {drives}"
        elif server.role is Role.CoBo and all(map(_is_mutant, sources)):
            yield (*loc, "role"), f"should be mutant: {drives}"


def _links(topology: Topology) -> Iterator[Advice]:
    index_of = {router.name: index for index, router in enumerate(topology.data_routers)}
    user: dict[str, DataSource] = {}
    for index, source in enumerate(topology.data_sources):
        wanted = LinkType.FDT if _is_mutant(source) else LinkType.TCP
        for place, name in enumerate(source.data_routers):
            kind, first = topology.data_routers[index_of[name]].type, user.setdefault(name, source)
            if kind in {LinkType.TCP, LinkType.FDT} and kind is not wanted:
                yield ("data_routers", index_of[name], "type"), f"should be {wanted}: {source.id} sends its data there"
            if first is not source:
                why = f"a router accepts one source at a time, and this one has {first.id}"
                yield ("data_sources", index, "data_routers", place), f"should be another router: {why}"


def _hosts(topology: Topology) -> Iterator[Advice]:
    remote = not all(is_loopback(server.host) for server in topology.ecc_servers)
    for loc, component in _components(topology):
        if remote and isinstance(component, DataRouter) and is_loopback(component.host):
            yield (*loc, "host"), "should be the address at which the electronics reach it"
        if ssh_for(topology, component) == "local" and not is_here(component.host):
            yield (*loc, "host"), "should be an address of this machine: ssh is local"


def _times(topology: Topology) -> Iterator[Advice]:
    for section, key, limit, why in _AT_LEAST:
        if getattr(getattr(topology, section), key) < limit:
            yield (section, key), f"should be at least {limit:g} seconds: {why}"
    for section, key, limit, why in _AT_MOST:
        if getattr(getattr(topology, section), key) > limit:
            yield (section, key), f"should be at most {limit:g}: {why}"
    polling = topology.polling
    if polling.ecc_busy > polling.ecc:
        why = "servers are polled faster during a transition"
        yield ("polling", "ecc_busy"), f"should be at most polling.ecc ({polling.ecc:g}): {why}"
    if topology.runs.silent_seconds < 2 * polling.routers:
        why = "growth is measured only that often"
        yield ("runs", "silent_seconds"), f"should be at least twice polling.routers ({polling.routers:g}): {why}"


def _observables(topology: Topology) -> Iterator[Advice]:
    following: dict[str, str] = {}
    for loc, each in _entries(topology.observables, "observables"):
        if each.pv is not None:
            first = following.setdefault(each.pv, each.name)
            if first != each.name:
                yield (*loc, "pv"), f"should be another PV: {first} already has it"
            if each.pv.removeprefix(PVA_SCHEME).startswith(topology.prefix):
                why = f"it begins with our prefix {topology.prefix}, but this IOC does not have it"
                yield (*loc, "pv"), f"should be a PV of another IOC: {why}"
            if each.deadband and each.type in {ValueType.String, ValueType.Enum}:
                yield (*loc, "deadband"), f"should be left out: {each.name} is not a number"
        else:
            for key in ("deadband", "max_rate"):
                if getattr(each, key):
                    yield (*loc, key), "should be left out: every value that the shift enters is recorded"
    for index, name in enumerate(topology.runs.require):
        if name in topology.runs.require[:index]:
            yield ("runs", "require", index), "should be given once"


def _interlocks(topology: Topology) -> Iterator[Advice]:
    observables = {each.name: each for each in topology.observables}
    follows = {each.pv: each.name for each in topology.observables if each.pv is not None}
    not_resuming = [server.name for server in topology.ecc_servers if not server.supports_resume]
    for loc, each in _entries(topology.interlocks, "interlocks"):
        if each.action is Action.Hold and not_resuming:
            others = f" and {len(not_resuming) - 1} more" if len(not_resuming) > 1 else ""
            why = f"runs are not paused, only marked, because {not_resuming[0]}{others} cannot Resume"
            yield (*loc, "action"), f"should be block or stop, or every server have supports_resume: {why}"
        if each.action is Action.Block and each.when == "run":
            yield (*loc, "when"), "should be always: no run is started during a run, so it would block nothing"
        if each.pv in follows:
            yield (*loc, "pv"), f"should be replaced by observable: {follows[each.pv]}, which follows it"
        rate = observables[each.observable].max_rate if each.observable is not None else None
        if rate is not None and 1 / rate > max(each.for_seconds, _FAST_SECONDS):
            why = f"{each.observable} has max_rate {rate:g}, so the interlock may see a change that late"
            yield (*loc, "for_seconds"), f"should be at least {1 / rate:g} seconds: {why}"


def _hooks(topology: Topology) -> Iterator[Advice]:
    for point in HookPoint:
        for loc, each in _entries(topology.hooks.at(point), "hooks", point.value):
            if each.run and each.host == "local" and shutil.which(Path(each.run[0]).expanduser()) is None:
                yield (*loc, "run", 0), "should be a program that this user can run: there is none on this machine"
            if point is HookPoint.BeforeStop and each.timeout > _LONG_STOP:
                yield (*loc, "timeout"), f"should be at most {_LONG_STOP:g} seconds: the run stops only after it"


def _notifications(topology: Topology) -> Iterator[Advice]:
    rules = topology.notifications.rules if topology.notifications is not None else ()
    for loc, rule in _entries(rules, "notifications", "rules"):
        if rule.repeat_minutes < 1:
            yield (
                (*loc, "repeat_minutes"),
                "should be at least 1: a condition that comes and goes is reported that often",
            )


def _logbook_files(topology: Topology) -> Iterator[Advice]:
    for loc, each in _entries(topology.logbook, "logbook"):
        if each.file is None:
            continue
        file = Path(each.file)
        if not file.parent.is_dir():
            why = f"{file.parent} does not exist"
        elif file.is_dir():
            why = "it is a folder"
        elif not os.access(file if file.exists() else file.parent, os.W_OK):
            why = "this user cannot write to it"
        else:
            continue
        yield (*loc, "file"), f"should be a file in a folder where this user can write: {why}"


def _ssh(topology: Topology) -> Iterator[Advice]:
    """Check the settings of each section: its own values, and its own files, not inherited ones."""
    general = topology.ssh
    if isinstance(general, Ssh) and any(each.ssh is None for _, each in _components(topology)):
        yield from _files(general, ("ssh",), {*general.model_fields_set, "known_hosts"})
    for loc, each in _components(topology):
        settings = ssh_for(topology, each)
        if isinstance(each.ssh, Ssh) and isinstance(settings, Ssh):
            alone = {"known_hosts"} if general == "local" else set[str]()
            yield from _files(settings, (*loc, "ssh"), each.ssh.model_fields_set | alone)


def _files(ssh: Ssh, loc: Loc, keys: set[str]) -> Iterator[Advice]:
    paths = {key: Path(path) for key in keys & {"key", "known_hosts", "config"} if (path := getattr(ssh, key))}
    if key := paths.get("key"):
        if not key.is_file():
            yield (*loc, "key"), "should be a private key: the file does not exist, so no host can be reached"
        elif key.suffix == ".pub":
            yield (*loc, "key"), f"should be the private key, {key.with_suffix('')}, not the public one"
        elif not os.access(key, os.R_OK):
            yield (*loc, "key"), "should be a file that this user may read"
    if known := paths.get("known_hosts"):
        if not known.is_file() and ssh.unknown_hosts == "refuse":
            why = "the file does not exist, and unknown hosts are refused"
            yield (*loc, "known_hosts"), f"should be a file with the keys of the hosts: {why}"
        if not known.parent.is_dir() and ssh.unknown_hosts == "add":
            yield (*loc, "known_hosts"), "should be in an existing directory, so that keys can be added"
    if (config := paths.get("config")) and not config.is_file():
        yield (*loc, "config"), "should be an OpenSSH client configuration: the file does not exist"


def _patterns(topology: Topology) -> Iterator[Advice]:
    for loc, rule in _entries(topology.access or (), "access"):
        if not _may_match(rule.pvs, topology.prefix):
            why = "it matches none of our PVs"
            yield (*loc, "pvs"), f"should begin with our prefix {topology.prefix} or '*': {why}"


def _rules(topology: Topology) -> Iterator[Fault]:
    """Yield warnings about access as a whole and a rule as a whole."""
    rules = topology.access or ()
    if topology.access is not None and not any(rule.write for rule in rules):
        yield ("access",), "access has no rule with write: true, but should have one: nobody can write to a PV"
    for loc in [loc for loc, rule in _entries(rules[:-1], "access") if _matches_all(rule)][:1]:
        yield fault(loc, "matches everything, but should be the last rule: those after it have no effect")


def _services(topology: Topology) -> Iterator[Fault]:
    """Yield warnings about what logbooks and notifications need on this machine."""
    secrets: list[tuple[Loc, str]] = []
    for loc, each in _entries(topology.logbook, "logbook"):
        if each.password is not None:
            secrets.append(((*loc, "password"), each.password))
        if each.kind == "elog" and not _installed("elog"):
            text = "is elog, but this needs the Python package py_elog, which is not installed"
            yield fault((*loc, "kind"), f"{text}: {_PIP} py_elog")
        if each.password is not None and (each.url or "").startswith("http://") and not _LOOPBACK.match(each.url or ""):
            text = "should begin with https:// unless it is on this machine: the password is sent unencrypted"
            yield fault((*loc, "url"), text)
    if topology.notifications is not None:
        if not _installed("apprise"):
            text = f"need the Python package apprise, which is not installed: {_PIP} apprise"
            yield fault(("notifications",), text)
        targets = _entries(topology.notifications.targets, "notifications", "targets")
        secrets += [((*loc, "url"), each.url) for loc, each in targets]
    for loc, place in secrets:
        try:
            read_secret(place)
        except PeerError as error:
            yield fault(loc, f"cannot be read: {error}")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _matches_all(rule: AccessRule) -> bool:
    return set(rule.pvs) == {"*"} and not rule.hosts and any(set(user) == {"*"} for user in rule.users)


def _may_match(pattern: str, prefix: str) -> bool:
    """Whether a pattern can match a name with this prefix, judged by its literal characters."""
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return literal.startswith(prefix) or (literal != pattern and prefix.startswith(literal))


def _is_mutant(source: DataSource) -> bool:
    return source.id.lower().startswith("mutant")


_ADVISERS = (
    _prefix,
    _configs,
    _config_roots,
    _backups,
    _units,
    _ports,
    _roles,
    _links,
    _times,
    _observables,
    _patterns,
    _hosts,
    _ssh,
    _interlocks,
    _hooks,
    _notifications,
    _logbook_files,
)
