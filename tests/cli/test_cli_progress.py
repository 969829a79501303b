"""Progress of long work, on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

CODE = """
from ioc.cli.progress import with_progress
print(sum(with_progress(range(1000), 1000, "reading")))
"""
COMMAND = [sys.executable, "-c", CODE]


def until_closed(terminal: int) -> str:
    """All that is written to a terminal until nobody has it open any more."""
    shown = b""
    while True:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # what Linux answers instead of an end of file
            some = b""
        if not some:
            return shown.decode()
        shown += some


def test_a_terminal_shows_how_far_the_work_is() -> None:
    """A bar goes to the terminal of standard error up to 100 %, and nothing of it to standard output."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            shown = until_closed(ours)
            assert process.stdout is not None
            assert process.stdout.read() == b"499500\n"
        assert process.returncode == 0
    finally:
        os.close(ours)
    assert [expected in shown for expected in ("reading", " 50%", "100%")] == [True] * 3


def test_a_file_gets_no_bar() -> None:
    """Where standard error is no terminal the work is done without a word."""
    ended = subprocess.run(COMMAND, capture_output=True, timeout=30, check=True)
    assert (ended.stdout, ended.stderr) == (b"499500\n", b"")
