"""Ports of simulated servers stay theirs while they are away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ioc.sim.ports import free_port

ASK = "from ioc.sim.ports import free_port; print(*(free_port() for _ in range(900)), flush=True); input()"


def test_processes_never_get_the_same_port() -> None:
    """While they live, three processes get 2700 different ports, none that a kernel gives by itself."""
    asking = [
        subprocess.Popen([sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ports: list[int] = []
    for process in asking:
        assert process.stdout is not None
        ports += map(int, process.stdout.readline().split())
    for process in asking:
        process.communicate("\n")
    assert len(set(ports)) == 2700
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    assert max(ports) < (int(limits.read_text().split()[0]) if limits.exists() else 49152)


def test_a_process_gets_as_many_as_it_wants() -> None:
    """Old claims end, so a long session does not run out; none of the last thousand comes twice."""
    ports = [free_port() for _ in range(21_000)]
    assert all(len(set(ports[n : n + 1000])) == 1000 for n in range(0, 21_000, 1000))
