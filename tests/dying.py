"""Programs of tests that kill themselves at a given step of their work: the side of the test, and that of the program.

The program reads jobs (JSON) from stdin, one a line, forks a child for each, and answers ``done``, ``killed`` or
``failed``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from tests.sshd import ROOT


class DyingProgram:
    """Drives such a program, the module `name`."""

    def __init__(self, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", name], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, **job: Any) -> str:
        """Return how a job ended: done, killed or failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)


class Steps:
    """Counts the steps of this process while it is armed, and kills it at the last one."""

    def __init__(self, last: int) -> None:
        self._left = last
        self._lock = threading.Lock()
        self.armed = True

    def __call__(self) -> None:
        with self._lock:
            self._left -= self.armed
            if self._left == 0 and self.armed:
                os.kill(os.getpid(), signal.SIGKILL)


def do_jobs(child: Callable[[dict[str, Any]], None]) -> None:
    """Do the jobs, each by `child` in a process of its own."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            os.dup2(2, 1)
            try:
                child(json.loads(line))
                status = 0
            except SystemExit as error:
                status = 1 if error.code else 0
            except BaseException:
                traceback.print_exc()
            finally:
                with contextlib.suppress(OSError):
                    sys.stdout.flush()
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        outcome = {0: "done", -signal.SIGKILL: "killed"}.get(os.waitstatus_to_exitcode(status), "failed")
        print(outcome, flush=True)
