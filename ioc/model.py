"""The words of the domain: enums and frozen records that all layers share.

Times are POSIX seconds (float, UTC) everywhere inside the program; only the database and the PVs turn them into
text. Sizes are bytes. The numbers of `EccState` and `Transition` are those of the ECC server's wire protocol
(GET software, ``GetState``); `RunState`, `RunClass` and `SystemState` are numbered as the PV interface lists them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from ioc.errors import Refused


class EccState(IntEnum):
    """State of one ECC server, numbered as on the wire; Unknown is ours: it cannot be read."""

    Off = 0
    Idle = 1
    Described = 2
    Prepared = 3
    Ready = 4
    Running = 5
    Paused = 6
    Unknown = 7


class SystemState(IntEnum):
    """The state that all ECC servers share."""

    Off = 0
    Idle = 1
    Described = 2
    Prepared = 3
    Ready = 4
    Running = 5
    Paused = 6
    Mixed = 7
    Unknown = 8


class Transition(IntEnum):
    """What an ECC server is doing now, numbered as on the wire."""

    NoTransition = 0
    Describing = 1
    Preparing = 2
    Configuring = 3
    Starting = 4
    Stopping = 5
    Pausing = 6
    Resuming = 7
    BreakingUp = 8
    Undoing = 9

    @property
    def label(self) -> str:
        """The name shown to users (``None`` cannot be the name of a Python enum member)."""
        return "None" if self is Transition.NoTransition else self.name


class Operation(StrEnum):
    """The SOAP operations that change the state of an ECC server."""

    Describe = "Describe"
    Prepare = "Prepare"
    Configure = "Configure"
    Start = "Start"
    Stop = "Stop"
    Pause = "Pause"
    Resume = "Resume"
    Breakup = "Breakup"
    Undo = "Undo"


class Role(StrEnum):
    """What an ECC server drives; decides its place in the order of a step."""

    CoBo = "cobo"
    MuTAnT = "mutant"


class LinkType(StrEnum):
    """Protocol between a data source and a data router, as the ECC server spells it."""

    TCP = "TCP"
    FDT = "FDT"
    ICE = "ICE"
    ZBUF = "ZBUF"


class Severity(IntEnum):
    """EPICS alarm severity."""

    NO_ALARM = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


class RunState(IntEnum):
    """Where the present run is in its life."""

    Stopped = 0
    Starting = 1
    Running = 2
    Paused = 3
    Stopping = 4
    Filing = 5
    Failed = 6


class RunClass(IntEnum):
    """What a run was taken for, chosen by the shift."""

    Testing = 0
    Production = 1
    Beam = 2
    Pulser = 3
    Junk = 4


class DocumentState(StrEnum):
    """State of a run in the database (column ``runs.state``)."""

    Starting = "starting"
    Running = "running"
    Stopping = "stopping"
    Filing = "filing"
    Complete = "complete"
    Failed = "failed"
    Orphaned = "orphaned"


class ValueType(StrEnum):
    """Type of an observable."""

    Float = "float"
    Integer = "integer"
    String = "string"
    Enum = "enum"


Scalar = float | int | str

_CONFIG_NAME = re.compile(r"[A-Za-z0-9_\-.+@](?:[A-Za-z0-9_\-.+@ ]*[A-Za-z0-9_\-.+@])?")
CONFIG_NAME_LENGTH = 120
EXPERIMENT_LENGTH = 100


def check_config_name(name: str) -> str:
    """Return `name` if it is safe inside a configID; a malformed one can kill the ECC server process.

    Allowed: letters, digits, ``_ - . + @`` and spaces inside, 1 to 120 characters (measured on the real server).

    Raises:
        Refused: saying what is wrong with the name.
    """
    if len(name) > CONFIG_NAME_LENGTH:
        raise Refused(
            f"configuration name {name[:20]!r}… has {len(name)} characters, but may have {CONFIG_NAME_LENGTH}"
        )
    if not _CONFIG_NAME.fullmatch(name):
        raise Refused(
            f"configuration name {name!r} must have only letters, digits and _ - . + @ (spaces inside), at least one"
        )
    return name


def check_experiment(name: str) -> str:
    """Return `name` if it can be the name of an experiment, which is also a directory on every router host.

    Raises:
        Refused: saying what is wrong with the name.
    """
    if not 1 <= len(name) <= EXPERIMENT_LENGTH or len(name.encode()) > 200:
        raise Refused(
            f"experiment name has {len(name)} characters, but must have 1 to {EXPERIMENT_LENGTH} (200 bytes of UTF-8)"
        )
    if name != name.strip() or name.startswith((".", "-")) or "/" in name or not name.isprintable():
        raise Refused(
            f"experiment name {name!r} is also a directory: it must be printable, without '/', "
            "not start with '.' or '-', and have no space at either end"
        )
    return name


@dataclass(frozen=True)
class ConfigChoice:
    """The three configuration files an ECC server is to use, by name (``describe-NAME.xcfg`` and so on)."""

    describe: str
    prepare: str
    configure: str

    def __str__(self) -> str:
        return f"{self.describe}/{self.prepare}/{self.configure}"

    @classmethod
    def parse(cls, text: str) -> ConfigChoice:
        """Read ``describe/prepare/configure``.

        Raises:
            Refused: if there are not three names or one is not allowed.
        """
        parts = [part.strip() for part in text.split("/")]
        if len(parts) != 3:
            raise Refused(
                f"configuration {text[:80]!r} must be three names, describe/prepare/configure, but has {len(parts)}"
            )
        return cls(*(check_config_name(part) for part in parts))


@dataclass(frozen=True)
class DataLink:
    """One connection from a data source to a data router, as Configure tells it to the ECC server."""

    source: str
    """Id in the hardware description: ``CoBo[0]``, ``Mutant[master]``."""
    router: str
    address: str
    port: int
    link_type: LinkType


@dataclass(frozen=True)
class EccReading:
    """One answer to GetState."""

    state: EccState
    transition: Transition
    read_at: float
    """When the answer arrived."""


@dataclass(frozen=True)
class TransitionReply:
    """What an ECC server told with the reply to a transition that it says went well."""

    sources: tuple[str, ...] = ()
    """After Describe: ids of the data sources that the hardware description knows."""
    config_digest: str = ""
    """After Configure: SHA-256 (hex) of the configuration text that the electronics were given."""


@dataclass(frozen=True)
class RunId:
    """A run: numbers count from 0 within an experiment."""

    experiment: str
    number: int

    @property
    def directory(self) -> str:
        """Where its files go, relative to a router's working directory: ``EXPERIMENT/run_NNNN``."""
        return f"{self.experiment}/run_{self.number:04d}"

    def __str__(self) -> str:
        return f"run {self.number}"


@dataclass(frozen=True)
class RouterFacts:
    """What one look at a router's host said about the router."""

    online: bool
    """A dataRouter process of this router runs."""
    work_dir: str
    """Absolute path; empty if not known (no process, and none in the topology)."""
    file_count: int
    """.graw files in the working directory itself (not below)."""
    staged_bytes: int
    disk_free: int
    """Bytes available to the user on the file system of `work_dir`; 0 if not known."""
    disk_total: int
    run_dir_exists: bool
    """Whether the directory that was asked about exists in `work_dir`."""
    read_at: float
    problem: str = ""
    """Why a part of the facts is not known, in a sentence; empty if all are."""

    @property
    def clean(self) -> bool:
        """No .graw file is staged, and we know it."""
        return self.work_dir != "" and self.file_count == 0


@dataclass(frozen=True)
class FiledFile:
    """One .graw file at its final place."""

    router: str
    host: str
    path: str
    """Absolute path on `host`. Bytes that are not UTF-8 are escaped as ``\\xNN``."""
    size: int
    moved_at: float
    renamed_from: str = ""
    """Its name in the staging directory if that was taken already at the destination; else empty."""


@dataclass(frozen=True)
class FilingReport:
    """How the filing of one router's files ended."""

    files: tuple[FiledFile, ...]
    problem: str = ""
    """Why files were left behind or renamed, in a sentence; empty if all went as it should."""
    complete: bool = True
    """Nothing is left in the staging directory."""


@dataclass(frozen=True)
class ConfigBackup:
    """Result of copying the .xcfg files in use beside the run."""

    directory: str
    digests: tuple[tuple[str, str], ...]
    """(file name, SHA-256 in hex) of each file copied."""

    @property
    def summary(self) -> str:
        """One text for the column ``run_configs.config_digest``: ``name=sha256 …``."""
        return " ".join(f"{name}={digest}" for name, digest in self.digests)


@dataclass(frozen=True)
class RunRecord:
    """A run as the database keeps it (table ``runs``)."""

    run: RunId
    state: DocumentState
    run_class: RunClass
    title: str
    reserved_at: float
    """When the number was taken; a run that never got to Running has only this time."""
    started_at: float | None = None
    """When the last server became Running."""
    stopped_at: float | None = None
    config_name: str = ""
    """The configurations in use, as in the PV ``Run:Configs``."""
    message: str = ""


@dataclass(frozen=True)
class RunConfig:
    """What one ECC server was given for a run (table ``run_configs``)."""

    ecc_server: str
    config: ConfigChoice
    config_digest: str = ""


@dataclass(frozen=True)
class Client:
    """Who asked: the name is the client's own word, the host is the address of its connection."""

    user: str = ""
    host: str = ""


@dataclass(frozen=True)
class Event:
    """One line of the log (table ``events``)."""

    occurred_at: float
    severity: Severity
    source: str
    """Where it came from: ``ECC:CoBo0``, ``Router:data3``, ``Run``, ``IOC``…"""
    message: str
    run: RunId | None = None
    client: Client = Client()


@dataclass(frozen=True)
class PutRecord:
    """One put to a writable PV, granted or refused (table ``puts``)."""

    occurred_at: float
    pv: str
    old_value: str
    new_value: str
    client: Client
    result: str
    """``ok``, ``refused``, ``failed`` or ``denied``."""
    message: str = ""
    """The reason, if it was not granted."""


@dataclass(frozen=True)
class Reading:
    """One update of an observable: a sample, or the news that its source went away."""

    observable: str
    value: Scalar | None
    """None while disconnected. May be a float that is not finite."""
    severity: Severity
    status: str
    """EPICS alarm status by name, ``NO_ALARM``, ``HIHI``…; ``disconnected`` for a gap."""
    sampled_at: float
    """Time stamp of the source."""
    label: str = ""
    """The enum string that belongs to `value`, for an enum."""

    @property
    def connected(self) -> bool:
        return self.value is not None
