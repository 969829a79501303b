"""Values of the run database as people read them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ZONES = {
    "UTC": 0,
    "America/Detroit": 100,
    "Europe/Berlin": 100,
    "Asia/Kathmandu": 1,
    "Australia/Lord_Howe": 100,
    "Africa/Casablanca": 80,
    "Africa/Monrovia": 1,
    "Pacific/Apia": 10,
}
"""With the least number of changes of the offset until 2038: by half an hour, by a day, by seconds, four a year."""


@pytest.mark.parametrize("zone", ZONES)
def test_local_times_have_the_offset_of_their_moment(zone: str) -> None:
    """Local times are Python's own, also beside each change of the offset, and whatever form the text has.

    A text without offset is UTC.
    """
    command = [sys.executable, "-m", "tests.rundb.local_times"]
    environment = {**os.environ, "TZ": zone}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    changes, *different = done.stdout.splitlines()
    assert int(changes) >= ZONES[zone]
    assert different == []
