"""Data routers, their files and the copies of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


@dataclass(frozen=True)
class RouterFacts:
    """Facts about a router from one look at its host."""

    online: bool
    """A dataRouter process of this router runs."""
    work_dir: str
    """Absolute path; empty if not known (no process, and none in the topology)."""
    file_count: int
    """.graw files in the working directory itself (not below)."""
    staged_bytes: int
    disk_free: int
    """Free bytes for the user on the file system of `work_dir`; 0 if not known."""
    disk_total: int
    run_dir_exists: bool
    """Whether `run_directory` exists in `work_dir`."""
    read_at: float
    """When the look ended, POSIX seconds."""
    problem: str = ""
    """Why some facts are not known, in a sentence; empty if all are known."""
    asked_at: float = 0.0
    """When the look began, on the monotonic clock; the facts include everything that happened before."""
    answered_at: float = 0.0
    """When it ended, on the monotonic clock, which nobody sets."""
    process: str = ""
    """Identifies the process on its host, also against a later one of the same router; empty if not known."""
    run_directory: str = ""
    """What `run_dir_exists` is about: ``EXPERIMENT/run_NNNN``."""
    unread: int = 0
    """Bytes of data that have arrived for the process, but that it has not read."""
    deaf: bool = False
    """It neither listens on its data port nor has a connection there; also for a moment between two connections."""

    @property
    def clean(self) -> bool:
        """It is known that no .graw file is staged."""
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
    source: str = ""
    """Id of the data source that sent it, ``CoBo[0]``; empty if not known."""


class Found(Enum):
    """What lies at the path of a file whose checksum is wanted."""

    Whole = "has a checksum"
    Missing = "is missing"
    OtherKind = "is no longer a regular file"
    OtherSize = "has another size"
    Unreadable = "cannot be read"
    Changing = "changed while it was being read"


@dataclass(frozen=True)
class Checksum:
    """What was found of one file; see `ioc.hosts.MachineHost.checksums`."""

    path: str
    """As in `FiledFile`."""
    found: Found
    size: int = 0
    """Bytes; 0 unless there is a file that can be read."""
    text: str = ""
    """``xxh128:…`` or ``sha256:…`` and the digits; empty unless it is Whole."""


class ChecksumState(IntEnum):
    """State of the checksums of a router's files."""

    Off = 0
    Idle = 1
    Busy = 2
    Paused = 3
    """A run is open."""
    Failed = 4
    """They cannot be computed now; tried again."""


@dataclass(frozen=True)
class ChecksumStatus:
    """The status of the checksums of one router's files."""

    state: ChecksumState = ChecksumState.Off
    message: str = ""
    backlog: int = 0
    """Bytes of its files that have none yet."""


@dataclass(frozen=True)
class FilingReport:
    """Result of filing one router's files."""

    files: tuple[FiledFile, ...]
    """All of the run, also those that an earlier attempt filed."""
    problem: str = ""
    """Why files were left behind or renamed, in a sentence; empty if all went as it should."""
    complete: bool = True
    """Nothing is left in the staging directory."""
    earlier: int = 0
    """Number of `files` that were in place when this attempt began."""


@dataclass(frozen=True)
class ConfigBackup:
    """Result of copying the .xcfg files in use beside the run."""

    digests: tuple[tuple[str, str], ...]
    """(file name, SHA-256 in hex) of each file copied."""
    missing: tuple[str, ...] = ()
    """Names of files that some release of the ECC server may read, but that do not exist."""
