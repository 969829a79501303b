"""The validated model of ``topology.yaml``: the one description of an installation.

Each class is one section of the file; every field is explained in ``topology.yaml`` at the root and in
``docs/administrators.md``. Paths are kept as written; `ioc.topology.load` resolves those of this machine against the
file's folder. Instances are frozen.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ioc.errors import Refused
from ioc.model import ConfigChoice, LinkType, Role, ValueType, check_config_name, check_experiment

_PV_NAME = re.compile(r"[A-Za-z0-9_:\-]+")
_COMPONENT = re.compile(r"[A-Za-z0-9_\-]+")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_\-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_\-]*[A-Za-z0-9_])?)*")
_ALL_NUMERIC = re.compile(r"[0-9.]+")


def _component(name: str) -> str:
    if not _COMPONENT.fullmatch(name) or len(name) > 30:
        raise ValueError(f"{name!r} becomes part of PV names: it must be 1 to 30 of A-Z a-z 0-9 _ -")
    return name


def _prefix(prefix: str) -> str:
    if not _PV_NAME.fullmatch(prefix) or len(prefix) > 20:
        raise ValueError(f"{prefix!r} begins PV names: it must be 1 to 20 of A-Z a-z 0-9 _ : -")
    return prefix


def _address(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if _ALL_NUMERIC.fullmatch(host) or not _HOST_NAME.fullmatch(host):
            raise ValueError(f"{host!r} must be an IP address or a host name") from None
    return host


def _config_name(name: str) -> str:
    try:
        return check_config_name(name)
    except Refused as error:
        raise ValueError(str(error)) from None


def _experiment(name: str) -> str:
    try:
        return check_experiment(name)
    except Refused as error:
        raise ValueError(str(error)) from None


def _source_id(source: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_\-.\[\]]+", source) or len(source) > 60:
        raise ValueError(f"{source!r} must be the id in the .xcfg file, such as CoBo[0] or Mutant[master]")
    return source


def _network(host: str) -> str:
    try:
        ipaddress.ip_network(host, strict=False)
    except ValueError:
        raise ValueError(f"{host!r} must be an IP address or a network such as 192.168.41.0/24") from None
    return host


Component = Annotated[str, AfterValidator(_component)]
Address = Annotated[str, AfterValidator(_address)]
ConfigName = Annotated[str, AfterValidator(_config_name)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ssh(Section):
    """How a host is reached; a server's or router's own section overrides the general one key by key."""

    username: str | None = None
    port: Port | None = None
    key: str | None = None
    known_hosts: str = "~/.ssh/known_hosts"
    config: str | None = "~/.ssh/config"
    unknown_hosts: Literal["refuse", "add"] = "refuse"


class Config(Section):
    """The default choice of configuration files."""

    describe: ConfigName
    prepare: ConfigName
    configure: ConfigName

    @property
    def choice(self) -> ConfigChoice:
        return ConfigChoice(self.describe, self.prepare, self.configure)


class EccServer(Section):
    """One ``getEccSoapServer``."""

    name: Component
    role: Role
    host: Address
    port: Port = 8083
    supports_resume: bool = False
    config: Config | None = None
    config_root: str | None = None
    config_backup_root: str | None = None
    log_path: str | None = None
    ssh: Ssh | Literal["local"] | None = None


class DataRouter(Section):
    """One ``dataRouter`` process."""

    name: Component
    host: Address
    port: Port = 46005
    type: LinkType = LinkType.TCP
    log_path: str | None = None
    work_dir: str | None = None
    ssh: Ssh | Literal["local"] | None = None


class DataSource(Section):
    """One CoBo or MuTAnT: which ECC server drives it, which routers get its data (the file writer first)."""

    id: Annotated[str, AfterValidator(_source_id)]
    ecc_server: str
    data_routers: Annotated[tuple[str, ...], Field(min_length=1)]


Roles = Annotated[tuple[Role, ...], Field(min_length=1)]


class Order(Section):
    """Which group goes first at each step; Breakup, Undo, Pause and Resume follow `reset`."""

    describe: Roles = (Role.CoBo, Role.MuTAnT)
    prepare: Roles = (Role.MuTAnT, Role.CoBo)
    configure: Roles = (Role.CoBo, Role.MuTAnT)
    start: Roles = (Role.CoBo, Role.MuTAnT)
    stop: Roles = (Role.MuTAnT, Role.CoBo)
    reset: Roles = (Role.MuTAnT, Role.CoBo)


class Polling(Section):
    """How often things are looked at, in seconds."""

    ecc: Seconds = 1.0
    ecc_busy: Seconds = 0.2
    routers: Seconds = 2.0


class Timeouts(Section):
    """How long a peer may take, in seconds."""

    state: Seconds = 5.0
    transition: Seconds = 180.0
    ssh: Seconds = 10.0
    filing: Seconds = 120.0


class Runs(Section):
    """What a run needs and does."""

    reset_mutant_before_start: bool = False
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 2.0
    min_disk_free_gb: Annotated[float, Field(ge=0)] = 5.0
    require: tuple[str, ...] = ()


class Observable(Section):
    """A quantity of the conditions, recorded with every run; manual if it has no `pv`."""

    name: Component
    label: Annotated[str, Field(max_length=40)] = ""
    pv: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[\x21-\x7e]+$")] | None = None
    units: Annotated[str, Field(max_length=8)] = ""
    type: ValueType = ValueType.Float
    deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    max_rate: Annotated[float, Field(gt=0, le=1000)] | None = None
    comment: str = ""


class AccessRule(Section):
    """Who may write: the first rule that matches PV, host and user decides."""

    pvs: str = "*"
    hosts: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    users: tuple[str, ...] = ("*",)
    write: bool


class Topology(Section):
    """A whole installation."""

    prefix: Annotated[str, AfterValidator(_prefix)] = "ATTPC:"
    experiment: Annotated[str, AfterValidator(_experiment)]
    database: Annotated[str, Field(min_length=1)] = "runs.db"
    ecc_servers: Annotated[tuple[EccServer, ...], Field(min_length=1)]
    data_routers: Annotated[tuple[DataRouter, ...], Field(min_length=1)]
    data_sources: Annotated[tuple[DataSource, ...], Field(min_length=1)]
    order: Order = Order()
    ssh: Ssh | Literal["local"] = Ssh()
    polling: Polling = Polling()
    timeouts: Timeouts = Timeouts()
    runs: Runs = Runs()
    observables: tuple[Observable, ...] = ()
    record: Literal["always", "runs"] = "always"
    access: tuple[AccessRule, ...] | None = None
    """None: only clients on this machine may write."""
