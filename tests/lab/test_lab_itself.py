"""Nothing of the hosts is left when the tests die."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.lab.lab import wait_for
from tests.sshd import ROOT

TESTS = """
import sys
from tests.lab.network import Network
with Network() as network:
    host = network.host("North", "10.77.0.11")
    sleeping = host.start("sleep", "1000")
    network.pull(host)
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_hosts_end_when_the_tests_are_killed() -> None:
    """After kill -9 no process is left, and so no namespace and no cable: nothing else holds them."""
    tests = subprocess.Popen(
        [sys.executable, "-c", TESTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with tests:
        assert tests.stdout is not None
        assert tests.stdout.readline() == "ready\n"
        below = psutil.Process(tests.pid).children(recursive=True)
        assert {"sleep", "cat", "unshare", "nsenter"} <= {process.name() for process in below}
        tests.kill()
        wait_for(lambda: not any(map(_lives, below)), 60, "hosts are left")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
