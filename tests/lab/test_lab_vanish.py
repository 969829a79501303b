"""A client that loses its network without a word."""

from __future__ import annotations

import time
from pathlib import Path

from tests.lab.lab import Lab, wait_for


def test_a_client_that_vanishes(tmp_path: Path) -> None:
    """With updates under way to it, it leaves the count of clients after one to two minutes, not after 16.

    Linux checks its limit of 60 s only when it sends again, and the pauses between two tries double.
    """
    with Lab(tmp_path, "North") as lab:
        heartbeat = lab.monitor("IOC:Heartbeat", host=lab.desk)
        wait_for(heartbeat.read_text, 60, "the desk sees nothing")
        clients = lab.monitor("IOC:Clients")
        wait_for(lambda: last(clients) == "2", 60, "there are not two clients")
        pulled = time.monotonic()
        lab.network.pull(lab.desk)
        wait_for(lambda: last(clients) == "1", 180, "the client did not go")
        assert time.monotonic() - pulled > 30


def last(printed: Path) -> str:
    return printed.read_text().split()[-1] if printed.stat().st_size else ""
