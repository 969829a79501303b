"""The validated model of ``topology.yaml``, the single description of an installation.

Each class is one section of the file; every field is explained in ``topology.yaml`` at the root and in
``docs/topology.md``. Paths on this machine are resolved if the context of the validation is a `Place`; paths on other
hosts stay as written. Instances are frozen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, ValidationInfo

from ioc.errors import Refused
from ioc.model import (
    CONFIG_NAME_LENGTH,
    Action,
    ConfigChoice,
    HookPoint,
    LinkType,
    OnEnd,
    Role,
    Scalar,
    ValueType,
    check_config_name,
    check_experiment,
)
from ioc.topology.names import channel_of, check_address, check_network
from ioc.topology.place import Place, check_database
from ioc.topology.secret import FORM, PLACE, file_of

_CONFIG_FILE = re.compile(r"(describe-|prepare-|configure-|hardwareDescription_)?(.*)\.(xcfg|xml)", re.IGNORECASE)


def _must(be: str, holds: Callable[[Any], object]) -> AfterValidator:
    """Refuse a value for which `holds` is false or raises `Refused`; the error is what it must be.

    The loader forms a sentence from the key, its value, "must be" and the message of the validator.
    """

    def check(value: object) -> object:
        try:
            good = holds(value)
        except Refused:
            good = False
        if not good:
            raise ValueError(be)
        return value

    return AfterValidator(check)


def _text(be: str, pattern: str) -> AfterValidator:
    return _must(be, re.compile(pattern).fullmatch)


def _line_of(length: int) -> AfterValidator:
    """What screens, alarm trees and headings of tables show."""
    return _must(f"one line of at most {length} printable characters", str.isprintable)


def _config_name(name: str) -> str:
    if file := _CONFIG_FILE.fullmatch(name):
        raise ValueError(f"{file[2]!r}, without the parts common to all file names")
    return name


def _expands(path: str) -> bool:
    try:
        Path(path).expanduser()
    except RuntimeError:
        return False
    return True


def _resolve(path: str, info: ValidationInfo) -> str:
    return str(info.context.absolute(path)) if isinstance(info.context, Place) else path


def _database(path: str, info: ValidationInfo) -> str:
    if isinstance(info.context, Place) and info.context.serves:
        check_database(Path(path))
    return path


def _place_of_secret(place: str, info: ValidationInfo) -> str:
    path = file_of(place)
    return f"file:{info.context.absolute(path)}" if path and isinstance(info.context, Place) else place


def _is_service(url: str) -> bool:
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return url.isascii() and port != 0 and re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", url) is not None


def _value(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise ValueError("a text or a number (quotes make a text of anything)")
    return value


USUAL_PORTS = {"ecc_servers": 8083, "data_routers": 46005}
"""Default port of a component."""
PORT_MANAGER = 30000
"""Usual port of the DAQ port manager of a host with FRIBDAQ."""

_a_file = _must("a file, not a directory (without '/' at the end)", lambda path: not path.endswith("/"))
_number = Field(strict=True)
must, number = _must, _number
"""For the files that are read in the same way (`run_plan`)."""

Component = Annotated[str, _text("1 to 30 of A-Z a-z 0-9 _ - (it becomes part of PV names)", r"[A-Za-z0-9_\-]{1,30}")]
Retrieval = Annotated[
    str,
    _text(
        "the retrieval address of an EPICS Archiver Appliance, http://HOST:PORT/retrieval",
        r"http://[^\s|*/]+/retrieval",
    ),
]
Prefix = Annotated[str, _text("1 to 20 of A-Z a-z 0-9 _ : - (every PV name begins with it)", r"[A-Za-z0-9_:\-]{1,20}")]
Experiment = Annotated[
    str,
    _must(
        "1 to 100 printable characters (200 bytes) without '/', without a space at either end, "
        "not beginning with '.' or '-' (it is also a directory)",
        check_experiment,
    ),
]
ConfigName = Annotated[
    str,
    AfterValidator(_config_name),
    _must(
        f"1 to {CONFIG_NAME_LENGTH} letters, digits and _ - . + @ with spaces only inside "
        "(any other name can kill the ECC server)",
        check_config_name,
    ),
]
SourceId = Annotated[
    str, _text("the id in the .xcfg file, such as CoBo[0] or Mutant[master]", r"[A-Za-z0-9_\-.\[\]]{1,60}")
]
Address = Annotated[str, AfterValidator(check_address)]
Network = Annotated[str, AfterValidator(check_network)]
Account = Annotated[
    str,
    _must(
        "the name of an account, without host and spaces",
        lambda name: name and name.isprintable() and not any(letter == "@" or letter.isspace() for letter in name),
    ),
]
Flag = Annotated[bool, _number]
Port = Annotated[int, _number, _must("1 to 65535", lambda port: 1 <= port <= 65535)]
Seconds = Annotated[float, _number, _must("more than 0 and at most 86400 seconds", lambda time: 0 < time <= 86400)]
SettleSeconds = Annotated[float, _number, _must("0 to 3600 seconds", lambda time: 0 <= time <= 3600)]
Amount = Annotated[float, _number, _must("a finite number, 0 or more", lambda amount: 0 <= amount < float("inf"))]
Limit = Annotated[float, _number, _must("a finite number", math.isfinite)]
Minutes = Annotated[float, _number, _must("more than 0 and at most 10080 minutes", lambda time: 0 < time <= 10080)]
Rate = Annotated[float, _number, _must("more than 0 and at most 1000 samples a second", lambda rate: 0 < rate <= 1000)]
LocalPath = Annotated[
    str,
    _must("a path whose ~ exists", _expands),
    _must("a path on this machine", lambda path: path and path.isprintable()),
    _a_file,
    AfterValidator(_resolve),
]
"""Path on this machine; made absolute, from the topology's folder, when a file is loaded."""
RemotePath = Annotated[
    str,
    _must(
        "a path on that host that begins with / or ~",
        lambda path: path.startswith(("/", "~")) and path.isprintable(),
    ),
]
"""Path on the host of the server or router; ``~`` is the home directory of the login user."""
RemoteFile = Annotated[RemotePath, _a_file]
Argument = Annotated[str, _must("a printable text", lambda text: text and text.isprintable())]
Command = Annotated[
    tuple[Argument, ...],
    Field(min_length=1),
    _must(
        "a list whose first item is a program: its name alone, or a path that begins with / or ~/",
        lambda command: command[0].startswith(("/", "~/")) or re.fullmatch(r"\w[\w.+\-]*", command[0]),
    ),
]
"""A program and its arguments; ``~/`` at the beginning of one is the home directory of the login user."""
Units = Literal["systemd", "launchd"]
"""The service manager that starts programs on a host and restarts them when they end."""
Value = Annotated[Scalar, PlainValidator(_value)]
"""A text or a number."""
Names = Annotated[tuple[str, ...], Field(min_length=1)]
Line = Annotated[str, _must("1 to 100 printable characters", lambda text: 0 < len(text) <= 100 and text.isprintable())]
Lines = Annotated[tuple[Line, ...], Field(min_length=1)]
Secret = Annotated[str, _must(FORM, PLACE.fullmatch), AfterValidator(_place_of_secret)]
"""The place of a secret."""
Service = Annotated[str, _must("an address http://HOST[:PORT]/… or https://…, without user and password", _is_service)]
Times = Annotated[
    str,
    _text("two times of day such as '22:00-07:00' (in quotes)", r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d"),
]
Count = Annotated[int, _number, _must("1 to 1000", lambda count: 1 <= count <= 1000)]
Bandwidth = Annotated[float, _number, _must("1 to 1000000 megabits per second", lambda rate: 1 <= rate <= 1_000_000)]
AbsolutePath = Annotated[
    str,
    _must("an absolute path (it begins with /)", lambda path: path.startswith("/") and path.isprintable()),
]
Login = Annotated[
    str,
    _text("HOST or USER@HOST, as ssh takes it, without port (that is in the host's ~/.ssh/config)", r"[\w.][\w.@\-]*"),
]
Remote = Annotated[
    str,
    _must(
        # Options in it, such as :s3,secret_access_key=…:attpc, would be seen in command lines, the database and cards.
        "a remote of rclone with a place in it, such as s3:attpc-raw, and no options, which rclone's configuration has",
        lambda remote: remote.isprintable() and re.fullmatch(r":?\w[^:/=]*:.*", remote),
    ),
]
Hours = Annotated[float, _number, _must("more than 0 and at most 168 hours", lambda hours: 0 < hours <= 168)]


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


Url = Annotated[
    str,
    _text("a URL without spaces and with ASCII letters only", r"[!-~]*"),
    _must("the URL of a web server, http://HOST:PORT/PATH or https://HOST/PATH", _is_url),
]
HookArgument = Annotated[str, _must("a text without the character NUL", lambda text: "\0" not in text)]


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused; immutable after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ssh(Section):
    """How a host is reached; a server's or router's own section overrides the general one key by key."""

    username: Account | None = None
    port: Port | None = None
    key: LocalPath | None = None
    known_hosts: LocalPath = Field(default="~/.ssh/known_hosts", validate_default=True)
    config: LocalPath | None = Field(default="~/.ssh/config", validate_default=True)
    unknown_hosts: Literal["refuse", "add"] = "refuse"


def _ssh_form(value: object) -> str:
    return "(mapping)" if isinstance(value, dict | Ssh) else "(word)"


# The value selects the form, so that a wrong key is reported once, not once for each form.
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
    port: Port = USUAL_PORTS["ecc_servers"]
    supports_resume: Flag = False
    config: Config | None = None
    config_root: RemotePath | None = None
    config_backup_root: RemotePath | None = None
    log_path: RemoteFile | None = None
    work_dir: RemotePath | None = None
    command: Command | None = None
    units: Units | None = None
    ssh: SshChoice | None = None


class DataRouter(Section):
    """One ``dataRouter`` process."""

    name: Component
    host: Address
    port: Port = USUAL_PORTS["data_routers"]
    type: LinkType = LinkType.TCP
    log_path: RemoteFile | None = None
    work_dir: RemotePath | None = None
    command: Command | None = None
    units: Units | None = None
    ssh: SshChoice | None = None


class DataSource(Section):
    """One CoBo or MuTAnT: its ECC server, and the routers of its data (the file writer first)."""

    id: SourceId
    ecc_server: str
    data_routers: Names


Roles = Annotated[tuple[Role, ...], Field(min_length=1)]


class Order(Section):
    """Order of the groups at each step; Breakup, Undo, Pause and Resume use that of `reset`."""

    describe: Roles = (Role.CoBo, Role.MuTAnT)
    prepare: Roles = (Role.MuTAnT, Role.CoBo)
    configure: Roles = (Role.CoBo, Role.MuTAnT)
    start: Roles = (Role.CoBo, Role.MuTAnT)
    stop: Roles = (Role.MuTAnT, Role.CoBo)
    reset: Roles = (Role.MuTAnT, Role.CoBo)


class Polling(Section):
    """Polling periods in seconds."""

    ecc: Seconds = 1.0
    ecc_busy: Seconds = 0.2
    routers: Seconds = 2.0


class Timeouts(Section):
    """Time-outs of peers in seconds."""

    state: Seconds = 5.0
    transition: Seconds = 180.0
    ssh: Seconds = 10.0
    filing: Seconds = 120.0


class Runs(Section):
    """Requirements and actions of a run."""

    reset_mutant_before_start: Flag = False
    settle_seconds: SettleSeconds = 2.0
    min_disk_free_gb: Amount = 5.0
    silent_seconds: Seconds = 10.0
    require: tuple[str, ...] = ()


class Observable(Section):
    """A quantity recorded with every run; manual if it has no `pv`."""

    name: Component
    label: Annotated[str, Field(max_length=40), _line_of(40)] = ""
    pv: Annotated[str, AfterValidator(channel_of)] | None = None
    units: Annotated[str, Field(max_length=8), _line_of(8)] = ""
    type: ValueType = ValueType.Float
    deadband: Amount = 0.0
    max_rate: Rate | None = None
    comment: Annotated[str, _must("printable text", lambda text: text.replace("\n", "").isprintable())] = ""


class Interlock(Section):
    """A condition of the runs: a value that must be inside its limits."""

    name: Component
    observable: str | None = None
    pv: Annotated[str, AfterValidator(channel_of)] | None = None
    low: Limit | None = None
    high: Limit | None = None
    allowed: Annotated[tuple[Value, ...], Field(min_length=1)] = ()
    action: Action
    when: Literal["always", "run"] = "always"
    for_seconds: SettleSeconds = 2.0
    clear_seconds: SettleSeconds = 10.0
    bypass_minutes: Minutes = 30.0


class Hook(Section):
    """A program to run, or a web server to notify, at a certain step of a run."""

    name: Component
    run: Annotated[tuple[HookArgument, ...], Field(min_length=1)] | None = None
    host: str = "local"
    post: Url | None = None
    timeout: Seconds = 10.0
    required: Flag = False


class Hooks(Section):
    """Hooks of a run: a list for each occasion."""

    before_start: tuple[Hook, ...] = ()
    after_start: tuple[Hook, ...] = ()
    before_stop: tuple[Hook, ...] = ()
    after_stop: tuple[Hook, ...] = ()
    after_filing: tuple[Hook, ...] = ()
    failed: tuple[Hook, ...] = ()

    def at(self, point: HookPoint) -> tuple[Hook, ...]:
        return getattr(self, point.value)


class Defaults(Section):
    """Default keys of all entries of a list. They are written into the entries before the file is validated."""

    ecc_servers: dict[str, object] = {}
    data_routers: dict[str, object] = {}


class Partner(Section):
    """Another data acquisition system that begins and ends with each run: FRIBDAQ, through its ReadoutGUI."""

    name: Component
    host: Address
    port: Port | None = None
    """None: the DAQ port manager of its host knows it."""
    port_manager: Port | None = None
    """None: the usual port, `PORT_MANAGER`."""
    user: Account | None = None
    """Who runs the ReadoutGUI; None: anybody, if there is only one."""
    order: Literal["before", "after"] = "before"
    on_end: OnEnd = OnEnd.Alarm
    timeout: Seconds = 30.0


class AccessRule(Section):
    """Write access: the first rule that matches PV, host and user decides."""

    pvs: str = "*"
    hosts: Annotated[tuple[Network, ...], Field(min_length=1)] = ()
    """Absent: any host. An empty list is refused as ambiguous."""
    users: Names = ("*",)
    write: Flag


class Logbook(Section):
    """An electronic logbook that gets an entry at the start and the end of each run."""

    name: Component
    kind: Literal["olog", "elog", "markdown"]
    url: Service | None = None
    file: LocalPath | None = None
    user: Line | None = None
    password: Secret | None = None
    level: Line = "Info"
    logbooks: Lines | None = None
    tags: Lines | None = None
    attributes: dict[Line, Line] | None = None


class Target(Section):
    """Where notifications go: the place of an Apprise URL."""

    name: Component
    url: Secret


class Rule(Section):
    """A condition to report, and how often."""

    when: Literal["run_failed", "observable_gone", "disk_below", "no_data", "interlock_tripped", "ioc_restarted"]
    for_seconds: SettleSeconds | None = None
    hours: Hours = 2.0
    repeat_minutes: Minutes = 60.0
    at_most: Count = 3
    always: Flag = False
    to: Names | None = None


class Notifications(Section):
    """Messages to people."""

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)] = (
        Rule(when="run_failed"),
        Rule(when="observable_gone"),
        Rule(when="disk_below"),
        Rule(when="no_data"),
        Rule(when="interlock_tripped"),
        Rule(when="ioc_restarted"),
    )
    quiet_hours: Times | None = None


class Destination(Section):
    """Where a copy of each filed file goes: a directory of the router's host, or by SSH or rclone from there."""

    name: Component
    directory: AbsolutePath | None = None
    ssh: Login | None = None
    rclone: Remote | None = None
    layout: Literal["routers", "merger"] = "routers"
    """The directories of a run: one for each router, or those that attpc_merger expects."""
    bandwidth_mbps: Bandwidth | None = None
    during_runs: Flag = False


class Topology(Section):
    """A whole installation."""

    prefix: Prefix = "ATTPC:"
    experiment: Experiment
    database: Annotated[LocalPath, AfterValidator(_database)] = Field(default="runs.db", validate_default=True)
    defaults: Defaults = Defaults()
    """Always empty here: its content is in the entries."""
    ecc_servers: Annotated[tuple[EccServer, ...], Field(min_length=1)]
    data_routers: Annotated[tuple[DataRouter, ...], Field(min_length=1)]
    data_sources: Annotated[tuple[DataSource, ...], Field(min_length=1)]
    order: Order = Order()
    ssh: SshChoice = Field(default_factory=dict, validate_default=True)
    units: Units | None = None
    """None: the ECC servers and routers are started in other ways."""
    polling: Polling = Polling()
    timeouts: Timeouts = Timeouts()
    runs: Runs = Runs()
    observables: tuple[Observable, ...] = ()
    record: Literal["always", "runs"] = "always"
    checksums: Literal["between runs", "always", "never"] = "between runs"
    """When the hosts compute the checksums of filed files."""
    interlocks: tuple[Interlock, ...] = ()
    hooks: Hooks = Hooks()
    partners: tuple[Partner, ...] = ()
    access: tuple[AccessRule, ...] | None = None
    """None: only clients on this machine may write."""
    pva: Flag = True
    archiver: Retrieval | None = None
    """Where Phoebus finds the history of the PVs; None: nowhere."""
    logbook: tuple[Logbook, ...] = ()
    notifications: Notifications | None = None
    archive: tuple[Destination, ...] = ()


def _sections(model: type[Section], key: str) -> dict[str, type[Section]]:
    """Return a section and all nested ones, each with its key."""
    found = {key: model}
    for name, field in model.model_fields.items():
        for part in _parts_of(field.annotation):
            if isinstance(part, type) and issubclass(part, Section):
                found |= _sections(part, name)
    return found


def _parts_of(annotation: object) -> Iterator[object]:
    yield annotation
    for argument in get_args(annotation):
        yield from _parts_of(argument)


SECTIONS = _sections(Topology, "")
"""Each section by the key that holds it."""
