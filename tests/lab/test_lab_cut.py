"""Hosts that are cut off in a run and come back: nobody hears a RST, and nothing is lost."""

from __future__ import annotations

import re
import signal
import time

from tests.lab.lab import Lab, succeeded, wait_for

IN_TIME = 45.0
"""Longer than every time-out of the laboratory's topology together: a state, a transition, the files of a host."""


AWAY = 20.0
"""Seconds: time for many looks at a host and for several attempts to log in there."""


def is_complete(lab: Lab) -> None:
    """The run is over, and every file of all hosts is where the database says."""
    lab.until("Run:State", "Stopped")
    wait_for(lambda: lab.query("SELECT state FROM runs") == [("complete",)], 60, "the run is complete in the database")
    assert lab.filed() == lab.files()
    assert all("/e99/run_0000/" in path for path in lab.filed())


def test_an_ecc_server_that_was_cut_off_when_the_run_was_stopped(ready: Lab) -> None:
    """It runs on, which is an alarm when it is back; nothing is filed until a second Stop, after which all is."""
    lab, (_, south) = ready, ready.machines
    lab.run_with_data()
    lab.network.pull(south.host)
    lab.until("ECC:South:Online", "Offline")
    began = time.monotonic()
    assert not lab.put("Run:Stop")
    assert time.monotonic() - began < IN_TIME
    assert lab.get("Run:State") == "Filing"
    assert lab.get("ECC:North:State") == "Ready"
    assert south.state() == "Running"
    lab.network.plug(south.host)
    lab.until("ECC:South:State", "Running")
    lab.until("Router:rSouth:Online", "Online")
    for pv in ("Run:Message", "ECC:South:Message"):
        assert lab.severity(pv) == "MAJOR"
        assert "South is Running although run 0 was stopped: press Stop of the run" in lab.text(pv)
    assert not lab.put("Router:rSouth:Organize")
    assert not lab.put("Run:Start")
    assert south.state() == "Running"
    assert not any("/run_" in path for path in south.files())
    assert lab.put("Run:Stop"), lab.text("Run:Message")
    assert south.state() == "Ready"
    is_complete(lab)
    assert lab.severity("Run:Message") == "NO_ALARM"


def test_a_host_that_is_cut_off_while_it_is_filed(ready: Lab) -> None:
    """Its files are filed by themselves within 5 s of its return."""
    lab, (_, south) = ready, ready.machines
    lab.run_with_data()
    south.signal_sshd(signal.SIGSTOP)  # for filing not to be over before the cable is pulled
    stop = lab.put_later("Run:Stop")
    lab.until("Run:State", "Filing")
    lab.network.pull(south.host)
    south.signal_sshd(signal.SIGCONT)
    assert not succeeded(stop)
    assert lab.get("Run:State") == "Filing"
    assert "router rSouth is not filed" in lab.text("Run:Message")
    assert lab.severity("Run:Message") == "MAJOR"
    lab.network.plug(south.host)
    lab.until("Run:State", "Stopped", 8)
    is_complete(lab)


def test_a_host_that_is_away_for_a_while(ready: Lab) -> None:
    """One error of each of its peers when it goes, one line when it returns, whatever is tried meanwhile."""
    lab, (_, south) = ready, ready.machines
    lab.run_with_data()
    before = len(lab.log.read_text())
    lab.network.pull(south.host)
    lab.until("ECC:South:Online", "Offline")
    lab.until("Router:rSouth:Online", "Offline")
    gone = time.monotonic()
    wait_for(lambda: time.monotonic() - gone > AWAY, 2 * AWAY, "")
    lab.network.plug(south.host)
    lab.until("ECC:South:Online", "Online")
    lab.until("Router:rSouth:Online", "Online")
    assert lab.put("Run:Stop"), lab.text("Run:Message")
    is_complete(lab)
    log = lab.log.read_text()[before:]
    for source in ("ECC:South: ", "Router:rSouth: ", "Run: run 0: ECC server South ", "Run: run 0: router rSouth "):
        assert log.count(f" ERROR ioc.run: {source}") == 1, log
        assert len(re.findall(rf" INFO ioc\.run: {source}.*Online", log)) == 1, log
    assert lab.get("Log:Errors") == "4", lab.text("Log:Lines")
    message = lab.query("SELECT message FROM runs")[0][0]
    assert len(message.splitlines()) == 2, message
    assert "next attempt" not in message


def test_stop_and_start_with_a_host_that_is_cut(ready: Lab) -> None:
    """Nothing hangs: the others stop and are filed, a start names what is missing."""
    lab, (north, south) = ready, ready.machines
    lab.run_with_data()
    lab.network.pull(south.host)
    began = time.monotonic()
    assert not lab.put("Run:Stop")
    assert time.monotonic() - began < IN_TIME
    assert north.state() == "Ready"
    assert set(lab.filed()) == set(north.files())
    began = time.monotonic()
    assert not lab.put("Run:Start")
    assert time.monotonic() - began < 2
    assert "South" in lab.text("Run:Message")
    lab.network.plug(south.host)
    lab.until("ECC:South:State", "Running")
    assert lab.put("Run:Stop"), lab.text("Run:Message")
    is_complete(lab)
