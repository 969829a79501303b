"""What the simulator is asked to be (`SitePlan`) and where it then is (`SiteAddresses`): frozen, JSON on the way."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ioc.errors import Refused

HOST = "127.0.0.1"
"""All simulated parts listen on this address, and on no other unless their plan says so."""


@dataclass(frozen=True)
class ServerPlan:
    """One simulated ``getEccSoapServer`` and the electronics behind it."""

    name: str
    sources: tuple[str, ...]
    """Ids in its hardware description: ``CoBo[0]``, ``Mutant[master]``."""
    role: str = "cobo"
    """``cobo``, or ``mutant``, whose sources send a tenth of a CoBo's data."""
    supports_resume: bool = False
    """Whether it survives Resume; the release of 2021 does not."""
    dialect: str = "2.8"
    """gSOAP build of the recordings whose bytes it speaks: ``2.7`` or ``2.8``."""
    asads: int = 4
    """AsAd boards of each of its CoBos, 1 to 4: so many files a CoBo."""
    release: int = 2021
    """Of the GET software: 2017 reads ``prepare-P``, 2021 ``configure-P`` when it prepares."""
    host: str = HOST
    """Address on which it listens, and of the routers that its sources connect to: an own one of this machine."""


@dataclass(frozen=True)
class RouterPlan:
    """One simulated ``dataRouter`` process."""

    name: str
    type: str = "TCP"
    """Flow type, an argument of its process: TCP, ZBUF and FDT take one source at a time, ICE any number."""
    host: str = HOST
    """Address on which it listens."""


@dataclass(frozen=True)
class ObservablePlan:
    """One process variable of the simulated slow controls."""

    pv: str
    type: str = "float"
    """``float``, ``integer``, ``string`` or ``enum``."""
    units: str = ""
    low: float | None = None
    """Lower alarm limit (LOLO) in `units`; None: taken from a table of usual ranges by the units."""
    high: float | None = None
    """Upper alarm limit (HIHI) in `units`."""


@dataclass(frozen=True)
class ConfigNames:
    """Names of the configuration files: ``describe-NAME.xcfg`` and so on are written where they do not exist."""

    describe: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    configure: tuple[str, ...] = ()


@dataclass(frozen=True)
class SitePlan:
    """A whole simulated AT-TPC."""

    directory: str
    """Where everything it writes goes; made if it does not exist. Files of an earlier simulation stay."""
    servers: tuple[ServerPlan, ...] = ()
    routers: tuple[RouterPlan, ...] = ()
    observables: tuple[ObservablePlan, ...] = ()
    configs: ConfigNames = field(default_factory=ConfigNames)
    speed: float = 1.0
    """Transitions take their real time divided by this."""
    data_rate: float = 200_000.0
    """Bytes per second that all sources together send while Running."""
    file_size: int = 1024 * 1024 * 1024
    """Bytes beyond which a router begins the next .graw file of a run."""
    disk_budget: int = 2_000_000_000
    """Bytes that all routers together write at most; data beyond it are dropped."""

    def to_json(self) -> str:
        """One line of JSON, as ``python -m ioc.sim`` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SitePlan:
        """Read what `to_json` wrote.

        Raises:
            Refused: naming what is wrong with the plan.
        """
        try:
            plan: dict[str, Any] = json.loads(text)
            plan["servers"] = tuple(_server(item) for item in plan.get("servers", ()))
            plan["routers"] = tuple(RouterPlan(**item) for item in plan.get("routers", ()))
            plan["observables"] = tuple(ObservablePlan(**item) for item in plan.get("observables", ()))
            plan["configs"] = ConfigNames(**{kind: tuple(names) for kind, names in plan.get("configs", {}).items()})
            result = cls(**plan)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Refused(f"the simulator's plan must be a SitePlan in one line of JSON: {error!r}") from None
        result.check()
        return result

    def check(self) -> None:
        """Refuse a plan that cannot be simulated.

        Raises:
            Refused: naming the part, what it is and what it must be.
        """
        for kind, names in (
            ("ECC servers", [server.name for server in self.servers]),
            ("routers", [router.name for router in self.routers]),
        ):
            for name in names:
                if names.count(name) > 1 or not name or "/" in name:
                    raise Refused(f"name {name!r} of the simulated {kind} must be unique, not empty and without '/'")
        for server in self.servers:
            if server.dialect not in {"2.7", "2.8"}:
                raise Refused(f"dialect {server.dialect!r} of simulated ECC server {server.name} must be 2.7 or 2.8")
            if server.release not in {2017, 2021} or not 1 <= server.asads <= 4:
                raise Refused(
                    f"release {server.release} of simulated ECC server {server.name} must be 2017 or 2021, and "
                    f"asads {server.asads} 1 to 4"
                )
        for observable in self.observables:
            if observable.type not in {"float", "integer", "string", "enum"}:
                raise Refused(
                    f"type {observable.type!r} of simulated PV {observable.pv} must be float, integer, string or enum"
                )
        if not self.speed > 0 or not self.data_rate > 0 or not self.file_size > 0:
            raise Refused("speed, data_rate and file_size of the simulator's plan must be above 0")


def _server(item: dict[str, Any]) -> ServerPlan:
    arguments: dict[str, Any] = {**item, "sources": tuple(item["sources"])}
    return ServerPlan(**arguments)


@dataclass(frozen=True)
class EccAddress:
    """Where a simulated ECC server is."""

    port: int
    log_path: str


@dataclass(frozen=True)
class RouterAddress:
    """Where a simulated data router is."""

    port: int
    """Where it takes data; while a source is connected nobody listens there."""
    work_dir: str
    log_path: str
    control_port: int


@dataclass(frozen=True)
class SiteAddresses:
    """Where everything is; keyed by the names of the plan."""

    servers: dict[str, EccAddress]
    routers: dict[str, RouterAddress]
    config_root: str
    """Directory with the .xcfg files of every server."""
    ca_port: int
    """Channel Access port (UDP and TCP) of the slow controls; 0 if the plan has no observables."""
    control_port: int
    """JSON line protocol of `docs/simulator.md`."""

    def to_json(self) -> str:
        """One line of JSON, as ``python -m ioc.sim`` prints it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SiteAddresses:
        """Read what `to_json` wrote; the other side is this package's own process."""
        addresses = json.loads(text)
        return cls(
            servers={name: EccAddress(**item) for name, item in addresses["servers"].items()},
            routers={name: RouterAddress(**item) for name, item in addresses["routers"].items()},
            config_root=addresses["config_root"],
            ca_port=addresses["ca_port"],
            control_port=addresses["control_port"],
        )
