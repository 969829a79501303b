"""One IOC per database file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from ioc.errors import PeerError
from ioc.rundb.connection import PassingError


class FileLock:
    """An advisory lock on a file beside the database; the system frees it when the process ends for any reason."""

    def __init__(self, database: Path) -> None:
        """Take the lock.

        Raises:
            PeerError: another process has it (the text has its id), or the file cannot be created.
            PassingError: the disk is full.
        """
        path = _lock_file(database)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise PassingError(f"the run database {database} cannot be opened because its disk is full") from error
            raise PeerError(f"the lock file {path} of the run database must be writable: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise PeerError(
                f"the run database {database} is in use by another IOC (process {owner}): "
                "stop that one first, or name another file as `database` in the topology"
            ) from None
        with contextlib.suppress(OSError):  # the disk may have no block for the number; the lock works without it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the database for other processes; the file stays (otherwise two processes could get the lock)."""
        os.close(self._descriptor)


def owner_of(database: Path) -> int | None:
    """Return the process id of the IOC that has this database, as it sees itself; None if none runs.

    The lock is tried for some microseconds: an IOC that starts just then is refused, and starts again.
    """
    try:
        descriptor = os.open(_lock_file(database), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(descriptor, 32).strip()
        return int(owner) if owner.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def _lock_file(database: Path) -> Path:
    return Path(f"{database.resolve()}.lock")
