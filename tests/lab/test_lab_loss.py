"""A network that loses packets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.network import why_no_loss


@pytest.mark.skipif(bool(why_no_loss()), reason=why_no_loss())
def test_a_run_with_five_percent_of_the_packets_lost(tmp_path: Path) -> None:
    """With the time-outs that an installation has, a whole run by a client on the network goes as on any other."""
    with Lab(tmp_path, timeouts={}, polling={}) as lab:
        hosts = [lab.host, lab.desk, *(machine.host for machine in lab.machines)]
        for host in hosts:
            host.lose(5)
        for step in ("Describe", "Prepare", "Configure"):
            assert lab.put(step, host=lab.desk), lab.text("Message")
        lab.until("Run:CanStart", "Yes")
        assert lab.put("Run:Start", host=lab.desk), lab.text("Run:Message")
        for machine in lab.machines:
            lab.until(f"Router:{machine.router}:FileCount", lambda count: int(count or 0) >= 1)
        assert lab.put("Run:Stop", host=lab.desk), lab.text("Run:Message")
        assert lab.get_from_desk("Run:State", "-w", "10") == "Stopped"
        assert lab.filed() == lab.files()
        assert lab.severity("Run:Message") == "NO_ALARM"
        deadline = time.monotonic() + 60  # a host that has sent few packets may not have lost one yet
        while not all(host.lost() for host in hosts):
            assert time.monotonic() < deadline, "a host loses no packets"
            lab.get_from_desk("Run:State", "-w", "10")
        assert lab.get("Log:Errors") == "0", lab.text("Log:Lines")
