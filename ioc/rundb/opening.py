"""Opening the file, however long another program has it locked or its disk is full."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from ioc.rundb.condition import Condition
from ioc.rundb.connection import PassingError, peer_error
from ioc.rundb.lock import FileLock
from ioc.rundb.session import Session


def open_session(
    session: Session, path: Path, condition: Condition, patience: float, wait: Callable[[str], bool]
) -> FileLock | None:
    """Open the file for this process alone; migrate it as needed.

    While something is in the way that may go away by itself, `wait` is called with the reason again and again, until it
    says that there is no more waiting: then None is returned.

    Raises:
        PeerError: it cannot be opened, and waiting does not help.
    """
    lock: FileLock | None = None
    try:
        while True:
            try:
                with condition.at_work():
                    lock = lock or FileLock(path)
                    session.open(patience)
            except PassingError as error:
                reason = error
            except sqlite3.Error as error:
                reason = peer_error(path, error)
                if not isinstance(reason, PassingError):
                    raise reason from error
            else:
                condition.opened()
                held, lock = lock, None
                return held
            condition.failed(str(reason))
            if not wait(str(reason)):
                return None
    finally:
        if lock is not None:
            session.close()
            lock.release()
