"""Clients that lose their network without a word."""

from __future__ import annotations

import time
from pathlib import Path

from tests.lab.lab import Lab, wait_for


def test_clients_that_vanish(tmp_path: Path) -> None:
    """One with updates under way and one that waits for some are no clients any more after about a minute."""
    with Lab(tmp_path, "North") as lab:
        heartbeat = lab.monitor("IOC:Heartbeat", host=lab.desk)
        title = lab.monitor("Run:Title", host=lab.desk)
        wait_for(lambda: heartbeat.read_text() and title.read_text(), 10, "the desk sees nothing")
        clients = lab.monitor("IOC:Clients")
        wait_for(lambda: last(clients) == "3", 10, "there are not three clients")
        pulled = time.monotonic()
        lab.network.pull(lab.desk)
        wait_for(lambda: last(clients) == "1", 90, "the clients did not go")
        assert 30 < time.monotonic() - pulled < 75


def last(printed: Path) -> str:
    return printed.read_text().split()[-1] if printed.stat().st_size else ""
