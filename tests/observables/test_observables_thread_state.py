"""libca's threads and the interpreter, with EPICS base's softIoc as the source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.epics import Epics

ROOT = Path(__file__).parents[2]
COUNTERS = [f"S:{number}" for number in range(1000)]
DB = "\n".join(f'record(calc, "{pv}") {{ field(CALC, "VAL+1") field(SCAN, ".1 second") }}' for pv in COUNTERS)


def test_the_state_of_a_busy_thread_is_kept(epics: Epics) -> None:
    """A thread of libca remembers nothing in its first 10,000 callbacks, and everything from then on."""
    with epics.soft_ioc(DB):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.observables.calling_back", "15000", *COUNTERS],
            cwd=ROOT,
            env=epics.environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.stderr == ""
    callbacks, without = map(int, ended.stdout.split())
    assert callbacks >= 15_000
    assert without == 10_000
