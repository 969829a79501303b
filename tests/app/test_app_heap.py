"""The threads of an IOC share few heaps of the C library, and large blocks go back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS = """
import ctypes, threading
from ioc.app.heap import bound_heap
if {few}:
    bound_heap()
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
        [sys.executable, "-c", THREADS.format(few=few)], capture_output=True, text=True, check=False, timeout=120
    )
    return done.stderr.count("Arena ")


def test_threads_share_two_heaps() -> None:
    """Eight threads at once allocate from two heaps; without the setting they have more."""
    if heaps(few=False) <= 2:
        pytest.skip("this C library has no heap per thread")
    assert heaps(few=True) == 2


ANSWERS = """
import psutil
from ioc.app.heap import bound_heap
if {fixed}:
    bound_heap()
def answer():
    body = bytearray()
    while len(body) < 16 * 2**20:
        body += bytes(65536)
        kept.append(bytes(3000))
kept, begin = [], psutil.Process().memory_info().rss
for _ in range(3):
    answer()
print((psutil.Process().memory_info().rss - begin) // 2**20)
"""


def left_behind(*, fixed: bool) -> int:
    """How many MB a process is larger after three answers of 16 MB."""
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS.format(fixed=fixed)], capture_output=True, text=True, check=True, timeout=120
    )
    return int(done.stdout)


def test_a_large_answer_leaves_nothing_behind() -> None:
    """What a large answer needed goes back to the system; without the setting it does not."""
    if left_behind(fixed=False) < 8:
        pytest.skip("this C library gives large blocks back by itself")
    assert left_behind(fixed=True) < 8
