"""Progress of long work, on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from ioc.model import RunClass, Severity, Statistics
from ioc.rundb import Measurement, SqliteRunStore
from tests.rundb.rows import PRESSURE, reading

COMMAND = Path(sys.executable).parent / "attpc-ioc"
SHOW_CURSOR = "\x1b[?25h"
FAILING = """
from ioc.cli.output import progress
try:
    with progress(range(1000), 1000, "reading") as items:
        for item in items:
            if item == 500:
                raise ValueError
except ValueError:
    import sys
    print("error: it failed", file=sys.stderr)
"""


def on_a_terminal(*command: str | Path) -> tuple[str, bytes]:
    """Run a command to its end; returns what the terminal of its standard error shows, and its standard output."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            shown = _until_closed(ours)
            assert process.stdout is not None
            output = process.stdout.read()
        assert process.returncode == 0, shown
    finally:
        os.close(ours)
    return shown, output


def _until_closed(terminal: int) -> str:
    shown = b""
    while True:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # what Linux answers instead of an end of file
            some = b""
        if not some:
            return shown.decode()
        shown += some


async def long_run(database: Path) -> None:
    """Run 0 with 1000 samples."""
    store = await SqliteRunStore.open(database)
    await store.define_observables("e1", [PRESSURE])
    record = await store.reserve_run("e1", "", RunClass.Testing, "")
    samples = [reading(float(number), record.reserved_at + number) for number in range(1000)]
    store.add_samples("e1", record.run, samples)
    figures = Measurement("pressure", 0.0, 999.0, Statistics(0.0, 999.0, 500.0, 1000, Severity.NO_ALARM, 0.0))
    await store.save_measurements(record.run, [figures])
    await store.close()


async def test_a_terminal_shows_how_far_the_work_is(tmp_path: Path) -> None:
    """Samples that go to a file let a bar grow on the terminal; those that go to standard output come alone."""
    await long_run(tmp_path / "runs.db")
    samples = [COMMAND, "runs", "samples", "0", "--database", tmp_path / "runs.db"]
    shown, output = on_a_terminal(*samples, "--output", tmp_path / "samples.csv")
    assert [expected in shown for expected in ("writing", " 50%", "100%", SHOW_CURSOR)] == [True] * 4
    assert output == b""
    shown, output = on_a_terminal(*samples)
    assert (shown, len(output.splitlines())) == ("", 1001)


async def test_where_nobody_watches_there_is_no_bar(tmp_path: Path) -> None:
    """Where standard error is no terminal the work is done without a word."""
    await long_run(tmp_path / "runs.db")
    samples = [COMMAND, "runs", "samples", "0", "--database", tmp_path / "runs.db", "--output", tmp_path / "out.csv"]
    ended = subprocess.run(samples, capture_output=True, timeout=120, check=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")


def test_an_error_has_a_line_of_its_own() -> None:
    """When the work fails the bar ends before the error is said, and the cursor is there again."""
    shown, _ = on_a_terminal(sys.executable, "-c", FAILING)
    bar, _, error = shown.partition(SHOW_CURSOR)
    assert "reading" in bar
    assert error == "\r\nerror: it failed\r\n"
