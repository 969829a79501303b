"""A program that gathers and kills itself at a given step, for tests: reads jobs (JSON) from stdin, one a line.

For each job it forks a child that runs ``attpc-ioc`` with its arguments; the answer is ``killed`` or the exit code. A
step is a change to the file system.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import ioc.cli.gather
import ioc.topology.load  # noqa: F401 - the children have it, too
from ioc.cli.main import main as program

CHANGES = {"os.link", "os.remove", "os.rename", "os.mkdir", "os.utime"}


def child(job: dict[str, Any]) -> None:
    """Run the command, and end with SIGKILL before the step of the job."""
    left = job["step"]

    def step(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in CHANGES or (event == "open" and b".partial" in os.fsencode(str(arguments[0]))):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(step)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    program(job["arguments"])


def main() -> None:
    """Do the jobs."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                child(json.loads(line))
            except SystemExit as end:
                status = int(end.code or 0)
            finally:
                os._exit(status)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print("killed" if code == -signal.SIGKILL else code, flush=True)


if __name__ == "__main__":
    main()
