"""``attpc-ioc check --live`` beside the IOC, with a host that is cut off: nobody answers, not even with a refusal."""

from __future__ import annotations

import time

from tests.e2e.plant import COMMAND
from tests.lab.lab import Lab
from tests.lab.network import environment

SECONDS = 10.0


def test_a_host_that_is_cut_off_is_named_in_time(ready: Lab) -> None:
    """All of it fails and nothing of the other host; the run goes on."""
    lab, (_, south) = ready, ready.machines
    lab.run_with_data()
    lab.network.pull(south.host)
    began = time.monotonic()
    done = lab.host.run(COMMAND, "check", "--live", "--topology", lab.directory / "lab.yaml", env=environment())
    assert time.monotonic() - began < SECONDS, done.stdout
    errors = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error:")]
    address = south.host.address
    assert sorted(line.split(":")[:2] for line in errors) == [[address, " ECC server South"], [address, " SSH"]]
    assert done.returncode == 1
    assert "in use by the running attpc-ioc" in done.stdout
    lab.network.plug(south.host)
    lab.until("ECC:South:State", "Running")
    assert lab.get("Run:State") == "Running"
    done = lab.host.run(COMMAND, "check", "--live", "--topology", lab.directory / "lab.yaml", env=environment())
    assert [line for line in done.stderr.splitlines() if line.startswith("error:")] == [], done.stdout
    assert done.returncode == 0
    assert lab.put("Run:Stop"), lab.text("Run:Message")
