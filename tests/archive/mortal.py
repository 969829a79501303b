"""A program that makes safe copies, or purges, and is killed at a given step, for tests.

Two kinds of steps are counted. Those of the *process*: before each statement that changes the database, before each
commit, before each start of a program. There the process kills itself. Those of the *programs* on the host: before,
after and, if it copies, in the middle of each; there, the process and the program are killed at once, as by a loss of
power. They are counted by programs of the same names that come first in PATH.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

from ioc.cli.main import main as command
from ioc.hosts.transport import ENVIRONMENT
from ioc.rundb import SqliteRunStore
from ioc.topology.schema import Destination
from tests.archive.copies_rig import at_work
from tests.dying import Steps, do_jobs
from tests.hosts.rig import Hosts, site
from tests.rundb.rows import rows

CHANGES = ("BEGIN IMMEDIATE", "COMMIT", "INSERT", "UPDATE", "DELETE")
PROGRAMS = ("rclone", "rsync", "mkdir", "mv", "rm", "cmp", "sha256sum")
WRAPPER = """#!/bin/sh
step() {{
  until '{mkdir}' '{count}.lock' 2>/dev/null; do :; done  # two programs of a pipe may count at once
  echo >>'{count}'
  [ "$(($(wc -l <'{count}')))" != "$LAST_STEP" ] || {{ kill -KILL "$MORTAL"; kill -KILL 0; }}
  rmdir '{count}.lock'
}}
step
case " $* " in
  *" --bwlimit"*) '{real}' "$@" & sleep 0.1; step; wait "$!" ;;
  *) '{real}' "$@" ;;
esac
status=$?
step
exit "$status"
"""
LEFT = "SELECT count(*) FROM files LEFT JOIN file_copies ON file_id = id WHERE coalesce(state, '') <> 'verified'"


def listen(step: Steps) -> None:
    """Count what SQLite and Python tell of statements and programs."""
    connect = sqlite3.connect

    def statement(text: str) -> None:
        if text.startswith(CHANGES):
            step()

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(statement)
        return connection

    sqlite3.connect = traced
    sys.addaudithook(lambda event, _: step() if event == "subprocess.Popen" else None)


def count_programs(directory: Path, last: int) -> None:
    """Let the programs on this host count their steps."""
    directory.mkdir()
    mkdir = shutil.which("mkdir")
    os.environ |= {"MORTAL": str(os.getpid()), "LAST_STEP": str(last)}
    for name in PROGRAMS:
        if real := shutil.which(name):
            text = WRAPPER.format(count=directory / "count", real=real, mkdir=mkdir)
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
    for environment in (os.environ, ENVIRONMENT):
        environment["PATH"] = f"{directory}:{environment['PATH']}"
    ENVIRONMENT.update({name: os.environ[name] for name in ("MORTAL", "LAST_STEP")})


async def copy(database: Path, archive: list[Destination], steps: Steps) -> None:
    """Copy until all is verified."""
    hosts = Hosts(None)
    store = await SqliteRunStore.open(database)
    async with at_work(store, [hosts(site("data0"))], *archive) as working:
        steps.armed = True
        await working.until(lambda: rows(database, LEFT) == [(0,)], 120)
        steps.armed = False
    await hosts.close()
    await store.close()


def child(job: dict[str, Any]) -> None:
    """Do one job and end, with SIGKILL at its last step."""
    steps = Steps(job["step"] if job["kind"] == "process" else -1)
    steps.armed = False
    listen(steps)
    if job["kind"] == "programs":
        count_programs(Path(job["programs"]), job["step"])
    if "purge" in job:
        steps.armed = True
        command(job["purge"], standalone_mode=False)
    else:
        asyncio.run(copy(Path(job["database"]), [Destination(**each) for each in job["archive"]], steps))


if __name__ == "__main__":
    do_jobs(child)
