"""Warnings: what a topology may say, but probably does not mean, each with what it is and what it should be.

Everything here is about a topology without errors; `ioc.topology.machine` looks at the machine it is on.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ioc.model import LinkType, Role, ValueType
from ioc.topology.derived import sources_of
from ioc.topology.document import Fault, show
from ioc.topology.messages import said
from ioc.topology.schema import AccessRule, Config, DataRouter, DataSource, EccServer, Topology

_SOURCE_ID = re.compile(r"CoBo\[(0|[1-9]\d*)\]|Mutant\[.+\]")
_FILE_PREFIX = re.compile(r"(describe|prepare|configure|hardwareDescription)[-_]")
_FIRST_FREE_PORT = 1024
_USUAL_PORTS = {
    "ecc_servers": ("an ECC server", EccServer.model_fields["port"].default),
    "data_routers": ("a data router", DataRouter.model_fields["port"].default),
}
_LIMITS = (
    (
        "timeouts",
        "transition",
        "at least",
        121.0,
        " seconds: electronics that hang take 120, and the work goes on anyway",
    ),
    ("timeouts", "state", "at least", 1.0, " seconds: a busy host takes that long to answer"),
    ("timeouts", "ssh", "at least", 2.0, " seconds: logging in to a host takes that long"),
    ("timeouts", "filing", "at least", 10.0, " seconds: files may grow that long after a stop"),
    ("polling", "ecc", "at most", 30.0, ": a failing ECC server is not noticed any sooner"),
    ("polling", "ecc_busy", "at most", 5.0, ": the end of a step is not noticed any sooner"),
    ("polling", "routers", "at most", 30.0, ": a failing router is not noticed any sooner"),
    ("runs", "min_disk_free_gb", "at most", 1000.0, ": it is in GB, and no run starts while a disk has less"),
)


def advise(topology: Topology) -> Iterator[Fault]:
    """Yield every warning."""
    for checked in (_prefix, _configs, _backups, _ports, _roles, _links, _times, _observables, _access):
        yield from checked(topology)


def _prefix(topology: Topology) -> Iterator[Fault]:
    prefix = topology.prefix
    if not prefix.endswith((":", "-", "_")):
        yield said(("prefix",), prefix, f"should end with ':': the PVs are called {prefix}State and so on")


def _configs(topology: Topology) -> Iterator[Fault]:
    for index, server in enumerate(topology.ecc_servers):
        if server.config is None:
            continue
        for key in Config.model_fields:
            name: str = getattr(server.config, key)
            loc = ("ecc_servers", index, "config", key)
            if "." in name:
                yield said(
                    loc,
                    name,
                    "should have no dot: the ECC server cuts the name of the file there and does not find it",
                )
            if begin := _FILE_PREFIX.match(name):
                short = name[begin.end() :]
                yield said(
                    loc, name, f"should be {short!r} if the file is {begin[0]}{short}.xcfg: {key}- comes before it"
                )


def _backups(topology: Topology) -> Iterator[Fault]:
    for index, server in enumerate(topology.ecc_servers):
        backup, root = server.config_backup_root, server.config_root
        loc = ("ecc_servers", index, "config_backup_root")
        if backup is None:
            continue
        if root is None:
            yield said(loc, backup, "should come with config_root: without it nothing is copied")
        elif backup.rstrip("/") == root.rstrip("/"):
            yield said(loc, backup, "should be another folder than config_root")


def _ports(topology: Topology) -> Iterator[Fault]:
    for section, (_, usual) in _USUAL_PORTS.items():
        for index, component in enumerate(getattr(topology, section)):
            loc, port = (section, index, "port"), component.port
            if port < _FIRST_FREE_PORT:
                yield said(loc, port, f"should be {usual}, or another one above 1023: lower ones belong to the system")
            for other, (kind, its) in _USUAL_PORTS.items():
                if other != section and port == its:
                    yield said(loc, port, f"should be {usual}, or another one: {its} is usual for {kind}")


def _roles(topology: Topology) -> Iterator[Fault]:
    for index, source in enumerate(topology.data_sources):
        if not _SOURCE_ID.fullmatch(source.id):
            yield said(
                ("data_sources", index, "id"), source.id, "should be as in the .xcfg file: CoBo[3] or Mutant[master]"
            )
    for index, server in enumerate(topology.ecc_servers):
        sources = sources_of(topology, server.name)
        mutants = [source for source in sources if _is_mutant(source)]
        loc = ("ecc_servers", index, "role")
        ids = ", ".join(source.id for source in sources)
        if server.role is Role.MuTAnT and not mutants:
            yield said(loc, server.role, f"should be cobo: {server.name} drives {ids}")
        elif server.role is Role.CoBo and len(mutants) == len(sources):
            yield said(loc, server.role, f"should be mutant: {server.name} drives {ids}")


def _links(topology: Topology) -> Iterator[Fault]:
    index_of = {router.name: index for index, router in enumerate(topology.data_routers)}
    user: dict[str, DataSource] = {}
    for index, source in enumerate(topology.data_sources):
        wanted = LinkType.FDT if _is_mutant(source) else LinkType.TCP
        for place, name in enumerate(source.data_routers):
            kind = topology.data_routers[index_of[name]].type
            if kind in {LinkType.TCP, LinkType.FDT} and kind is not wanted:
                loc = ("data_routers", index_of[name], "type")
                yield said(loc, kind, f"should be {wanted.value}: {source.id} sends its data there")
            first = user.setdefault(name, source)
            if first is not source:
                loc = ("data_sources", index, "data_routers", place)
                yield said(loc, name, f"should be another router: one takes one source at a time, this one {first.id}")
    if not all(map(_is_loopback, topology.ecc_servers)):
        for index, router in enumerate(topology.data_routers):
            if _is_loopback(router):
                loc = ("data_routers", index, "host")
                yield said(loc, router.host, "should be the address at which the electronics reach it")


def _times(topology: Topology) -> Iterator[Fault]:
    for section, key, bound, limit, why in _LIMITS:
        value = getattr(getattr(topology, section), key)
        if value < limit if bound == "at least" else value > limit:
            yield said((section, key), value, f"should be {bound} {limit:g}{why}")
    polling, silent = topology.polling, topology.runs.silent_seconds
    if polling.ecc_busy > polling.ecc:
        yield said(
            ("polling", "ecc_busy"),
            polling.ecc_busy,
            f"should be at most polling.ecc ({polling.ecc:g}): during a transition servers are asked more often",
        )
    if silent < 2 * polling.routers:
        yield said(
            ("runs", "silent_seconds"),
            silent,
            f"should be at least twice polling.routers ({polling.routers:g}): growth is not seen more often",
        )


def _observables(topology: Topology) -> Iterator[Fault]:
    following: dict[str, str] = {}
    for index, each in enumerate(topology.observables):
        loc = ("observables", index)
        if each.pv is not None:
            first = following.setdefault(each.pv, each.name)
            if first != each.name:
                yield said((*loc, "pv"), each.pv, f"should be another PV: {first} follows it")
            if each.pv.startswith(topology.prefix):
                yield said(
                    (*loc, "pv"),
                    each.pv,
                    f"should be a PV of another IOC: it begins with our prefix {topology.prefix}, but is none of ours",
                )
        for key in ("deadband", "max_rate"):
            if getattr(each, key) and each.pv is None:
                yield said((*loc, key), getattr(each, key), "should be left out: what the shift types is all recorded")
        if each.deadband and each.pv is not None and each.type in {ValueType.String, ValueType.Enum}:
            yield said((*loc, "deadband"), each.deadband, f"should be left out: {each.name} is no number")
    for index, name in enumerate(topology.runs.require):
        if name in topology.runs.require[:index]:
            yield said(("runs", "require", index), name, "should be there once")


def _is_mutant(source: DataSource) -> bool:
    return source.id.lower().startswith("mutant")


def _is_loopback(component: EccServer | DataRouter) -> bool:
    if component.host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(component.host).is_loopback
    except ValueError:
        return False


def _access(topology: Topology) -> Iterator[Fault]:
    """Yield rules that do not do what they seem to."""
    rules = topology.access or ()
    if topology.access is not None and not any(rule.write for rule in rules):
        yield ("access",), "access has no rule with write: true, but should have one: nobody may write a PV"
    for index, rule in enumerate(rules):
        loc = ("access", index)
        if not _may_match(rule.pvs, topology.prefix):
            reason = f"should begin with our prefix {topology.prefix} or '*': it matches none of our PVs"
            yield said((*loc, "pvs"), rule.pvs, reason)
        if _matches_all(rule) and index < len(rules) - 1:
            yield loc, f"{show(loc)} matches everything, but should be the last rule: those after it have no effect"
            return


def _matches_all(rule: AccessRule) -> bool:
    return set(rule.pvs) == {"*"} and not rule.hosts and any(set(user) == {"*"} for user in rule.users)


def _may_match(pattern: str, prefix: str) -> bool:
    """Whether a pattern can match a name with this prefix: as far as both have letters, these are the same."""
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return literal.startswith(prefix) or (literal != pattern and prefix.startswith(literal))
