"""The threads of an IOC share few heaps of the C library."""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS = """
import ctypes, threading
from ioc.app.heap import few_heaps
if {few}:
    few_heaps()
gate = threading.Barrier(9)
def work():
    kept = [bytes(2000) for _ in range(100)]
    gate.wait()
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
gate.wait()
ctypes.CDLL(None).malloc_stats()
gate.wait()
"""


def heaps(*, few: bool) -> int:
    """How many heaps a process with eight threads has."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS.format(few=few)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stderr.count("Arena ")


def test_threads_share_two_heaps() -> None:
    """Eight threads at once allocate from two heaps; without the setting they have more."""
    if heaps(few=False) <= 2:
        pytest.skip("this C library has no heap per thread")
    assert heaps(few=True) == 2
