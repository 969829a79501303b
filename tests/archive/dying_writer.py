"""A program that writes the cards of a database and kills itself at a given step, for tests.

A step is the beginning or the end of a transaction of the database, or the beginning of a change or look on a host.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import paramiko

from ioc.hosts.sftp import SftpSession
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Ssh
from tests.archive.card_rig import Site
from tests.dying import Steps, do_jobs
from tests.rundb.rows import rows

LOCAL = {"open", "os.remove", "os.rename", "os.scandir"}
REMOTE = {
    SftpSession: ("entries", "open", "remove", "posix_rename", "sync"),
    paramiko.SFTPFile: ("write", "close"),
}


def stepped(function: Callable[..., Any], step: Callable[[], None]) -> Callable[..., Any]:
    """Count a step before each call."""

    def call(*arguments: Any, **options: Any) -> Any:
        step()
        return function(*arguments, **options)

    return call


class Store(SqliteRunStore):
    """Counts the beginning and end of transactions while it has a step."""

    step: Callable[[], None] | None = None

    async def transaction(self, function: Any, *, behind_rows: bool = False) -> Any:
        """See the store."""
        step = self.step or (lambda: None)
        step()
        result = await super().transaction(function, behind_rows=behind_rows)
        step()
        return result


async def write(job: dict[str, Any], step: Callable[[], None]) -> None:
    """Write all cards that are due."""
    site = Site(pathlib.Path(job["root"]), Ssh(**job["ssh"]) if job["ssh"] else None)
    store = await Store.open(site.root / "runs.db")
    other = [site.host(number) for number in range(job["hosts"])]
    store.step = step
    task = asyncio.create_task(site.cards(store, *other).run())
    deadline = time.monotonic() + 60
    while rows(site.root / "runs.db", "SELECT id FROM runs WHERE card_due"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    store.step = None
    for host in other:
        await host.close()
    await store.close()


def child(job: dict[str, Any]) -> None:
    """Do one job and end, with SIGKILL at its last step."""
    step = Steps(job["step"])
    if job["ssh"]:
        for owner, names in REMOTE.items():
            for name in names:
                setattr(owner, name, stepped(getattr(owner, name), step))
    else:
        root = os.fsencode(job["root"]) + b"/data"

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in LOCAL and isinstance(arguments[0], bytes) and arguments[0].startswith(root):
                step()

        sys.addaudithook(hook)
    asyncio.run(write(job, step))


if __name__ == "__main__":
    do_jobs(child)
