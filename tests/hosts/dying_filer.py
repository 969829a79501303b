"""A program that files a run and kills itself at a given step, for tests.

A step is a change to the file system that this program asks for, or the beginning or the end of a record.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from ioc.hosts.host import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.model import FiledFile, RunId
from ioc.topology.schema import DataRouter, Ssh
from tests.dying import Steps, do_jobs

CHANGES = {"os.link", "os.remove", "os.rename", "os.mkdir", "subprocess.Popen"}


class Dying:
    """An SSH transport each change of which is a step before and one after it."""

    def __init__(self, transport: SshTransport, step: Callable[[], None]) -> None:
        self._transport = transport
        self._step = step

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transport, name)
        if name not in {"make_directory", "move", "remove", "write"}:
            return method

        def stepped(*arguments: Any) -> Any:
            self._step()
            result = method(*arguments)
            self._step()
            return result

        return stepped


async def file(job: dict[str, Any], step: Callable[[], None]) -> None:
    """File the run of `job`."""

    async def record(filed: FiledFile) -> None:
        step()
        with pathlib.Path(job["records"]).open("a", encoding="utf-8") as records:
            records.write(json.dumps([filed.path, filed.size]) + "\n")
        step()

    transport: Any = LocalTransport()
    if job["ssh"]:
        transport = Dying(SshTransport("127.0.0.1", Ssh(**job["ssh"]), 10.0), step)
    site = DataRouter(name="data0", host="localhost", port=9, work_dir=job["staging"])
    host = MachineHost("here", transport, [site], [], ssh_timeout=10.0, filing_timeout=20.0, settle_seconds=0.0)
    report = await host.file_run("data0", RunId("e18008", 12), record)
    await host.close()
    assert report.complete, report.problem


def child(job: dict[str, Any]) -> None:
    """Do one job and end, with SIGKILL at its last step."""
    step = Steps(job["step"])
    if not job["ssh"]:
        sys.addaudithook(lambda event, _: step() if event in CHANGES else None)
    asyncio.run(file(job, step))


if __name__ == "__main__":
    do_jobs(child)
