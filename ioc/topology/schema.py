"""The validated model of ``topology.yaml``: the one description of an installation.

Each class is one section of the file; every field is explained in ``topology.yaml`` at the root and in
``docs/topology.md``. `ioc.topology.load.load` resolves the paths on this machine against the file's folder; paths on
other hosts stay as written. Instances are frozen.

A validator's message begins with "must": the loader puts the key and its value before it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from ioc.errors import Refused
from ioc.model import CONFIG_NAME_LENGTH, ConfigChoice, LinkType, Role, ValueType, check_config_name, check_experiment
from ioc.topology.addresses import check_address, check_network
from ioc.topology.source_pv import channel_of

_PV_PREFIX = re.compile(r"[A-Za-z0-9_:\-]{1,20}")
_COMPONENT = re.compile(r"[A-Za-z0-9_\-]{1,30}")
_SOURCE_ID = re.compile(r"[A-Za-z0-9_\-.\[\]]{1,60}")
_CONFIG_FILE = re.compile(r"(describe-|prepare-|configure-|hardwareDescription_)?(.*)\.(xcfg|xml)", re.IGNORECASE)


def _component(name: str) -> str:
    if not _COMPONENT.fullmatch(name):
        raise ValueError("must be 1 to 30 of A-Z a-z 0-9 _ - (it becomes part of PV names)")
    return name


def _prefix(prefix: str) -> str:
    if not _PV_PREFIX.fullmatch(prefix):
        raise ValueError("must be 1 to 20 of A-Z a-z 0-9 _ : - (every PV name begins with it)")
    return prefix


def _config_name(name: str) -> str:
    if file := _CONFIG_FILE.fullmatch(name):
        raise ValueError(f"must be {file[2]!r}, the name without what is the same in all names of files")
    try:
        return check_config_name(name)
    except Refused:
        raise ValueError(
            f"must be 1 to {CONFIG_NAME_LENGTH} letters, digits and _ - . + @ with spaces only inside "
            "(any other name can kill the ECC server)"
        ) from None


def _experiment(name: str) -> str:
    try:
        return check_experiment(name)
    except Refused:
        raise ValueError(
            "must be 1 to 100 printable characters (200 bytes) without '/', without a space at either end, "
            "not beginning with '.' or '-' (it is also a directory)"
        ) from None


def _source_id(source: str) -> str:
    if not _SOURCE_ID.fullmatch(source):
        raise ValueError("must be the id in the .xcfg file, such as CoBo[0] or Mutant[master]")
    return source


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise ValueError("must be 1 to 65535")
    return port


def _seconds(seconds: float) -> float:
    if not 0 < seconds <= 86400:
        raise ValueError("must be more than 0 and at most 86400 seconds")
    return seconds


def _settle_seconds(seconds: float) -> float:
    if not 0 <= seconds <= 3600:
        raise ValueError("must be 0 to 3600 seconds")
    return seconds


def _amount(amount: float) -> float:
    if not 0 <= amount < float("inf"):
        raise ValueError("must be a finite number, 0 or more")
    return amount


def _rate(rate: float) -> float:
    if not 0 < rate <= 1000:
        raise ValueError("must be more than 0 and at most 1000 samples a second")
    return rate


def check_local_path(path: str) -> str:
    """Return `path` if it can be a file on this machine.

    Raises:
        ValueError: saying what it must be.
    """
    try:
        Path(path).expanduser()
    except RuntimeError:
        raise ValueError("must be a path whose ~ can be told") from None
    if not path or not path.isprintable():
        raise ValueError("must be a path on this machine")
    if path.endswith("/"):
        raise ValueError("must be a file, not a directory (without '/' at its end)")
    return path


def _remote_path(path: str) -> str:
    if not path.startswith(("/", "~")) or not path.isprintable():
        raise ValueError("must be a path on that host that begins with / or ~")
    return path


def _remote_file(path: str) -> str:
    if _remote_path(path).endswith("/"):
        raise ValueError("must be a file, not a directory (without '/' at its end)")
    return path


def _username(name: str) -> str:
    if not name or "@" in name or any(map(str.isspace, name)) or not name.isprintable():
        raise ValueError("must be the name of an account, without host and spaces")
    return name


Component = Annotated[str, AfterValidator(_component)]
Address = Annotated[str, AfterValidator(check_address)]
ConfigName = Annotated[str, AfterValidator(_config_name)]
Port = Annotated[int, Field(strict=True), AfterValidator(_port)]
Seconds = Annotated[float, Field(strict=True), AfterValidator(_seconds)]
Amount = Annotated[float, Field(strict=True), AfterValidator(_amount)]
Flag = Annotated[bool, Field(strict=True)]
LocalPath = Annotated[str, AfterValidator(check_local_path)]
"""On the machine this program runs on; relative to the topology's folder."""
RemotePath = Annotated[str, AfterValidator(_remote_path)]
"""On the host of the server or router; ``~`` is the home of the user who logs in there."""
RemoteFile = Annotated[str, AfterValidator(_remote_file)]


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ssh(Section):
    """How a host is reached; a server's or router's own section overrides the general one key by key."""

    username: Annotated[str, AfterValidator(_username)] | None = None
    port: Port | None = None
    key: LocalPath | None = None
    known_hosts: LocalPath = "~/.ssh/known_hosts"
    config: LocalPath | None = "~/.ssh/config"
    unknown_hosts: Literal["refuse", "add"] = "refuse"


def _ssh_form(value: object) -> str:
    return "(mapping)" if isinstance(value, dict | Ssh) else "(word)"


# Which form was meant is decided by the value, so that a wrong key is reported once and not once for each form.
SshChoice = Annotated[
    Annotated[Ssh, Tag("(mapping)")] | Annotated[Literal["local"], Tag("(word)")], Discriminator(_ssh_form)
]


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
    supports_resume: Flag = False
    config: Config | None = None
    config_root: RemotePath | None = None
    config_backup_root: RemotePath | None = None
    log_path: RemoteFile | None = None
    ssh: SshChoice | None = None


class DataRouter(Section):
    """One ``dataRouter`` process."""

    name: Component
    host: Address
    port: Port = 46005
    type: LinkType = LinkType.TCP
    log_path: RemoteFile | None = None
    work_dir: RemotePath | None = None
    ssh: SshChoice | None = None


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

    reset_mutant_before_start: Flag = False
    settle_seconds: Annotated[float, Field(strict=True), AfterValidator(_settle_seconds)] = 2.0
    min_disk_free_gb: Amount = 5.0
    silent_seconds: Seconds = 10.0
    require: tuple[str, ...] = ()


class Observable(Section):
    """A quantity of the conditions, recorded with every run; manual if it has no `pv`."""

    name: Component
    label: Annotated[str, Field(max_length=40)] = ""
    pv: Annotated[str, AfterValidator(channel_of)] | None = None
    units: Annotated[str, Field(max_length=8)] = ""
    type: ValueType = ValueType.Float
    deadband: Amount = 0.0
    max_rate: Annotated[float, Field(strict=True), AfterValidator(_rate)] | None = None
    comment: str = ""


class AccessRule(Section):
    """Who may write: the first rule that matches PV, host and user decides."""

    pvs: str = "*"
    hosts: Annotated[tuple[Annotated[str, AfterValidator(check_network)], ...], Field(min_length=1)] = ()
    """Absent: any host; an empty list, which could be read both ways, is refused."""
    users: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    write: Flag


class Topology(Section):
    """A whole installation."""

    prefix: Annotated[str, AfterValidator(_prefix)] = "ATTPC:"
    experiment: Annotated[str, AfterValidator(_experiment)]
    database: LocalPath = "runs.db"
    ecc_servers: Annotated[tuple[EccServer, ...], Field(min_length=1)]
    data_routers: Annotated[tuple[DataRouter, ...], Field(min_length=1)]
    data_sources: Annotated[tuple[DataSource, ...], Field(min_length=1)]
    order: Order = Order()
    ssh: SshChoice = Ssh()
    polling: Polling = Polling()
    timeouts: Timeouts = Timeouts()
    runs: Runs = Runs()
    observables: tuple[Observable, ...] = ()
    record: Literal["always", "runs"] = "always"
    access: tuple[AccessRule, ...] | None = None
    """None: only clients on this machine may write."""
